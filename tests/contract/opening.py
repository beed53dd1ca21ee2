"""What opening takes: ``python -m tests.contract.opening FOLDER`` prints, as JSON, how many bytes each way of opening held at most.

Each kind is opened once with a few rows before, so that imports do not count. The data are a few hundred MiB of zeros, most of
them holes in their files.
"""

from __future__ import annotations

import gc
import io
import json
import sys
import tarfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

import bitesize as bs

SHAPE = (256, 256)  # of a row, uint8: 64 KiB
ROWS = {"tiny": 4, "large": 5120}  # 320 MiB
FILES = 40  # that the rows of folders are shared out among


def sparse_npy(path: Path, shape: tuple[int, ...], dtype: str = "u1") -> Path:
    """Write an array of zeros that takes no space."""
    path.parent.mkdir(parents=True, exist_ok=True)
    np.lib.format.open_memmap(path, "w+", np.dtype(dtype), shape).flush()
    return path


def make(folder: Path, rows: int) -> None:
    """Write data of every kind."""
    import h5py
    import pyarrow as pa
    import pyarrow.parquet as pq
    import zarr

    labels, large = np.arange(rows) % 2, (rows, *SHAPE)
    sparse_npy(folder / "large.npy", large)
    np.save(folder / "labels.npy", labels)
    sparse_npy(folder / "turned.npy", (256, rows * 256))
    files = [f"{i % 2}/{i:03}.npy" for i in range(min(rows, FILES))]
    for name in files:
        sparse_npy(folder / "folder" / name, (max(1, rows // FILES), *SHAPE))
        sparse_npy(folder / "parts" / Path(name).name, (max(1, rows // FILES), *SHAPE))
    (folder / "table.csv").write_text("\n".join(["path,label", *(f"folder/{name},{name[0]}" for name in files)]))
    x = np.zeros(large, np.uint8)
    np.savez(folder / "stored.npz", x=x, y=labels)
    np.savez_compressed(folder / "compressed.npz", x=x, y=labels)
    with h5py.File(folder / "chunked.h5", "w") as file:
        file.create_dataset("x", large, "u1", chunks=(4, *SHAPE), compression="gzip")
        file["y"] = labels
    with h5py.File(folder / "contiguous.h5", "w") as file:
        file.create_dataset("x", large, "u1")
        file["y"] = labels
    group = zarr.open_group(folder / "a.zarr", mode="w")
    group.create_array("x", shape=large, dtype="u1", chunks=(4, *SHAPE))
    group.create_array("y", data=labels)
    table = pa.table({"x": pa.FixedSizeListArray.from_arrays(pa.array(x.ravel()), SHAPE[0] * SHAPE[1]), "y": labels})
    pq.write_table(table, folder / "a.parquet", row_group_size=64)
    arrow_files(folder, table)
    with h5py.File(folder / "one-chunk.h5", "w") as file:
        file.create_dataset("x", large, "u1", chunks=large, compression="gzip")
        file["y"] = labels
    group = zarr.open_group(folder / "one-chunk.zarr", mode="w")
    group.create_array("x", shape=large, dtype="u1", chunks=large)
    group.create_array("y", data=labels)
    photos(folder, rows)


def arrow_files(folder: Path, table: Any) -> None:
    """Write vectors and images in one row group or record batch a file."""
    import pyarrow as pa
    import pyarrow.feather as feather
    import pyarrow.parquet as pq

    rows = len(table)
    pq.write_table(table, folder / "one-group.parquet", row_group_size=rows)
    pq.write_table(table, folder / "lists.parquet", row_group_size=rows, store_schema=False)
    for name, compression in (("a.feather", "uncompressed"), ("compressed.feather", "lz4"), ("zstd.feather", "zstd")):
        feather.write_feather(table, folder / name, chunksize=rows, compression=compression)
    values = np.zeros((rows, SHAPE[0] * SHAPE[1]), np.uint8)
    values[:, :3] = (0xFF, 0xD8, 0xFF)  # as JPEG begins
    values[:, -4:] = (
        np.arange(rows, dtype="<u4").view(np.uint8).reshape(-1, 4)
    )  # no two alike, which a dictionary would hold once
    ends = pa.py_buffer(np.arange(rows + 1, dtype=np.int32) * values.shape[1])
    images = pa.table({"x": pa.Array.from_buffers(pa.binary(), rows, [None, ends, pa.py_buffer(values)]), "y": table["y"]})
    for compression in ("snappy", "gzip", "zstd", "none"):
        pq.write_table(images, folder / f"images-{compression}.parquet", row_group_size=rows, compression=compression)
    feather.write_feather(images, folder / "images.feather", chunksize=rows, compression="lz4")
    lists = pa.table({"x": table["x"].cast(pa.list_(pa.uint8())), "y": table["y"]})
    feather.write_feather(lists, folder / "lists.feather", chunksize=rows, compression="uncompressed")


def photos(folder: Path, rows: int) -> None:
    """Write photographs as files and in a tar file, each followed by zeros that no decoder minds."""
    file = io.BytesIO()
    Image.fromarray(np.zeros((*SHAPE, 3), np.uint8)).save(file, "JPEG")
    photo = file.getvalue()
    size = max(len(photo), rows * SHAPE[0] * SHAPE[1] // FILES)
    with tarfile.open(folder / "photos.tar", "w") as tar:
        for i in range(FILES):
            path = folder / "photos" / str(i % 2) / f"{i:03}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(photo)
            with path.open("r+b") as grown:
                grown.truncate(size)
            tar.add(path, f"{i:03}.jpg")
            member = tarfile.TarInfo(f"{i:03}.cls")
            member.size = 1
            tar.addfile(member, io.BytesIO(b"%d" % (i % 2)))


FILES_OF_ALL_KINDS = (
    "large.npy", "folder", "photos", "table.csv", "stored.npz", "compressed.npz", "chunked.h5", "contiguous.h5", "one-chunk.h5",
    "a.zarr", "one-chunk.zarr", "photos.tar", "a.parquet", "one-group.parquet", "a.feather", "compressed.feather",
)  # fmt: skip
OTHER_FILES = (
    "lists.parquet", "images-snappy.parquet", "images-gzip.parquet", "images-zstd.parquet", "images-none.parquet", "zstd.feather",
    "images.feather", "lists.feather",
)  # fmt: skip


def _open(name: str, folder: Path) -> bs.Source:
    return bs.open(folder / name)


def _split(name: str, folder: Path) -> tuple[bs.Source, bs.Source]:
    return bs.open(folder / name).split(0.5)


def _labeled(folder: Path) -> bs.Source:
    return bs.open(folder / "large.npy", np.load(folder / "labels.npy"))


def _parts(folder: Path) -> list[str]:
    return sorted(map(str, (folder / "parts").glob("*.npy")))


def _memmaps(folder: Path) -> list[Any]:
    return [np.load(part, mmap_mode="r") for part in _parts(folder)]


def _hdf5(folder: Path) -> Any:
    import h5py

    return h5py.File(folder / "chunked.h5")["x"]


def _zarr(folder: Path) -> Any:
    import zarr

    return zarr.open_group(folder / "a.zarr", mode="r")["x"]


WAYS: dict[str, Callable[[Path], Any]] = {
    **{f"open {name}": partial(_open, name) for name in (*FILES_OF_ALL_KINDS, *OTHER_FILES)},
    **{f"split {name}": partial(_split, name) for name in FILES_OF_ALL_KINDS},
    "open a memmap": lambda folder: bs.open(np.load(folder / "large.npy", mmap_mode="r"), np.load(folder / "labels.npy")),
    "open with labels": _labeled,
    "open an HDF5 data set": lambda folder: bs.open(_hdf5(folder)),
    "open a Zarr array": lambda folder: bs.open(_zarr(folder)),
    "concatenate HDF5": lambda folder: bs.concatenate([_hdf5(folder)] * 2),
    "concatenate Zarr": lambda folder: bs.concatenate([_zarr(folder)] * 2),
    "subset": lambda folder: _labeled(folder).subset(range(2)),
    "map_labels": lambda folder: _labeled(folder).map_labels(str),
    "fingerprint": lambda folder: _labeled(folder).fingerprint(),
    "chain": lambda folder: bs.chain([_labeled(folder), _labeled(folder)]),
    "zip": lambda folder: bs.zip(left=_labeled(folder), right=_labeled(folder)),
    "mix": lambda folder: bs.mix([_labeled(folder), _labeled(folder)], shares=[0.5, 0.5]),
    "concatenate": lambda folder: bs.concatenate(_parts(folder)),
    "concatenate along axis 1": lambda folder: bs.concatenate(_parts(folder), axis=1),
    "stack": lambda folder: bs.stack(_parts(folder)),
    "concatenate and open": lambda folder: bs.open(bs.concatenate(_parts(folder))),
    "concatenate memmaps": lambda folder: bs.concatenate(_memmaps(folder)),
    "stack memmaps": lambda folder: bs.stack(_memmaps(folder)),
    "transpose": lambda folder: bs.concatenate([folder / "turned.npy"] * 2, axis=1).T,
    "calculate": lambda folder: (bs.concatenate(_parts(folder)) / 255).astype("float32"),
}


def held() -> dict[str, int]:
    """Return the bytes of this process that are its own now, and the most that it ever had with those of files."""
    pairs = (line.split(":") for line in Path("/proc/self/status").read_text().splitlines() if line.endswith(" kB"))
    status = {name: int(value.split()[0]) * 1024 for name, value in pairs}
    read = int(Path("/proc/self/io").read_text().split()[1])
    return {"own": status["RssAnon"] + status["RssShmem"], "all": status["VmRSS"], "most": status["VmHWM"], "read": read}


def measure(way: Callable[[Path], Any], folder: Path) -> dict[str, Any]:
    """Open tiny data, then large; return by how many bytes the process grew."""
    try:
        way(folder / "tiny")
        gc.collect()
        Path("/proc/self/clear_refs").write_text("5")  # the high-water mark starts again
        before = held()
        opened = way(folder / "large")
        after = held()
    except Exception as error:
        return {"error": f"{type(error).__name__}: {error}"}
    del opened
    return {
        "own": after["own"] - before["own"],
        "most": after["most"] - before["all"],
        "read": after["read"] - before["read"],
    }


def main() -> None:
    """Make the data, or measure."""
    folder = Path(sys.argv[1])
    if sys.argv[2:] == ["make"]:
        for name, rows in ROWS.items():
            (folder / name).mkdir(parents=True)
            make(folder / name, rows)
        return
    sys.stdout.write(json.dumps({name: measure(way, folder) for name, way in WAYS.items()}))


if __name__ == "__main__":
    main()
