"""Opening what is neither a folder nor a pattern: one file, lists of paths and pairs, arrays, and objects of other libraries."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitesize.array_like import has_items, refuse_endless
from bitesize.errors import BadSetting, BitesizeError, NotFound
from bitesize.files.names import names_of
from bitesize.lazy.array import LazyArray
from bitesize.lazy.nodes import Node
from bitesize.sources.arrays import Arrays
from bitesize.sources.base import OpenOptions, Source
from bitesize.sources.choices import Choice
from bitesize.sources.labels import class_numbers
from bitesize.sources.layouts.listing import (
    label_each_file,
    no_fields,
    of_many,
    of_names,
    one_kind,
    row_kind,
    with_choices,
)  # fmt: skip
from bitesize.sources.layouts.pairs import mask_lists
from bitesize.sources.map_style import MapStyle
from bitesize.sources.registry import match_object, need
from bitesize.storage import paths

_NAMED = 5
_TEXT = (str, bytes, os.PathLike)


def paths_in(data: Any) -> list[Any] | None:
    """Return the paths in a list or an array of text, or None if it contains other values."""
    if isinstance(data, np.ndarray):
        return data.tolist() if data.dtype.kind in "US" and data.ndim == 1 else None
    if not isinstance(data, list | tuple) or not data:  # iterating a sequence of another package may take long
        return None
    kinds = {isinstance(part, _TEXT) for part in data}
    if kinds == {True, False}:
        raise BadSetting("a list must hold paths or numbers, not both")
    return [os.fspath(part) for part in data] if kinds == {True} else None


def pairs_in(data: Any) -> list[tuple[Any, Any]] | None:
    """Return the pairs in a list of pairs that contain a path, or None."""
    if isinstance(data, np.ndarray):
        data = data.tolist() if data.dtype.kind in "USO" and data.ndim == 2 and data.shape[1] == 2 else None
    if not isinstance(data, list | tuple) or not data:
        return None
    pairs = [tuple(part) for part in data if isinstance(part, list | tuple) and len(part) == 2]
    if len(pairs) < len(data) or not any(isinstance(part, _TEXT) for part in pairs[0]):
        return None
    return pairs


def list_of_pairs(pairs: Sequence[tuple[Any, Any]], options: OpenOptions) -> Source:
    """Open pairs of a path and its label, in either order, or of an image and its mask."""
    if options.labels is not None and options.labels is not False:
        raise BadSetting("pairs of a path and a label already have labels: drop labels=")
    paths.know_files(part for pair in pairs for part in pair if isinstance(part, _TEXT))
    are_paths = [all(isinstance(pair[i], _TEXT) and paths.isfile(pair[i]) for pair in pairs) for i in (0, 1)]
    if all(are_paths):
        return mask_lists(
            [p[0] for p in pairs], [p[1] for p in pairs], options, "labels: masks, the second path of each pair"
        )
    if not any(are_paths):
        missing = [pair for pair in pairs if not any(isinstance(part, _TEXT) and paths.isfile(part) for part in pair)]
        shown = missing[0] if missing else pairs[0]
        raise NotFound(
            f"a list of pairs needs (label, path) or (path, label), but neither part of {shown!r:.200} is an existing file "
            f"({len(missing)} of {len(pairs)} pairs)"
        )
    at = 0 if are_paths[0] else 1
    labels = None if options.labels is False else [pair[1 - at] for pair in pairs]
    source = list_of_paths([pair[at] for pair in pairs], replace(options, labels=labels))
    form = "(path, label)" if at == 0 else "(label, path)"
    source.choices = (Choice(f"labels: of the pairs {form}", "bs.open(paths, labels)"),)
    return source


def list_of_paths(files: Sequence[Any], options: OpenOptions) -> Source:
    """Open listed files, in the given order."""
    paths.know_files(files)
    texts = [os.fsdecode(path) for path in files]
    folders = []
    for i, path in enumerate(texts):
        if paths.isfile(path):
            continue
        if not paths.exists(path):
            raise NotFound(f"{path} does not exist (path {i} of {len(files)})")
        if not paths.isdir(path):
            raise NotFound(f"{path} is not a regular file (path {i} of {len(files)})")
        if not path.lower().endswith(".zarr"):
            folders.append(path)
    if folders:
        named = ", ".join(f'"{paths.basename(paths.normpath(path))}": {path!r}' for path in folders[:2])
        raise BadSetting(
            f"{folders[0]} is a folder, but a list needs files. For one class per folder pass a mapping: {{{named}{', ...' if len(folders) > 2 else ''}}}; "
            "to join them, bs.chain([bs.open(folder), ...])"
        )
    if isinstance(options.labels, list | tuple) and _are_files(options.labels) and options.split is None:
        return mask_lists(texts, list(options.labels), options, "labels: masks, the paths of labels=")
    kind = row_kind(one_kind(texts), options, labeled=label_each_file(options.labels, len(texts)))
    if kind.file_is_row and options.split is None:
        need(kind)
        return of_names(names_of(files), {}, options, listed=True, kind=kind)
    return of_many(kind, [paths.abspath(path) for path in texts], options)


def _are_files(labels: Sequence[Any]) -> bool:
    paths.know_files(label for label in labels if isinstance(label, _TEXT))
    return bool(labels) and all(isinstance(label, _TEXT) and paths.isfile(label) for label in labels)


def of_array(data: NDArray[Any] | LazyArray | Node, options: OpenOptions) -> Source:
    """Open an array whose first axis is the rows."""
    array = data._node if isinstance(data, LazyArray) else data
    labels = no_fields(options).labels
    if isinstance(labels, str):
        raise BadSetting(f"labels={labels!r}: an array has no named fields; pass one label per row")
    if not array.shape or getattr(array.dtype, "hasobject", False):
        raise BadSetting(
            f"{data!r:.80} is not an array of numbers with rows: a path, a list of paths, or an array of shape (rows, ...) is needed"
        )
    if array.dtype.names is not None:
        raise BadSetting(
            f"an array with named fields ({', '.join(array.dtype.names)}) is not supported: pass a mapping of its fields, {{name: array[name] for name in "
            "array.dtype.names}, or pandas.DataFrame(array)"
        )
    if array.dtype.kind in "US":
        raise BadSetting(
            f"an array of text of shape {array.shape} cannot be opened: a list of paths opens files, with labels=[...] for their labels; "
            "pairs are (label, path) or (path, label)"
        )
    if labels is None or labels is False:
        return Arrays(array)
    if isinstance(labels, Mapping):
        raise BadSetting("labels={name: label} is for files; an array needs one label per row")
    numbers, classes = class_numbers(labels, array.shape[0], options.tag_delimiter)
    return Arrays(array, numbers, classes)


def of_values(data: Any, options: OpenOptions) -> Source:
    """Open numbers in lists, or any object that NumPy converts to an array."""
    if isinstance(data, tuple) and len(data) == 2 and all(isinstance(part, np.ndarray) for part in data):
        shapes = " and ".join(str(part.shape) for part in data)
        raise BadSetting(
            f"a tuple of two arrays ({shapes}) may be inputs and labels: pass them as bs.open(x, y); to stack them, np.stack"
        )
    kind = match_object(data) if isinstance(data, list | tuple) else None  # a list of arrays that NumPy would load whole
    if kind is not None:
        return of_many(kind, data, options)
    if has_items(data):
        return MapStyle.opened(data, options)
    if hasattr(type(data), "keys") and hasattr(type(data), "__getitem__"):
        name = type(data).__name__
        raise BadSetting(
            f"a {name} has keys, but is not a mapping of Python: pass {{key: data[key] for key in data.keys()}}"
        )
    refuse_endless(data, "data")
    are_arrays = isinstance(data, list | tuple) and bool(data) and all(hasattr(type(part), "shape") for part in data)
    try:
        array = data if isinstance(data, np.ndarray) else np.asarray(data)
    except BitesizeError:  # a loader's, which is not an array
        raise
    except ValueError as error:
        row_shapes = [np.shape(part) for part in data] if are_arrays else []
        if row_shapes:
            raise BadSetting(
                f"each array of a list is one row, but these have the shapes {', '.join(map(str, row_shapes[:_NAMED]))}. Inputs and labels: "
                "bs.open(x, y); arrays of many rows each: bs.chain([bs.open(a), bs.open(b)])"
            ) from error
        raise BadSetting(f"the rows of a list must have the same shape: {error}") from error
    source = of_array(array, options)
    if are_arrays and array.ndim > 1:
        said = f"each array of the list is one row, of shape {array.shape[1:]}"
        return with_choices(source, Choice(said, "bs.open(x, y), or bs.chain([bs.open(a), bs.open(b)]),"))
    return source
