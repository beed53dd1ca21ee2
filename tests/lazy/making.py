"""Parts of lazy arrays of every kind, and how to make them."""

import numpy as np

KINDS = ["npy", "fortran", "other-endian", "npz", "npz-compressed", "npz-compressed-fortran", "memmap", "memmap-part", "array", "strided"]  # fmt: skip


def make_part(kind, folder, number, array):
    """Give what `bs.concatenate` takes for an array of this kind."""
    path = folder / f"{number}-{kind}.npy"
    if kind == "npy":
        np.save(path, array)
    elif kind == "fortran":
        np.save(path, np.asfortranarray(array))
    elif kind == "other-endian":
        np.save(path, array.astype(array.dtype.newbyteorder()))
    elif kind.startswith("npz"):
        write = np.savez_compressed if "compressed" in kind else np.savez
        path = path.with_suffix(".npz")
        write(path, other=np.zeros(3), x=np.asfortranarray(array) if "fortran" in kind else array)
        return f"{path}::x"
    elif kind == "memmap":
        np.save(path, array)
        return np.load(path, mmap_mode="r")
    elif kind == "memmap-part":
        np.save(path, np.concatenate([array[:1], array, array[:1]]) if array.shape[0] else array)
        mapped = np.load(path, mmap_mode="r")
        return mapped[1:-1] if array.shape[0] else mapped
    elif kind == "array":
        return array
    else:
        return np.repeat(array, 2, axis=-1)[..., ::2]
    return path
