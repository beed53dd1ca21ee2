"""Opening mappings: a folder or a list of files for each class, or an array for each field."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from bitesize.errors import BadSetting, NotFound
from bitesize.files.names import names_of
from bitesize.files.scan import merge
from bitesize.lazy.array import LazyArray
from bitesize.sources.base import OpenOptions, RowFiles, Source
from bitesize.sources.choices import Choice
from bitesize.sources.columns import LABEL_FIELDS, wanted_fields
from bitesize.sources.combine.zipped import Zipped
from bitesize.sources.given import is_small, plain_labels
from bitesize.sources.layouts.listing import (
    no_fields,
    of_class_files,
    of_many,
    one_kind,
    row_kind,
    row_suffixes,
    with_choices,
)
from bitesize.sources.layouts.objects import of_array, of_values
from bitesize.sources.layouts.pairs import is_image_name, is_mask_name, mask_folder
from bitesize.sources.registry import match_object, need
from bitesize.sources.splits import split_in
from bitesize.storage import paths

_PATH = (str, os.PathLike)
_TEXT = (str, bytes, os.PathLike)
# Packages whose arrays are stored in files, and are read from there.
_HANDLES = ("h5py", "zarr")


def mapping(data: Mapping[str, Any], options: OpenOptions) -> Source:
    """Open a folder or a list of files for each class, or an array for each field."""
    if any(_is_array(value) for value in data.values()):
        return _arrays_by_name(data, options)
    _check_classes(data, options)
    folders = _image_and_mask_folder(data)
    if folders is not None:
        return mask_folder(*folders, options)
    if all(isinstance(value, _PATH) for value in data.values()):
        return _folders_by_class({str(name): folder for name, folder in data.items()}, options)
    return _lists_by_class(
        {str(name): [value] if isinstance(value, _PATH) else list(value) for name, value in data.items()}, options
    )


def _check_classes(data: Mapping[str, Any], options: OpenOptions) -> None:
    """Raise `BadSetting` unless keys may be classes, and values are folders or lists."""
    odd = next((str(name) for name, value in data.items() if not isinstance(value, (*_PATH, list, tuple))), None)
    if not data or odd is not None:
        reason = "" if odd is None else f"the value of {odd!r} is a {type(data[odd]).__name__}: "
        raise BadSetting(
            reason
            + 'a mapping needs a folder for each class, {"cat": folder, "dog": folder}, or an array for each field, {"x": x, "y": y}'
        )
    if options.labels is not None and options.labels is not False:
        raise BadSetting("the keys of a mapping are the classes: drop labels=")
    keys = [str(name) for name in data]
    if len(keys) > 1 and all(split_in(key) for key in keys):
        raise BadSetting(
            f"the keys {', '.join(keys)} look like splits, but the keys of a mapping are classes: open each separately, bs.open(folder)"
        )


def _image_and_mask_folder(data: Mapping[str, Any]) -> tuple[str, str] | None:
    """Return the folders of images and of their masks, if these are what the two keys are called."""
    keys = [str(name) for name in data]
    masks = [key for key in keys if is_mask_name(key)]
    if len(keys) != 2 or len(masks) != 1 or not all(isinstance(value, _PATH) for value in data.values()):
        return None
    images = next(key for key in keys if key != masks[0])
    return (os.fspath(data[images]), os.fspath(data[masks[0]])) if is_image_name(images) else None


def _folders_by_class(folders: Mapping[str, Any], options: OpenOptions) -> Source:
    """Open all files of a folder for each class."""
    listing = merge(folders, row_suffixes())
    suffixes = [suffix for suffix, count in listing.kinds.items() for _ in range(min(count, 2)) if count]
    kind = row_kind(one_kind(suffixes, listing.kinds), options, labeled=True)
    if kind.file_is_row:
        files = RowFiles(listing.names, listing.labels, listing.classes, listing.left_out)
        return _row_per_file(kind, files, options)
    assert listing.labels is not None
    assert listing.classes is not None
    groups = {
        name: [os.fsdecode(listing.names.path(i)) for i in np.flatnonzero(listing.labels == number).tolist()]
        for number, name in enumerate(listing.classes)
    }
    return _rows_by_class(kind, groups, options)


def _lists_by_class(lists: Mapping[str, list[Any]], options: OpenOptions) -> Source:
    """Open listed files for each class."""
    files = [path for of_class in lists.values() for path in of_class]
    odd = next((path for path in files if not isinstance(path, _TEXT)), None)
    if odd is not None:
        raise BadSetting(f"a mapping of classes needs folders or lists of files, but has {odd!r:.80}")
    paths.know_files(files)
    missing = next((path for path in files if not paths.isfile(path)), None)
    if missing is not None:
        raise NotFound(f"{os.fsdecode(missing)} does not exist")
    kind = row_kind(one_kind([os.fsdecode(path) for path in files]), options, labeled=True)
    if not kind.file_is_row:
        groups = {name: [paths.abspath(os.fsdecode(path)) for path in of_class] for name, of_class in lists.items()}
        return _rows_by_class(kind, groups, options)
    numbers = np.repeat(np.arange(len(lists), dtype=np.int64), [len(of_class) for of_class in lists.values()])
    return _row_per_file(kind, RowFiles(names_of(files), numbers, tuple(lists), {}), options)


def _row_per_file(kind: type[Source], files: RowFiles, options: OpenOptions) -> Source:
    """Open files of one row each, by class."""
    if options.labels is False:
        files = files._replace(labels=None, classes=None)
    source = kind.of_files(files, replace(no_fields(options, kind), labels=None))
    need(kind)
    return with_choices(source, Choice("labels: the keys of the mapping", "labels="))


def _rows_by_class(kind: type[Source], groups: Mapping[str, list[str]], options: OpenOptions) -> Source:
    """Open files of many rows, by class."""
    said = Choice("labels: the keys of the mapping, for all rows of their files", "labels=False or labels=")
    return with_choices(of_class_files(kind, groups, options), said)


def _arrays_by_name(data: Mapping[str, Any], options: OpenOptions) -> Source:
    """Open arrays as fields; ``y``, ``label`` or ``labels`` are the labels."""
    names = [str(name) for name in data]
    if options.fields is not None:
        wanted = wanted_fields(options, names)
        unknown = [stored_name for stored_name in wanted.values() if stored_name not in names]
        if unknown:
            raise BadSetting(f"the mapping has no {unknown[0]!r}: it has {', '.join(names)}")
        data = {name: data[stored_name] for name, stored_name in wanted.items()}
        names = list(data)
    _check_lengths(data)
    labels = options.labels
    label = (
        labels
        if isinstance(labels, str)
        else next((name for name in LABEL_FIELDS if name in names), None)
        if labels is None
        else None
    )
    if isinstance(labels, str) and labels not in names:
        raise BadSetting(f"labels={labels!r}: the mapping has {', '.join(names)}")
    inputs = [name for name in names if name != label]
    if not inputs:
        raise BadSetting(f"the mapping has nothing but labels: {', '.join(names)}")
    values = data[label] if label is not None else None if isinstance(labels, str | bool) else labels
    choices = list[Choice]()
    parts: list[tuple[dict[str, str], Source]] = []
    if label is not None and _kind(values) in _HANDLES and not is_small(values):
        parts.append(({label: "x"}, _array_source(label, values, replace(options, labels=None, fields=None))))
        values = None
    elif label is not None:
        frame = next((data[name] for name in inputs if hasattr(data[name], "index")), None)
        values, own_choices = plain_labels(values, frame)
        choices += own_choices
    for i, name in enumerate(inputs):
        source = _array_source(name, data[name], replace(options, labels=values if i == 0 else None, fields=None))
        own = {name: source.primary} | ({label or "y": "y"} if "y" in source.spec else {})
        parts.insert(i, (own, source))
    return with_choices(
        Zipped(parts),
        Choice(f"fields: {', '.join(names)}" + (f"; labels: {label}" if label else ""), "fields= and labels="),
        *choices,
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


def _check_lengths(data: Mapping[str, Any]) -> None:
    """Raise `BadSetting` for values of a mapping that are not arrays, or differ in length."""
    odd = next((name for name, value in data.items() if not _is_array(value) and not isinstance(value, list | tuple)), None)
    if odd is not None:
        value = data[odd]
        if isinstance(value, str | os.PathLike):
            raise BadSetting(
                f"the value of {odd!r} in the mapping is a path, but other values are arrays: bs.zip({odd}=bs.open({os.fspath(value)!r}), ...) joins "
                "the fields of several sources"
            )
        raise BadSetting(
            f"the value of {odd!r} in the mapping is a {type(value).__name__}, not an array: pass np.array(list(...))"
        )
    lengths = {name: _rows(name, value) for name, value in data.items()}
    if len(set(lengths.values())) > 1:
        shapes = ", ".join(f"{name} {getattr(value, 'shape', (lengths[name],))}" for name, value in data.items())
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
