"""Rows of which windows are cut: one long array, or the recordings of a folder, one after another."""

from __future__ import annotations

import glob
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitesize.errors import BadSetting, NotFound, first_few
from bitesize.files.names import Names, names_of
from bitesize.files.scan import matching, merge, scan
from bitesize.lazy.array import LazyArray
from bitesize.sources.arrays import Arrays
from bitesize.sources.base import OpenOptions, Source
from bitesize.sources.choices import Choice
from bitesize.sources.combine.chained import chain
from bitesize.sources.layouts.file_labels import is_pattern, label_files
from bitesize.sources.layouts.listing import REASONS, one_kind, paths_of
from bitesize.sources.npy import NpyFiles
from bitesize.sources.open import open as open_source
from bitesize.sources.registry import match_object
from bitesize.sources.series.alike import alike
from bitesize.sources.table import labeled_files
from bitesize.storage import paths

# Formats of which a folder may hold recordings.
SUFFIXES = frozenset((".npy", ".csv", ".tsv", ".parquet", ".feather", ".arrow"))


@dataclass(frozen=True)
class Recordings:
    """Rows of one or more recordings.

    Attributes
    ----------
    source : Source
        The rows of all recordings: one row for each step.
    ends : ndarray of int64, shape (recordings,)
        Number of rows up to the end of each recording.
    names : tuple of str
        Names of the recordings; empty for a single array.
    labels : ndarray or None
        One label for each recording.
    classes : tuple of str or None
        Names of the classes.
    choices : tuple of Choice
        Decisions about the labels.
    left_out : Mapping of str to int
        What the folder holds besides.
    """

    source: Source
    ends: NDArray[np.int64]
    names: tuple[str, ...] = ()
    labels: NDArray[Any] | None = None
    classes: tuple[str, ...] | None = None
    choices: tuple[Choice, ...] = ()
    left_out: Mapping[str, int] | None = None


# Files of recordings: names, labels, classes, what was left out, and decisions about labels.
_Files = tuple[Names, Any, tuple[str, ...] | None, Mapping[str, int], tuple[Choice, ...]]


def open_recordings(data: Any, labels: Any, fields: Any) -> Recordings:
    """Open the rows of an array, a source, a file, or of several recordings.

    Parameters
    ----------
    data
        As for `bitesize.timeseries`.
    labels
        Labels of the recordings, as for `bitesize.open`; ignored for data that are not several recordings.
    fields
        As for `bitesize.open`.

    Raises
    ------
    BadSetting, BadFile, NotFound
        If the data cannot be opened.
    """
    if isinstance(data, os.PathLike):
        data = os.fspath(data)
    listed = _listed(data, labels)
    if listed is not None:
        return _of_files(*listed, fields)
    if isinstance(data, list | tuple) and data and all(isinstance(each, Source | LazyArray | np.ndarray) for each in data):
        return _of_parts([_opened(each, fields) for each in data], [f"recording {i}" for i in range(len(data))], labels)
    source = _opened(data, fields)
    return Recordings(source, np.array([len(source)], np.int64))


def _opened(data: Any, fields: Any) -> Source:
    """Open the rows of one recording."""
    return data if isinstance(data, Source) else open_source(data, fields=fields)


def _listed(
    data: Any, labels: Any
) -> tuple[Names, Any, tuple[str, ...] | None, Mapping[str, int], tuple[Choice, ...]] | None:
    """Return the files of recordings with their labels; None for other data."""
    flat = labels is not None
    if isinstance(data, Mapping):
        if not all(isinstance(each, str | os.PathLike) for each in data.values()):
            raise BadSetting(
                "a mapping must name one folder of recordings for each class, such as {'walk': 'walk/', 'run': 'run/'}"
            )
        found = merge(data, SUFFIXES)
    elif isinstance(data, str) and paths.isdir(data) and match_object(data) is None:
        if isinstance(labels, str) and not is_pattern(labels):
            table = labeled_files(labels, data, OpenOptions())
            named = label_files(table.labels, table.names, listed=True)
            return table.names, named.values, table.classes or named.classes, {}, table.choices
        found = scan(data, SUFFIXES, REASONS, flat=flat)
    elif isinstance(data, str) and glob.has_magic(data) and not paths.exists(data):
        return _labeled(names_of([paths.abspath(path) for path in matching(data)]), labels, {}, listed=False)
    elif isinstance(data, list | tuple) and data and all(isinstance(each, str | os.PathLike) for each in data):
        return _labeled(names_of(list(data)), labels, {}, listed=True)
    else:
        return None
    if flat and not isinstance(data, Mapping):
        return _labeled(found.names, labels, found.left_out, listed=False)
    if found.classes is None or len(found.classes) < 2:
        return found.names, None, None, found.left_out, ()
    choice = Choice(
        f"labels: the names of the {len(found.classes)} class folders, for all windows of their recordings", "targets="
    )
    return found.names, found.labels, found.classes, found.left_out, (choice,)


def _labeled(names: Names, labels: Any, left_out: Mapping[str, int], *, listed: bool) -> _Files:
    """Return files with the labels that are given for them."""
    found = label_files(None if labels is False else labels, names, listed=listed)
    return names, found.values, found.classes, {**left_out, **found.left_out}, found.choices


def _of_files(
    names: Names,
    labels: NDArray[Any] | None,
    classes: tuple[str, ...] | None,
    left_out: Mapping[str, int],
    choices: tuple[Choice, ...],
    fields: Any,
) -> Recordings:
    """Open files of one recording each."""
    files = paths_of(names)
    missing = [path for path in files if not paths.exists(path)]
    if missing:
        raise NotFound(f"{first_few(missing, 5)} {'does' if len(missing) == 1 else 'do'} not exist")
    shown = [os.fsdecode(names.relative(i)) for i in range(len(names))]
    if one_kind(files) is not NpyFiles:
        parts = [open_source(path, fields=fields) for path in files]
        found = _of_parts(parts, shown, None)
        return Recordings(found.source, found.ends, tuple(shown), labels, classes, (*choices, *found.choices), left_out)
    if fields is not None:
        raise BadSetting(f"fields={fields!r}: .npy files have no named fields")
    source = Arrays.opened(files, OpenOptions())
    assert isinstance(source, Arrays)
    return Recordings(source, source.file_ends, tuple(shown), labels, classes, choices, left_out)


def _of_parts(parts: Sequence[Source], names: Sequence[str], labels: Any) -> Recordings:
    """Join recordings that are open."""
    parts, choices = alike(parts, names)
    ends = np.cumsum([len(part) for part in parts], dtype=np.int64)
    source = parts[0] if len(parts) == 1 else chain(parts)
    found = label_files(None if labels is False else labels, names_of(list(names)), listed=True)
    return Recordings(source, ends, tuple(names), found.values, found.classes, (*found.choices, *choices))
