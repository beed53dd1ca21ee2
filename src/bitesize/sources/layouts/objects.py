"""Opening objects that are not paths: lists of paths and pairs, mappings, arrays, and objects of other libraries."""

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
from bitesize.files.scan import merge
from bitesize.lazy.array import LazyArray
from bitesize.lazy.nodes import Node
from bitesize.sources.arrays import Arrays
from bitesize.sources.base import OpenOptions, RowFiles, Source
from bitesize.sources.choices import Choice
from bitesize.sources.combine.zipped import Zipped
from bitesize.sources.given import is_small, plain_labels
from bitesize.sources.labels import class_numbers
from bitesize.sources.layouts.listing import (
    label_each_file,
    no_fields,
    of_class_files,
    of_many,
    of_names,
    one_kind,
    row_kind,
    row_suffixes,
    with_choices,
)  # fmt: skip
from bitesize.sources.layouts.pairs import is_image_name, is_mask_name, mask_folder, mask_lists
from bitesize.sources.map_style import MapStyle
from bitesize.sources.registry import match_object, need
from bitesize.sources.splits import split_in

_NAMED = 5
_TEXT = (str, bytes, os.PathLike)
# Packages whose arrays are stored in files, and are read from there.
_HANDLES = ("h5py", "zarr")


def paths_in(what: Any) -> list[Any] | None:
    """Return the paths in a list or an array of text, or None if it contains other values."""
    if isinstance(what, np.ndarray):
        return what.tolist() if what.dtype.kind in "US" and what.ndim == 1 else None
    if not isinstance(what, list | tuple) or not what:  # iterating a sequence of another package may take long
        return None
    kinds = {isinstance(part, _TEXT) for part in what}
    if kinds == {True, False}:
        raise BadSetting("a list must hold paths or numbers, not both")
    return [os.fspath(part) for part in what] if kinds == {True} else None


def pairs_in(what: Any) -> list[tuple[Any, Any]] | None:
    """Return the pairs in a list of pairs that contain a path, or None."""
    if isinstance(what, np.ndarray):
        what = what.tolist() if what.dtype.kind in "USO" and what.ndim == 2 and what.shape[1] == 2 else None
    if not isinstance(what, list | tuple) or not what:
        return None
    pairs = [tuple(part) for part in what if isinstance(part, list | tuple) and len(part) == 2]
    if len(pairs) < len(what) or not any(isinstance(part, _TEXT) for part in pairs[0]):
        return None
    return pairs


def list_of_pairs(pairs: Sequence[tuple[Any, Any]], options: OpenOptions) -> Source:
    """Open pairs of a path and its label, in either order, or of an image and its mask."""
    if options.labels is not None and options.labels is not False:
        raise BadSetting("pairs of a path and a label already have labels: drop labels=")
    there = [all(isinstance(pair[i], _TEXT) and os.path.isfile(pair[i]) for pair in pairs) for i in (0, 1)]
    if all(there):
        return mask_lists(
            [p[0] for p in pairs], [p[1] for p in pairs], options, "labels: masks, the second path of each pair"
        )
    if not any(there):
        missing = [pair for pair in pairs if not any(isinstance(part, _TEXT) and os.path.isfile(part) for part in pair)]
        shown = missing[0] if missing else pairs[0]
        raise NotFound(
            f"a list of pairs needs (label, path) or (path, label), but neither part of {shown!r:.200} is an existing file "
            f"({len(missing)} of {len(pairs)} pairs)"
        )
    at = 0 if there[0] else 1
    labels = None if options.labels is False else [pair[1 - at] for pair in pairs]
    source = list_of_paths([pair[at] for pair in pairs], replace(options, labels=labels))
    form = "(path, label)" if at == 0 else "(label, path)"
    source.choices = (Choice(f"labels: of the pairs {form}", "bs.open(paths, labels)"),)
    return source


def list_of_paths(paths: Sequence[Any], options: OpenOptions) -> Source:
    """Open listed files, in the given order."""
    for i, path in enumerate(paths):
        if not os.path.exists(path):
            raise NotFound(f"{os.fsdecode(path)} does not exist (path {i} of {len(paths)})")
        if not os.path.isfile(path) and not os.path.isdir(path):
            raise NotFound(f"{os.fsdecode(path)} is not a regular file (path {i} of {len(paths)})")
    texts = [os.fsdecode(path) for path in paths]
    folders = [path for path in texts if os.path.isdir(path) and not path.lower().endswith(".zarr")]
    if folders:
        named = ", ".join(f'"{os.path.basename(os.path.normpath(path))}": {path!r}' for path in folders[:2])
        raise BadSetting(
            f"{folders[0]} is a folder, but a list needs files. For one class per folder pass a mapping: {{{named}{', ...' if len(folders) > 2 else ''}}}; "
            "to join them, bs.chain([bs.open(folder), ...])"
        )
    if isinstance(options.labels, list | tuple) and _are_files(options.labels) and options.split is None:
        return mask_lists(texts, list(options.labels), options, "labels: masks, the paths of labels=")
    kind = row_kind(one_kind(texts), options, labeled=label_each_file(options.labels, len(texts)))
    if kind.file_is_row and options.split is None:
        need(kind)
        return of_names(names_of(paths), {}, options, listed=True, kind=kind)
    return of_many(kind, [os.path.abspath(path) for path in texts], options)


def _are_files(labels: Sequence[Any]) -> bool:
    return bool(labels) and all(isinstance(label, _TEXT) and os.path.isfile(label) for label in labels)


def mapping(what: Mapping[str, Any], options: OpenOptions) -> Source:
    """Open a folder or a list of files for each class, or an array for each field."""
    values = list(what.values())
    if any(_is_array(value) for value in values):
        return _arrays_by_name(what, options)
    odd = next((str(name) for name, value in what.items() if not isinstance(value, str | os.PathLike | list | tuple)), None)
    if not values or odd is not None:
        seen = "" if odd is None else f"the value of {odd!r} is a {type(what[odd]).__name__}: "
        raise BadSetting(
            seen
            + 'a mapping needs a folder for each class, {"cat": folder, "dog": folder}, or an array for each field, {"x": x, "y": y}'
        )
    if options.labels is not None and options.labels is not False:
        raise BadSetting("the keys of a mapping are the classes: drop labels=")
    suffixes = row_suffixes()
    keys = [str(name) for name in what]
    if len(keys) > 1 and all(split_in(key) for key in keys):
        raise BadSetting(
            f"the keys {', '.join(keys)} look like splits, but the keys of a mapping are classes: open each separately, bs.open(folder)"
        )
    masks = [key for key in keys if is_mask_name(key)]
    if len(keys) == 2 and len(masks) == 1 and all(isinstance(value, str | os.PathLike) for value in values):
        images = next(key for key in keys if key != masks[0])
        if is_image_name(images):
            return mask_folder(os.fspath(what[images]), os.fspath(what[masks[0]]), options)
    if all(isinstance(value, str | os.PathLike) for value in values):
        found = merge({str(name): folder for name, folder in what.items()}, suffixes)
        kind = one_kind(
            [suffix for suffix, count in found.kinds.items() for _ in range(min(count, 2)) if count], found.kinds
        )
        kind = row_kind(kind, options, labeled=True)
        if not kind.file_is_row:
            assert found.labels is not None
            assert found.classes is not None
            groups = {
                name: [os.fsdecode(found.names.path(i)) for i in np.flatnonzero(found.labels == number).tolist()]
                for number, name in enumerate(found.classes)
            }
            return _rows_by_class(kind, groups, options)
        labels, classes = (None, None) if options.labels is False else (found.labels, found.classes)
        source = kind.of_files(
            RowFiles(found.names, labels, classes, found.left_out), replace(no_fields(options, kind), labels=None)
        )
    else:
        lists = {str(name): [value] if isinstance(value, str | os.PathLike) else list(value) for name, value in what.items()}
        odd = next((path for paths in lists.values() for path in paths if not isinstance(path, _TEXT)), None)
        if odd is not None:
            raise BadSetting(f"a mapping of classes needs folders or lists of files, but has {odd!r:.80}")
        files = [path for paths in lists.values() for path in paths]
        missing = next((path for path in files if not os.path.isfile(path)), None)
        if missing is not None:
            raise NotFound(f"{os.fsdecode(missing)} does not exist")
        kind = row_kind(one_kind([os.fsdecode(path) for path in files]), options, labeled=True)
        if not kind.file_is_row:
            groups = {name: [os.path.abspath(os.fsdecode(path)) for path in paths] for name, paths in lists.items()}
            return _rows_by_class(kind, groups, options)
        numbers = np.repeat(np.arange(len(lists), dtype=np.int64), [len(paths) for paths in lists.values()])
        labels, classes = (None, None) if options.labels is False else (numbers, tuple(lists))
        source = kind.of_files(
            RowFiles(names_of(files), labels, classes, {}), replace(no_fields(options, kind), labels=None)
        )
    need(kind)
    return with_choices(source, Choice("labels: the keys of the mapping", "labels="))


def _rows_by_class(kind: type[Source], groups: Mapping[str, list[str]], options: OpenOptions) -> Source:
    """Open files of many rows, by class."""
    said = Choice("labels: the keys of the mapping, for all rows of their files", "labels=False or labels=")
    return with_choices(of_class_files(kind, groups, options), said)


def _arrays_by_name(what: Mapping[str, Any], options: OpenOptions) -> Source:
    """Open arrays as fields; ``y``, ``label`` or ``labels`` are the labels."""
    from bitesize.sources.columns import LABELS

    names = [str(name) for name in what]
    if options.fields is not None:
        from bitesize.sources.columns import wanted_fields

        wanted = wanted_fields(options, names)
        unknown = [there for there in wanted.values() if there not in names]
        if unknown:
            raise BadSetting(f"the mapping has no {unknown[0]!r}: it has {', '.join(names)}")
        what = {name: what[there] for name, there in wanted.items()}
        names = list(what)
    _check_lengths(what)
    labels = options.labels
    label = (
        labels
        if isinstance(labels, str)
        else next((name for name in LABELS if name in names), None)
        if labels is None
        else None
    )
    if isinstance(labels, str) and labels not in names:
        raise BadSetting(f"labels={labels!r}: the mapping has {', '.join(names)}")
    others = [name for name in names if name != label]
    if not others:
        raise BadSetting(f"the mapping has nothing but labels: {', '.join(names)}")
    given = what[label] if label is not None else None if isinstance(labels, str | bool) else labels
    said = list[Choice]()
    parts: list[tuple[dict[str, str], Source]] = []
    if label is not None and _kind(given) in _HANDLES and not is_small(given):
        parts.append(({label: "x"}, _array_source(label, given, replace(options, labels=None, fields=None))))
        given = None
    elif label is not None:
        frame = next((what[name] for name in others if hasattr(what[name], "index")), None)
        given, own_choices = plain_labels(given, frame)
        said += own_choices
    for i, name in enumerate(others):
        source = _array_source(name, what[name], replace(options, labels=given if i == 0 else None, fields=None))
        own = {name: source.primary} | ({label or "y": "y"} if "y" in source.spec else {})
        parts.insert(i, (own, source))
    return with_choices(
        Zipped(parts),
        Choice(f"fields: {', '.join(names)}" + (f"; labels: {label}" if label else ""), "fields= and labels="),
        *said,
    )


def _kind(value: Any) -> str:
    return type(value).__module__.partition(".")[0]


def _is_array(value: Any) -> bool:
    """Return whether a value of a mapping is an array or a column of any library."""
    if isinstance(value, str | os.PathLike | list | tuple | bytes):
        return False
    return (
        isinstance(value, np.ndarray | LazyArray)
        or (hasattr(type(value), "__len__") and match_object(value) is not None)
        or hasattr(type(value), "shape")
    )


def _rows(name: str, value: Any) -> int:
    shape = getattr(value, "shape", None)
    if shape is not None and not shape:
        raise BadSetting(f"the value of {name!r} in the mapping is a single value, not one per row")
    return int(shape[0]) if shape is not None else len(value)


def _check_lengths(what: Mapping[str, Any]) -> None:
    """Raise `BadSetting` for values of a mapping that are not arrays, or differ in length."""
    odd = next((name for name, value in what.items() if not _is_array(value) and not isinstance(value, list | tuple)), None)
    if odd is not None:
        value = what[odd]
        if isinstance(value, str | os.PathLike):
            raise BadSetting(
                f"the value of {odd!r} in the mapping is a path, but other values are arrays: bs.zip({odd}=bs.open({os.fspath(value)!r}), ...) joins "
                "the fields of several sources"
            )
        raise BadSetting(
            f"the value of {odd!r} in the mapping is a {type(value).__name__}, not an array: pass np.array(list(...))"
        )
    lengths = {name: _rows(name, value) for name, value in what.items()}
    if len(set(lengths.values())) > 1:
        shapes = ", ".join(f"{name} {getattr(value, 'shape', (lengths[name],))}" for name, value in what.items())
        raise BadSetting(f"arrays of a mapping need the same number of rows: {shapes}")


def _array_source(name: str, value: Any, options: OpenOptions) -> Source:
    """Open one array of a mapping, with its labels."""
    if isinstance(value, list | tuple) and value and isinstance(value[0], str):
        value = np.array(value)
    if getattr(getattr(value, "dtype", None), "kind", "") in ("U", "S"):
        raise BadSetting(
            f"the value of {name!r} in the mapping is text, but fields are numbers: labels={name!r} uses it as labels; or drop it"
        )
    if isinstance(value, np.ndarray | LazyArray):
        return of_array(value, options)
    if isinstance(value, list | tuple):
        return of_values(list(value), options)
    kind = match_object(value)
    if kind is None:
        raise BadSetting(f"the value of {name!r} in the mapping is a {type(value).__name__}, which is not an array")
    source = of_many(kind, value, options)
    fields = [field for field in source.spec if field != "y" or options.labels is None]
    if len(fields) > 1:
        raise BadSetting(
            f"the value of {name!r} in the mapping has several fields, {', '.join(fields)}: pass each as a separate array"
        )
    return source


def of_array(what: NDArray[Any] | LazyArray | Node, options: OpenOptions) -> Source:
    """Open an array whose first axis is the rows."""
    array = what._node if isinstance(what, LazyArray) else what
    labels = no_fields(options).labels
    if isinstance(labels, str):
        raise BadSetting(f"labels={labels!r}: an array has no named fields; pass one label per row")
    if not array.shape or getattr(array.dtype, "hasobject", False):
        raise BadSetting(
            f"{what!r:.80} is not an array of numbers with rows: a path, a list of paths, or an array of shape (rows, ...) is needed"
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


def of_values(what: Any, options: OpenOptions) -> Source:
    """Open numbers in lists, or any object that NumPy converts to an array."""
    if isinstance(what, tuple) and len(what) == 2 and all(isinstance(part, np.ndarray) for part in what):
        shapes = " and ".join(str(part.shape) for part in what)
        raise BadSetting(
            f"a tuple of two arrays ({shapes}) may be inputs and labels: pass them as bs.open(x, y); to stack them, np.stack"
        )
    kind = match_object(what) if isinstance(what, list | tuple) else None  # a list of arrays that NumPy would load whole
    if kind is not None:
        return of_many(kind, what, options)
    if has_items(what):
        return MapStyle.opened(what, options)
    if hasattr(type(what), "keys") and hasattr(type(what), "__getitem__"):
        name = type(what).__name__
        raise BadSetting(
            f"a {name} has keys, but is not a mapping of Python: pass {{key: data[key] for key in data.keys()}}"
        )
    refuse_endless(what, "data")
    are_arrays = isinstance(what, list | tuple) and bool(what) and all(hasattr(type(part), "shape") for part in what)
    try:
        array = what if isinstance(what, np.ndarray) else np.asarray(what)
    except BitesizeError:  # a loader's, which is not an array
        raise
    except ValueError as error:
        seen = [np.shape(part) for part in what] if are_arrays else []
        if seen:
            raise BadSetting(
                f"each array of a list is one row, but these have the shapes {', '.join(map(str, seen[:_NAMED]))}. Inputs and labels: "
                "bs.open(x, y); arrays of many rows each: bs.chain([bs.open(a), bs.open(b)])"
            ) from error
        raise BadSetting(f"the rows of a list must have the same shape: {error}") from error
    source = of_array(array, options)
    if are_arrays and array.ndim > 1:
        said = f"each array of the list is one row, of shape {array.shape[1:]}"
        return with_choices(source, Choice(said, "bs.open(x, y), or bs.chain([bs.open(a), bs.open(b)]),"))
    return source
