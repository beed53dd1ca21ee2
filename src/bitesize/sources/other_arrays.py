"""Arrays of other libraries: used without copies, or refused if they would be read or copied whole."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitesize.errors import BadSetting
from bitesize.sources.arrays import Arrays
from bitesize.sources.base import OpenOptions, Source

# Types, by package and name, that have separate sources.
_TAKEN = {
    "h5py": ("File", "Group", "Dataset"),
    "zarr": ("Group", "Array"),
    "pandas": ("DataFrame",),
    "polars": ("DataFrame",),
    "pyarrow": ("Table",),
}
# Columns of these packages are in memory; NumPy may copy them, as it does lists.
_COLUMNS = ("pandas", "polars", "pyarrow", "PIL")
# DLPack's device numbers that NumPy can access: CPU memory, and CUDA's pinned memory.
_CPU = (1, 3)
_WAYS = {
    "dask": "save it with da.to_zarr(x, folder), or da.to_npy_stack(folder, x), and open the folder",
    "dask frame": "save it with frame.to_parquet(folder), and open the folder",
    "xarray Dataset": "open one of its variables, dataset[name]; or save it with dataset.to_zarr(folder), and open the folder",
    "xarray": "save it with x.to_zarr(folder), and open the folder; or pass x.to_numpy() if it fits in memory",
    "h5py": "pass the dataset itself",
}
_WAY = "save it in blocks, to .npy, HDF5 or Zarr, and open that; or pass np.asarray(x) if it fits in memory"


class OtherArrays(Source):
    """Arrays of PyTorch, JAX, TensorFlow and others in the memory of the CPU, which are not copied."""

    title = "arrays of other libraries in the memory of the CPU"

    def __new__(cls, *_: Any) -> OtherArrays:
        """Raise `TypeError`: `opened` returns `Arrays`."""
        raise TypeError("use OtherArrays.opened to make a source")

    @classmethod
    def takes(cls, data: Any) -> bool:
        """Return whether this is an array of another library, or a list of these; decided by type, without imports."""
        if isinstance(data, list | tuple):
            return bool(data) and _is_lazy(data[0])
        return _is_array(data)

    @classmethod
    def opened(cls, data: Any, options: OpenOptions) -> Source:
        """Open an array as a NumPy view, without a copy.

        Raises
        ------
        BadSetting
            If this would read or copy the array, or it is in the memory of another device.
        """
        if isinstance(data, list | tuple):
            raise BadSetting(
                f"a list of {_title(data[0])}, which would be loaded whole into memory: open each, and join them with bs.chain([bs.open(a), "
                "bs.open(b)])"
            )
        if options.fields is not None or options.labels is not None:
            raise BadSetting(
                f"{_title(data)} has no named fields such as {options.fields or options.labels!r}: its only field is x"
            )
        return Arrays(_in_memory(data))

    @classmethod
    def example(cls, folder: Path, rows: int) -> Source:
        """Create an array that supports DLPack."""
        return cls.opened(_Shown(np.random.default_rng(0).random((rows, 5))), OpenOptions())


class _Shown:
    """An array of a fictional library, for the example."""

    def __init__(self, array: NDArray[Any]) -> None:
        self._array = array

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.asarray(self._array, dtype, copy=copy)

    def __dlpack__(self, **settings: Any) -> Any:
        return self._array.__dlpack__(**settings)

    def __dlpack_device__(self) -> tuple[int, int]:
        return self._array.__dlpack_device__()


def _package(data: Any) -> str:
    return type(data).__module__.partition(".")[0]


def _title(data: Any) -> str:
    kind = type(data)
    article = "an" if _package(data)[:1] in "aeiouhx" else "a"
    return f"{article} {_package(data)} {kind.__name__}"


def _is_array(data: Any) -> bool:
    """Return whether NumPy would convert the object by reading or copying it, and no other source opens it."""
    kind = type(data)
    if isinstance(data, np.ndarray | np.generic | Source) or kind.__module__.partition(".")[0] == "bitesize":
        return False
    if kind.__name__ in _TAKEN.get(_package(data), ()):
        return False
    # Attributes of the type: an object may create attributes on access, and a lazy object may compute.
    return any(hasattr(kind, name) for name in ("__array__", "__dlpack__")) or _package(data) in ("dask", "xarray")


def _is_lazy(data: Any) -> bool:
    """Return whether converting a list of these objects would read files or compute."""
    return _package(data) in ("h5py", "zarr", "dask", "xarray", "tensorstore", "netCDF4")


def _in_memory(data: Any) -> NDArray[Any]:
    package = _package(data)
    if package in _COLUMNS:
        return np.asarray(data)
    if package == "xarray" and getattr(getattr(data, "variable", None), "_in_memory", False):
        return np.asarray(data.to_numpy())
    if package in _WAYS:
        is_frame = package == "dask" and not hasattr(type(data), "rechunk")
        way = _WAYS["dask frame"] if is_frame else _WAYS.get(f"{package} {type(data).__name__}", _WAYS[package])
        raise BadSetting(f"{_title(data)} would be loaded whole into memory: {way}")
    if hasattr(data, "__dlpack_device__"):
        return _shared(data)
    try:
        return np.asarray(data, copy=False)
    except Exception as error:  # other libraries raise any error if a copy is required
        raise BadSetting(f"{_title(data)} would be loaded whole into memory: {_WAY}") from error


def _shared(data: Any) -> NDArray[Any]:
    """Return a NumPy view of an array of another library."""
    try:
        device = int(data.__dlpack_device__()[0])
        if device in _CPU:
            return np.from_dlpack(data.detach() if hasattr(type(data), "detach") else data)
    except Exception as error:  # other libraries raise any error for unsupported types
        raise BadSetting(
            f"{_title(data)} of {getattr(data, 'dtype', 'an unknown type')} cannot be viewed as a NumPy array: {error}; convert it first"
        ) from error
    raise BadSetting(
        f"{_title(data)} is in the memory of another device ({getattr(data, 'device', device)}): move it to the CPU first"
    )
