"""Folders of DICOM files whose series are volumes."""

from __future__ import annotations

import os
from collections import Counter

import numpy as np
from numpy.typing import NDArray

from bitesize.files.scan import class_key
from bitesize.sources.base import OpenOptions, Source
from bitesize.sources.choices import Choice
from bitesize.sources.dicom_series import DicomSeries
from bitesize.sources.layouts.file_labels import label_files
from bitesize.sources.layouts.listing import REASONS, no_fields, with_choices
from bitesize.sources.registry import need
from bitesize.sources.series_files import SUFFIXES, Series, series_in
from bitesize.storage import paths


def dicom_series(path: str, options: OpenOptions) -> Source | None:
    """Open a folder of DICOM files as volumes, one for each series, if most of its series have several slices."""
    pages = getattr(options, "pages", None)
    if pages not in (None, "depth") or not _holds_dicom(path):
        return None
    need(DicomSeries)
    found = series_in(paths.join(path, options.split) if options.split else path, REASONS)
    if found is None or not (pages == "depth" or found.are_volumes):
        return None
    series, count = found.series, len(found.series.names)
    no_fields(options)
    labels, classes, said = _labels(series, options)
    source = DicomSeries(series, labels, classes, left_out=found.left_out)
    chosen = Choice(f"each of the {count} series of DICOM files is a volume, its files the slices", 'pages="rows"')
    return with_choices(source, *said, chosen)


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
