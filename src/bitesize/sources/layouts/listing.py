"""Creating a source from file names: their format, files to leave out, and labels."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from bitesize.decode.foreign import FOREIGN_SUFFIXES
from bitesize.decode.header import sniff
from bitesize.errors import BadSetting, BitesizeError
from bitesize.files.names import Names, show, suffix_of
from bitesize.files.pread import read_into, with_file
from bitesize.sources.arrays import Arrays
from bitesize.sources.base import OpenOptions, RowFiles, Source
from bitesize.sources.choices import Choice
from bitesize.sources.combine.with_fields import WithFields
from bitesize.sources.combine.zipped import Zipped
from bitesize.sources.images import ImageFiles
from bitesize.sources.labels import class_numbers
from bitesize.sources.layouts.file_labels import label_files
from bitesize.sources.npy import NpyFiles
from bitesize.sources.registry import by_suffix, kinds, match_object, need
from bitesize.sources.splits import SplitRequired, choose_files, usual_split
from bitesize.storage import paths

# Files that describe other files, and are left out.
TABLES = frozenset((".csv", ".tsv", ".jsonl"))
# Reasons for leaving out files that users might expect.
REASONS: Mapping[str, str] = {
    **{suffix: f"{each.name} ({suffix}): {each.way}" for suffix, each in FOREIGN_SUFFIXES.items()},
    ".zip": "archives (.zip): extract them",
    ".tgz": "archives (.tgz): extract them",
    ".tar.gz": "archives (.tar.gz): extract them",
    ".gz": "compressed files (.gz): extract them",
    ".rar": "archives (.rar): extract them",
    ".7z": "archives (.7z): extract them",
    ".wav": "sound (.wav): save it as .npy",
    ".mp3": "sound (.mp3): save it as .npy",
    ".flac": "sound (.flac): save it as .npy",
    ".pkl": "pickles (.pkl), which could run code when read: save the data as .npy or Parquet",
    ".pickle": "pickles (.pickle), which could run code when read: save the data as .npy or Parquet",
    ".xlsx": "workbooks (.xlsx): save them as CSV or Parquet",
    ".xls": "workbooks (.xls): save them as CSV or Parquet",
    ".tfrecord": "TFRecord files (.tfrecord): read them with TensorFlow, save them as tar or Parquet",
    ".mdb": "LMDB databases (.mdb): save their entries as files",
}


def file_suffixes() -> set[str]:
    """Return the suffixes of all formats."""
    return {suffix for kind in kinds() for suffix in kind.suffixes}


def row_suffixes() -> set[str]:
    """Return the suffixes of files that are, or may be, one row each."""
    return {suffix for kind in kinds() if kind.file_is_row or kind.one_row_kind for suffix in kind.suffixes}


def row_kind(kind: type[Source], options: OpenOptions, *, labeled: bool) -> type[Source]:
    """Return the source class that reads each file as one row or as many rows, as requested.

    Parameters
    ----------
    kind
        Source class of the files, by suffix.
    options
        Options of the user. Without ``file_is_row``, files that may be either are one row each if each has a label.
    labeled
        Whether each file has a label, as in class folders.

    Raises
    ------
    BadSetting
        If files of this format never fit the request.
    """
    is_row = options.file_is_row
    if is_row is None:
        return kind.one_row_kind or kind if labeled else kind
    if is_row == kind.file_is_row:
        return kind
    # The sources of one large .npy file and of many files do not refer to each other.
    twin = kind.one_row_kind if is_row else Arrays if kind is NpyFiles else kind.many_rows_kind
    if twin is None:
        raise BadSetting(f"file_is_row={is_row}: {kind.title} always hold {'many rows' if is_row else 'one row'} each")
    return twin


def label_each_file(labels: Any, files: int) -> bool:
    """Return whether labels are one per file of several files."""
    if isinstance(labels, Mapping):
        return True
    return files > 1 and not isinstance(labels, str) and hasattr(labels, "__len__") and len(labels) == files


def one_kind(names: Sequence[str], counts: Mapping[str, int] | None = None) -> type[Source]:
    """Return the source class of all these files.

    Raises
    ------
    BadSetting
        If a file has no known format, or there are several formats.
    """
    suffixes = counts or Counter(map(_suffix, names))
    chosen: dict[type[Source], str] = {}
    for name in {_suffix(name) or name: name for name in names}.values():
        kind = (match_object(name) if paths.isdir(name) else by_suffix(name)) or _by_bytes(name)
        if kind is None:
            why = REASONS.get(_suffix(name))
            raise BadSetting(
                f"{name} cannot be opened: {why or 'neither its suffix nor its first bytes match a known format (`bitesize formats` lists them)'}"
            )
        chosen[kind] = name
    if len(chosen) > 1:
        seen = ", ".join(f"{count} {suffix or 'without a suffix'}" for suffix, count in sorted(suffixes.items()))
        raise BadSetting(f"found several file formats ({seen}): open them separately, or pass a list of files")
    return next(iter(chosen))


def of_names(
    names: Names, left_out: Mapping[str, int], options: OpenOptions, *, listed: bool, kind: type[Source] | None = None
) -> Source:
    """Open files of one row each, with the given labels."""
    kind = kind or one_kind([os.fsdecode(names.path(i)) for i in range(len(names))])
    need(kind)
    file_labels = label_files(
        None if options.labels is False else options.labels, names, listed=listed, tag_delimiter=options.tag_delimiter
    )
    files = RowFiles(names, file_labels.values, file_labels.classes, {**left_out, **file_labels.left_out})
    source = kind.of_files(files, replace(no_fields(options, kind), labels=None))
    return with_choices(source, *file_labels.choices)


def of_many(kind: type[Source], data: Any, options: OpenOptions, where: str = "") -> Source:
    """Open data that may have named fields; labels given as values become an additional field."""
    need(kind)
    if options.split is not None and not kind.has_splits:
        raise BadSetting(f"split={options.split!r}: {where or f'{data!r:.100}'} has no splits")
    labels = options.labels
    if labels is False:
        return without_labels(kind.opened(data, replace(options, labels=None)))
    if (
        labels is None
        or isinstance(labels, str)
        or (kind.has_splits and not kind.has_members and not isinstance(labels, Mapping))
    ):
        return kind.opened(data, options)  # tables handle lists, which may name columns
    source = kind.opened(data, replace(options, labels=None))
    if isinstance(labels, Mapping):
        raise BadSetting(
            "labels={name: label} is for files of one row each, but these hold many: pass one label per row, or the name of a field"
        )
    numbers, classes = class_numbers(labels, len(source), options.tag_delimiter)
    return WithFields(source, {"y": numbers}, classes)


def of_many_files(kind: type[Source], files: list[str], where: str, options: OpenOptions) -> Source:
    """Open the files of a split by name; or the rows of a split, by a column of the files."""
    split = options.split
    whole = replace(options, split=None)
    if not kind.has_splits:
        return of_many(kind, choose_files(files, split, where), whole, where)
    if not any(usual_split(paths.basename(path)) for path in files):
        return of_many(kind, files, options, where)
    try:
        chosen = choose_files(files, split, where)
        try:
            return of_many(kind, chosen, whole, where)
        except SplitRequired:
            if split is None:
                raise
            return of_many(kind, chosen, options, where)
    except BitesizeError as error:
        if split is None or isinstance(error, BadSetting):
            raise
        try:
            return of_many(kind, files, options, where)
        except BadSetting:
            raise error from None


def of_class_files(kind: type[Source], groups: Mapping[str, list[str]], options: OpenOptions) -> Source:
    """Open files of many rows per class: all rows of a file have the label of its class."""
    from bitesize.sources.combine.chained import chain

    need(kind)
    if kind.suffixes and {*kind.suffixes} & TABLES:  # refused if each file is a recording
        kind.opened([path for files in groups.values() for path in files], replace(options, labels=None))
    parts, counts = [], []
    for files in groups.values():
        part = without_labels(kind.opened(files, replace(options, labels=None)))
        parts.append(part)
        counts.append(len(part))
    joined = parts[0] if len(parts) == 1 else chain(parts)
    labels = np.repeat(np.arange(len(counts), dtype=np.int64), counts)
    if "y" in joined.spec:
        raise BadSetting(
            f"the files of {next(iter(groups))!r} have a field y, but their folder is also a label: select other fields with fields="
        )
    return WithFields(joined, {"y": labels}, tuple(groups))


def without_labels(source: Source) -> Source:
    """Return a source without its labels."""
    label = source.label_name
    if label is None or len(source.spec) == 1:
        return source
    return Zipped([({name: name for name in source.spec if name != label}, source)])


def with_choices(source: Source, *choices: Choice) -> Source:
    """Return the source after adding choices to it."""
    source.choices = (*choices, *source.choices)
    return source


def no_fields(options: OpenOptions, kind: type[Source] | None = None) -> OpenOptions:
    """Raise `BadSetting` for names of fields if the data has no named fields."""
    if options.fields is not None and (kind is None or not kind.has_names):
        raise BadSetting(f"fields={options.fields!r}: this data has no named fields, its fields are x and y")
    return options


def folder_of(path: str | bytes) -> str:
    """Return the name of the folder of a path, for messages."""
    return show(paths.dirname(os.fsencode(path)))


def paths_of(names: Names) -> list[str]:
    """Return all paths as text."""
    return [os.fsdecode(names.path(i)) for i in range(len(names))]


def _suffix(path: str) -> str:
    """Return the suffix of a path, in lower case."""
    return os.fsdecode(suffix_of(os.fsencode(os.path.basename(path))))


def _by_bytes(path: str) -> type[Source] | None:
    """Return the source class of images if the first bytes of a file are those of an image."""
    start = bytearray(16)
    try:
        with_file(os.fsencode(path), lambda fd: read_into(fd, [start], 0, os.fsencode(path)))
        sniff(bytes(start))
    except BitesizeError:
        return None
    return ImageFiles
