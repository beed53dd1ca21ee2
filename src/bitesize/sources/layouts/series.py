"""Folders of DICOM files whose series are volumes."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Generator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from bitesize.decode.dicom_stream import MAGIC, MAGIC_AT
from bitesize.errors import BitesizeError
from bitesize.files.pread import read_into, with_file
from bitesize.files.scan import class_key, is_litter, scan
from bitesize.sources.base import OpenOptions, Source
from bitesize.sources.choices import Choice
from bitesize.sources.dicom_series import DicomSeries
from bitesize.sources.images import ImageFiles
from bitesize.sources.layouts.file_labels import label_files
from bitesize.sources.layouts.folders import files_of_one_row, listed_folder
from bitesize.sources.layouts.listing import REASONS, file_suffixes, no_fields, with_choices
from bitesize.sources.registry import need
from bitesize.sources.series_files import SUFFIXES, Series, series_in
from bitesize.storage import paths

# Suffixes of files that accompany data, and show that a folder is not one of files without suffixes.
_OTHER = frozenset((".txt", ".md", ".json", ".xml", ".yaml", ".yml", ".py", ".ipynb", ".html", ".log", ".ini"))
# Files and folders that are looked at.
_FEW = 5


def dicom_series(path: str, options: OpenOptions, open_folder: Callable[[str, OpenOptions], Source]) -> Source | None:
    """Open a folder of DICOM files as volumes, one for each series, if most of its series have several slices; without suffixes also as images."""
    pages = options.pages
    kind = _first_kind(path)
    if kind is None or (kind == "suffix" and pages == "first"):
        return None
    need(DicomSeries)
    folder, suffixes = (paths.join(path, options.split) if options.split else path), SUFFIXES if kind == "suffix" else None
    found = series_in(folder, suffixes, REASONS) if pages in (None, "depth") else None
    if found is None or not (pages == "depth" or found.are_volumes):
        images = replace(options, pages="first")  # of files with several frames
        return listed_folder(path, images, open_folder) if kind == "suffix" else _images(folder, images)
    series, count = found.series, len(found.series.names)
    no_fields(options)
    labels, classes, said = _labels(series, options)
    source = DicomSeries(series, labels, classes, left_out=found.left_out)
    chosen = Choice(f"each of the {count} series of DICOM files is a volume, its files the slices", 'pages="rows"')
    return with_choices(source, *said, chosen)


def _images(folder: str, options: OpenOptions) -> Source:
    """Open DICOM files without suffixes as images."""
    listing = scan(folder, None, REASONS, flat=options.labels is not None)
    return files_of_one_row(listing, ImageFiles, replace(options, split=None))


def _labels(
    series: Series, options: OpenOptions
) -> tuple[NDArray[np.generic] | None, tuple[str, ...] | None, tuple[Choice, ...]]:
    """Return labels given by the user, or those of class folders: the first folders, if any of them has several series."""
    if options.labels is False:
        return None, None, ()
    if options.labels is not None:
        given = label_files(options.labels, series.names, listed=False, tag_delimiter=options.tag_delimiter)
        return given.values, given.classes, given.choices
    inside = [series.names.relative(i).replace(b"\\", b"/").split(b"/") for i in range(len(series.names))]
    tops = [parts[0] if len(parts) > 1 else b"" for parts in inside]
    counts = Counter(tops)
    if b"" in counts or len(counts) < 2 or max(counts.values()) < 2:
        return None, None, ()
    classes = sorted(map(os.fsdecode, counts), key=class_key)
    numbers = {os.fsencode(name): i for i, name in enumerate(classes)}
    said = Choice(f"labels: the names of the {len(classes)} class folders", "labels=")
    return np.array([numbers[top] for top in tops], np.int64), tuple(classes), (said,)


def _first_kind(path: str) -> str | None:
    """Return whether the first files below a folder are DICOM by their ``"suffix"``, or, if they have no known suffixes, by ``"magic"``."""
    known = file_suffixes() | {*REASONS} | _OTHER
    nameless: list[str] = []
    for name in _first_files(path):
        end = os.path.splitext(name)[1].lower()
        if end in SUFFIXES:
            return "suffix"
        if end in known:
            return None
        nameless.append(name)
    return "magic" if nameless and _has_magic(nameless[0]) else None


def _first_files(folder: str, depth: int = 8) -> list[str]:
    """Return a few of the first files of a folder, or of the first folder below it with files."""
    files: list[str] = []
    folders: list[str] = []
    entries = paths.scandir(folder)
    for entry in entries:
        if not is_litter(os.fsencode(entry.name)):
            (files if entry.is_file() else folders).append(entry.path)
        if len(files) == _FEW:
            break
    if isinstance(entries, Generator):
        entries.close()
    for below in () if files or not depth else sorted(folders)[:_FEW]:
        files = files or (_first_files(below, depth - 1) if paths.isdir(below) else [])
    return files


def _has_magic(path: str) -> bool:
    name, start = os.fsencode(path), bytearray(MAGIC_AT + len(MAGIC))
    try:
        with_file(name, lambda fd: read_into(fd, [start], 0, name))
    except BitesizeError:
        return False
    return start.endswith(MAGIC)
