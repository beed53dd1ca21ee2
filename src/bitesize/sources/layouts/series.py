"""Folders of DICOM files whose series are volumes."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bitesize.errors import BadFile, NotFound
from bitesize.files.held import held_starts
from bitesize.files.names import Names, NamesBuilder, names_of
from bitesize.files.pread import with_file
from bitesize.files.scan import class_key, scan
from bitesize.sources.base import OpenOptions, Source
from bitesize.sources.choices import Choice
from bitesize.sources.dicom_series import DicomSeries, Series
from bitesize.sources.layouts.file_labels import label_files
from bitesize.sources.layouts.listing import REASONS, no_fields, with_choices
from bitesize.sources.registry import need
from bitesize.sources.slices import Slice, read_slice
from bitesize.storage import paths

SUFFIXES = (".dcm", ".dicom")
# Files of a folder whose headers are read, evenly spaced, to find out whether it has one series.
_LOOKS = 4
# Folders by which the default is chosen.
_FOLDERS = 8


class FoundSeries(NamedTuple):
    """Series of a folder, files left out, and whether most folders have slices of volumes."""

    series: Series
    left_out: Mapping[str, int]
    are_volumes: bool


def dicom_series(path: str, options: OpenOptions) -> Source | None:
    """Open a folder of DICOM files as volumes, one for each series, if most of its series have several slices."""
    pages = getattr(options, "pages", None)
    if pages not in (None, "depth") or not _holds_dicom(path):
        return None
    need(DicomSeries)
    found = series_in(path, options.split)
    if found is None or not (pages == "depth" or found.are_volumes):
        return None
    series, count = found.series, len(found.series.names)
    no_fields(options)
    labels, classes, said = _labels(series, options)
    source = DicomSeries(series, labels, classes, left_out=found.left_out)
    chosen = Choice(f"each of the {count} series of DICOM files is a volume, its files the slices", 'pages="rows"')
    return with_choices(source, *said, chosen)


def series_in(path: str, split: str | None = None) -> FoundSeries | None:
    """Return the series of the DICOM files below a folder, or None if none of them can be read."""
    try:
        listing = scan(paths.join(path, split) if split else path, SUFFIXES, REASONS, flat=True)
    except NotFound:
        return None
    return group(listing.names, listing.left_out)


def group(names: Names, left_out: Mapping[str, int]) -> FoundSeries | None:
    """Return files by their series: those of a folder, unless a sample of the folder has several series."""
    folders: dict[bytes, list[int]] = {}
    for i in range(len(names)):
        folders.setdefault(names.parts(i)[0], []).append(i)
    chosen: list[list[int]] = []
    own, bad = [], 0
    samples: list[tuple[int, Slice]] = []
    sliced = looked = 0
    for files in folders.values():
        some = [files[k] for k in np.unique(np.linspace(0, len(files) - 1, min(_LOOKS, len(files))).astype(int)).tolist()]
        headers = _headers(names, some)
        if len({each.series for each in headers.values()}) > 1 or any(each.frames > 1 for each in headers.values()):
            headers = _headers(names, files)
            bad += len(files) - len(headers)
            by_series: dict[tuple[str, int], list[int]] = {}
            for i, each in headers.items():
                by_series.setdefault((each.series, i if each.frames > 1 else -1), []).append(i)
            groups = list(by_series.values())
        else:
            groups = [files]
        for files_of_one in groups:
            known = next((i for i in files_of_one if i in headers), None)
            if known is not None and len(samples) < _FOLDERS:
                samples.append((known, headers[known]))
        looked += 1
        sliced += any(len(each) > 1 and any(i in headers and headers[i].position for i in each) for each in groups)
        chosen += groups
        own += [len(groups) == 1] * len(groups)
    if not samples:
        return None
    builder, series_names = NamesBuilder(names.root), []
    for each, alone in zip(chosen, own, strict=True):
        for i in each:
            folder, name = names.parts(i)
            builder.add(folder, (name,))
        first = names.path(each[0])
        series_names.append(paths.dirname(first) if alone and len(each) > 1 else first)
    starts = np.cumsum([0, *map(len, chosen)]).astype(np.int64)
    counts = {"DICOM files that cannot be read": bad} if bad else {}
    series = Series(builder.build(), starts, names_of(series_names), tuple(samples))
    return FoundSeries(series, {**left_out, **counts}, 2 * sliced >= looked)


def _headers(names: Names, numbers: Sequence[int]) -> dict[int, Slice]:
    """Return the headers of files that can be read."""
    found: dict[int, Slice] = {}
    all_paths = [names.path(i) for i in numbers]
    for k in (k for some in held_starts(all_paths) for k in some):
        try:
            found[numbers[k]] = with_file(all_paths[k], lambda fd, k=k: read_slice(fd, all_paths[k]))  # type: ignore[misc]
        except BadFile:
            continue
    return found


def _labels(
    series: Series, options: OpenOptions
) -> tuple[NDArray[np.generic] | None, tuple[str, ...] | None, tuple[Choice, ...]]:
    """Return labels given by the user, or those of class folders: the first folders, if any of them has several series."""
    if options.labels is False:
        return None, None, ()
    if options.labels is not None:
        given = label_files(options.labels, series.names, listed=False, tag_delimiter=options.tag_delimiter)
        return given.values, given.classes, given.choices
    root = series.files.common_root()
    inside = [paths.relpath(series.names.path(i), root).replace(b"\\", b"/").split(b"/") for i in range(len(series.names))]
    tops = [parts[0] if len(parts) > 1 else b"" for parts in inside]
    counts = Counter(tops)
    if b"" in counts or len(counts) < 2 or max(counts.values()) < 2:
        return None, None, ()
    classes = sorted(map(os.fsdecode, counts), key=class_key)
    numbers = {os.fsencode(name): i for i, name in enumerate(classes)}
    said = Choice(f"labels: the names of the {len(classes)} class folders", "labels=")
    return np.array([numbers[top] for top in tops], np.int64), tuple(classes), (said,)


def _holds_dicom(path: str) -> bool:
    """Return whether the first folder with files below a folder has files with suffixes of DICOM."""
    for _, _, files in paths.walk(path):
        ends = [os.path.splitext(name)[1].lower() for name in files if not name.startswith(".")]
        if ends:
            return any(end in SUFFIXES for end in ends)
    return False
