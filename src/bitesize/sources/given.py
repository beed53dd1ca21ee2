"""Converting data and labels of other libraries to paths, lists, mappings and arrays."""

from __future__ import annotations

import io
import math
import os
import re
from collections.abc import Iterator, Mapping, Sequence, Set, ValuesView
from typing import Any, NamedTuple

import numpy as np

from bitesize.errors import BadSetting
from bitesize.sources.choices import Choice
from bitesize.sources.column_names import LABELS, PATHS, first_named
from bitesize.sources.label_cells import refuse_masked, refuse_rows
from bitesize.storage import paths

_FRAMES = {("pandas", "DataFrame"), ("polars", "DataFrame"), ("pyarrow", "Table")}
_COLUMNS = {
    ("pandas", "Series"),
    ("pandas", "Index"),
    ("polars", "Series"),
    ("pyarrow", "ChunkedArray"),
    ("pyarrow", "StringArray"),
    ("pyarrow", "LargeStringArray"),
}
# Labels of more bytes per row are data of their own, such as masks.
_MOST_BYTES = 64


class GivenLabels(NamedTuple):
    """Labels in a plain form.

    Attributes
    ----------
    labels
        None, False, a text, a pattern, ``{name: label}``, a list or a NumPy array.
    choices : tuple of Choice
        Decisions made during conversion.
    """

    labels: Any
    choices: tuple[Choice, ...] = ()


def plain_data(data: Any) -> Any:
    """Return data in a plain form: a column of text as a list of paths, an open `.npz` file as its path.

    Raises
    ------
    BadSetting
        If the data has no order, can be read only once, or is not computed yet.
    """
    if isinstance(data, Set) and not isinstance(data, Mapping):
        raise BadSetting(f"a {type(data).__name__} has no order: pass a list, such as sorted(...)")
    if isinstance(data, io.IOBase):
        name = getattr(data, "name", None)
        raise BadSetting(
            f"an open file is not supported: pass its path{f', bs.open({name!r})' if isinstance(name, str) else ''}"
        )
    if isinstance(data, Iterator | ValuesView):
        raise BadSetting(
            f"a {type(data).__name__} can be iterated only once and has no length: pass a list, bs.open(list(...))"
        )
    package, name = _kind(data)
    if (package, name) == ("polars", "LazyFrame"):
        raise BadSetting(
            "a LazyFrame is not computed yet: pass frame.collect() if it fits in memory; else call frame.sink_parquet(path) and open that file"
        )
    if package == "numpy" and name == "NpzFile":
        return _path_of_archive(data)
    if isinstance(data, np.ndarray) and data.dtype == object and data.ndim == 1 and len(data):
        cells = data.tolist()
        return cells if all(isinstance(cell, str | bytes | os.PathLike) for cell in cells) else data
    if (package, name) in _COLUMNS:
        return _paths_of_column(data)
    return data


def plain_labels(labels: Any, data: Any = None) -> GivenLabels:
    """Return labels in a plain form.

    Parameters
    ----------
    labels
        Labels of the user.
    data
        Data of the labels, as passed: if labels have an index, the data must have the same.

    Raises
    ------
    BadSetting
        If labels have no order or are not values, a label is missing or masked, or their index differs from that of the data.
    """
    if labels is None or labels is False or isinstance(labels, str | re.Pattern):
        return GivenLabels(labels)
    if isinstance(labels, os.PathLike):
        return GivenLabels(os.fspath(labels))
    refuse_masked(labels)
    package, name = _kind(labels)
    if (package, name) in _FRAMES:
        return _of_frame(labels, data)
    if (package, name) == ("pandas", "Series"):
        return _of_series(labels, data)
    if package in ("polars", "pandas", "pyarrow") and hasattr(type(labels), "__len__"):
        return GivenLabels(_values(labels))
    if package in ("h5py", "zarr", "dask", "xarray"):
        return GivenLabels(_held(labels))
    if isinstance(labels, Mapping):
        return GivenLabels(labels)
    if isinstance(labels, Set):
        raise BadSetting(f"labels are a {type(labels).__name__}, which has no order: pass a list of one label per row")
    if isinstance(labels, Iterator | ValuesView):
        raise BadSetting(f"labels are a {type(labels).__name__}, which has no length: pass a list, labels=list(...)")
    if isinstance(labels, list | tuple | np.ndarray):
        if isinstance(labels, np.ndarray) and labels.ndim == 0:
            raise BadSetting(f"labels must be one per row, a name, or False for none, not {labels!r}")
        return GivenLabels(labels, _said_of_lists(labels))
    if isinstance(labels, Sequence) and not isinstance(labels, bytes):
        return GivenLabels(list(labels))
    if package == "scipy":
        raise BadSetting("labels are a sparse matrix of SciPy: pass labels.toarray()")
    if not isinstance(labels, type) and hasattr(type(labels), "detach"):  # a tensor may have a gradient
        return GivenLabels(labels.detach())
    if not isinstance(labels, type) and (hasattr(type(labels), "__array__") or hasattr(type(labels), "__dlpack__")):
        return GivenLabels(labels)
    if callable(labels):
        raise BadSetting(
            f"labels are {'a type' if isinstance(labels, type) else 'a function'}, {labels!r:.80}: call it for each row, "
            'labels=[label(path) for path in paths], or extract the class from the paths with a pattern, labels="(cat|dog)"'
        )
    raise BadSetting(f"labels must be one per row, a name, or False for none, not {labels!r:.80} ({type(labels).__name__})")


def check_index(labels: Any, data: Any) -> None:
    """Raise `BadSetting` if the index of a pandas series or frame is in another order than the index of the data."""
    length = len(labels)
    if _kind(data) in {("pandas", "DataFrame"), ("pandas", "Series")}:
        if len(data) == length and not labels.index.equals(data.index):
            raise BadSetting(
                f"the index of labels= is in another order than the index of the data: it starts with {_beginning(labels.index)}, the index "
                f"of the data with {_beginning(data.index)}. labels.loc[data.index] reorders the labels; labels.to_numpy() matches "
                "them by position"
            )
        return
    if not (labels.index.inferred_type == "integer" and labels.index.tolist() == list(range(length))):
        raise BadSetting(
            f"labels have an index, {_beginning(labels.index)}, but the data has none: labels.to_numpy() matches them by "
            "position"
        )


def _kind(data: Any) -> tuple[str, str]:
    kind = type(data)
    return kind.__module__.partition(".")[0], kind.__name__


def _beginning(index: Any) -> str:
    return ", ".join(map(str, index[:4].tolist())) + (", ..." if len(index) > 4 else "")


def _path_of_archive(data: Any) -> str:
    """Return the path of an archive that NumPy has open, whose arrays would be loaded whole."""
    archive = getattr(data, "zip", None)
    path = getattr(archive, "filename", None) or getattr(getattr(data, "fid", None), "name", None)
    if not isinstance(path, str) or not paths.isfile(path):
        raise BadSetting(
            'an open .npz archive would be read whole: pass its path, bs.open("data.npz"), or one of its arrays'
        )
    return path


def _paths_of_column(data: Any) -> Any:
    """Return a column of text as a list of paths; other columns are returned unchanged."""
    if _kind(data)[0] == "pandas" and data.dtype.kind not in "OUS" and str(data.dtype) not in ("string", "str"):
        return data
    if _kind(data)[0] == "polars" and not str(data.dtype).startswith(("String", "Utf8", "Categorical", "Enum")):
        return data
    if _kind(data)[0] == "pyarrow" and not str(data.type).endswith("string"):
        return data
    cells = data.to_pylist() if hasattr(data, "to_pylist") else list(data)
    odd = next((i for i, cell in enumerate(cells) if not isinstance(cell, str | bytes | os.PathLike)), None)
    if odd is not None:
        raise BadSetting(
            f"a {type(data).__name__} of {getattr(data, 'dtype', 'text')} opens files only if all its values are paths, but the value of row {odd} is "
            f"{cells[odd]!r:.80}"
        )
    return cells


def _of_series(labels: Any, data: Any) -> GivenLabels:
    """Return a series of pandas by its index: names of files, or the order of the data."""
    index = labels.index
    values = _values(labels)
    named = len(index) and all(isinstance(name, str | bytes | os.PathLike) for name in index)
    other_rows = _kind(data) == ("pandas", "Series") and not index.equals(data.index)
    if named and (isinstance(data, str | os.PathLike) or _are_paths(data) or other_rows):
        twice = index[index.duplicated()]
        if len(twice):
            raise BadSetting(f"labels have several values for {twice[0]!r}: the index of a series names each file once")
        return GivenLabels(dict(zip(index.tolist(), _listed(values), strict=True)))
    if isinstance(data, str | os.PathLike) and paths.isfile(data):
        check_index(labels, None)  # rows of a file have no index
    else:
        check_index(labels, data)
    return GivenLabels(values)


def _are_paths(data: Any) -> bool:
    return isinstance(data, list | tuple) and bool(data) and isinstance(data[0], str | bytes | os.PathLike)


def _of_frame(labels: Any, data: Any) -> GivenLabels:
    """Return a table of files and labels as ``{path: label}``, or the columns of labels."""
    names = list(map(str, getattr(labels, "column_names", None) or labels.columns))
    path = first_named(names, PATHS) if isinstance(data, str | os.PathLike) or _are_paths(data) else None
    if path is not None:
        others = [name for name in names if name != path]
        label = first_named(others, LABELS) or (others[0] if len(others) == 1 else None)
        if label is None:
            raise BadSetting(
                f"labels= is a table with the columns {', '.join(names)}, none of which has the name of a label column: pass "
                f"{{path: label}}, as dict(zip(table[{path!r}], table[NAME]))"
            )
        paths = _listed(_values(labels[path]))
        twice = next((name for name in paths if paths.count(name) > 1), None) if len(set(paths)) < len(paths) else None
        if twice is not None:
            raise BadSetting(f"labels= is a table with {twice!r} in several rows")
        said = Choice(f"labels: the column {label!r} of the table, for the files of {path!r}", "labels={path: label}")
        return GivenLabels(dict(zip(paths, _listed(_values(labels[label])), strict=True)), (said,))
    if _kind(labels)[0] == "pandas":
        check_index(labels, data)
    columns = [_values(labels[name]) for name in (labels.columns if _kind(labels)[0] == "pandas" else names)]
    if len(columns) == 1:
        return GivenLabels(columns[0], (Choice(f"labels: the column {names[0]!r} of the table", "labels="),))
    odd = next(
        (name for name, column in zip(names, map(np.asarray, columns), strict=True) if column.dtype.kind not in "biuf"), None
    )
    if odd is not None:
        raise BadSetting(
            f"labels= is a table with the columns {', '.join(names)}, of which {odd!r} is not numeric: pass the column of the labels, table[NAME]"
        )
    return GivenLabels(
        np.stack(columns, axis=1), (Choice(f"labels: the columns {', '.join(names)} of the table", "labels="),)
    )


def _values(column: Any) -> Any:
    """Return the values of a column without missing ones, as an array of numbers or a list."""
    package = _kind(column)[0]
    if package == "pandas":
        missing = np.flatnonzero(np.asarray(column.isna())).tolist() if hasattr(type(column), "isna") else []
        refuse_rows(missing, "missing")
        values = np.asarray(column)
        return values.tolist() if values.dtype == object else values
    if package == "polars":
        refuse_rows(column.is_null().arg_true().to_list(), "missing")
        return column.to_numpy() if column.dtype.is_numeric() else column.to_list()
    if not hasattr(type(column), "to_pylist"):
        raise BadSetting(f"labels must be one per row, a name, or False for none, not a {package} {type(column).__name__}")
    refuse_rows(np.flatnonzero(np.asarray(column.is_null())).tolist(), "missing")
    values = np.asarray(column)
    return values if values.dtype.kind in "biuf" else column.to_pylist()


def _listed(values: Any) -> list[Any]:
    return values.tolist() if isinstance(values, np.ndarray) else list(values)


def _said_of_lists(labels: Any) -> tuple[Choice, ...]:
    """Return a choice if labels are lists of tags."""
    lists = (list, tuple, set, frozenset)
    if not isinstance(labels, list | tuple) or not labels or not all(isinstance(label, lists) for label in labels):
        return ()
    tags = {tag for label in labels for tag in label if isinstance(tag, str)}
    return (
        (Choice(f"labels: lists of tags, as 0 or 1 for each of the {len(tags)}", "labels=[one text per row]"),)
        if tags
        else ()
    )


def _held(labels: Any) -> Any:
    """Return labels of an open dataset of another library, read into memory if they are small."""
    package = _kind(labels)[0]
    shape, dtype = getattr(labels, "shape", ()), getattr(labels, "dtype", None)
    if is_small(labels):
        return labels.asstr()[:] if hasattr(labels, "asstr") and np.dtype(dtype) == object else labels[:]
    raise BadSetting(
        f"labels of {package} of shape {shape} would be read whole into memory: bs.zip(x=bs.open(...), y=bs.open(...)) reads both "
        "from their files"
    )


def is_small(labels: Any) -> bool:
    """Return whether labels that h5py or Zarr has open take at most 64 bytes per row."""
    shape, dtype = getattr(labels, "shape", ()), getattr(labels, "dtype", None)
    if _kind(labels)[0] not in ("h5py", "zarr") or not shape or dtype is None:
        return False
    return bool(math.prod(shape[1:]) * np.dtype(dtype).itemsize <= _MOST_BYTES)
