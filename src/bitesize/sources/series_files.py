"""Finding series of DICOM files in folders."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bitesize.errors import BitesizeError, NotFound
from bitesize.files.held import held_starts
from bitesize.files.names import Names, NamesBuilder
from bitesize.files.pread import with_file
from bitesize.files.scan import scan
from bitesize.sources.slices import Slice, read_slice
from bitesize.storage import paths

SUFFIXES = (".dcm", ".dicom")
# Files of a folder whose headers are read, evenly spaced, to find out whether it has one series.
_LOOKS = 4
# Series of which a header is kept.
_KEPT = 8


class Series(NamedTuple):
    """Files of all series, and what is known of them.

    Attributes
    ----------
    files : Names
        All files, those of a series one after another.
    starts : ndarray of int64, shape (series + 1,)
        First file of each series, and the number of files.
    names : Names
        A path for each series: its folder, or its first file if the folder has several series.
    samples : tuple of (int, Slice)
        Headers of some files of different series, with the numbers of the files.
    """

    files: Names
    starts: NDArray[np.int64]
    names: Names
    samples: tuple[tuple[int, Slice], ...]


class FoundSeries(NamedTuple):
    """Series of a folder, files left out, and whether most folders have slices of volumes."""

    series: Series
    left_out: Mapping[str, int]
    are_volumes: bool


def series_in(
    path: str, suffixes: Sequence[str] | None = SUFFIXES, reasons: Mapping[str, str] | None = None
) -> FoundSeries | None:
    """Return the series of the DICOM files below a folder, or None if none of them can be read."""
    try:
        listing = scan(path, suffixes, reasons, flat=True)
    except NotFound:
        return None
    return group(listing.names, listing.left_out)


def group(names: Names, left_out: Mapping[str, int]) -> FoundSeries | None:
    """Return files by their series: those of a folder, unless a sample of the folder has several series."""
    folders: dict[bytes, list[int]] = {}
    for i in range(len(names)):
        folders.setdefault(names.parts(i)[0], []).append(i)
    chosen: list[_Files] = []
    samples: list[tuple[int, Slice]] = []
    bad = sliced = 0
    for files in folders.values():
        headers, groups = _groups(names, files)
        bad += len(files) - sum(len(each.numbers) for each in groups)
        for each in groups:
            known = next((i for i in each.numbers if i in headers), None)
            if known is not None and len(samples) < _KEPT:
                samples.append((known, headers[known]))
        sliced += any(
            len(each.numbers) > 1 and any(i in headers and headers[i].position for i in each.numbers) for each in groups
        )
        chosen += groups
    if not samples:
        return None
    counts = {"DICOM files that cannot be read": bad} if bad else {}
    return FoundSeries(_joined(names, chosen, samples), {**left_out, **counts}, 2 * sliced >= len(folders))


class _Files(NamedTuple):
    """Files of one series, and whether they are alone in their folder."""

    numbers: list[int]
    alone: bool


def _groups(names: Names, files: list[int]) -> tuple[dict[int, Slice], list[_Files]]:
    """Return headers of files of one folder, and the files of each series."""
    some = [files[k] for k in np.unique(np.linspace(0, len(files) - 1, min(_LOOKS, len(files))).astype(int)).tolist()]
    headers = _headers(names, some)
    if len({each.series for each in headers.values()}) < 2 and all(each.frames == 1 for each in headers.values()):
        return headers, [_Files(files, alone=len(files) > 1)]
    headers = _headers(names, files)
    by_series: dict[tuple[str, int], list[int]] = {}
    for i, each in headers.items():  # a file of several frames is a volume of its own
        by_series.setdefault((each.series, i if each.frames > 1 else -1), []).append(i)
    return headers, [_Files(numbers, alone=False) for numbers in by_series.values()]


def _joined(names: Names, groups: Sequence[_Files], samples: Sequence[tuple[int, Slice]]) -> Series:
    """Return the files of all series, in order."""
    builder, named = NamesBuilder(names.root), NamesBuilder(names.root)
    for numbers, alone in groups:
        for i in numbers:
            folder, name = names.parts(i)
            builder.add(folder, (name,))
        folder, name = names.parts(numbers[0])
        if alone and folder:
            folder, name = paths.split(folder)
        named.add(folder, (name,))
    starts = np.cumsum([0, *(len(numbers) for numbers, _ in groups)]).astype(np.int64)
    return Series(builder.build(), starts, named.build(), tuple(samples))


def _headers(names: Names, numbers: Sequence[int]) -> dict[int, Slice]:
    """Return the headers of files that can be read."""
    found: dict[int, Slice] = {}
    all_paths = [names.path(i) for i in numbers]
    for k in (k for some in held_starts(all_paths) for k in some):
        try:
            found[numbers[k]] = with_file(all_paths[k], lambda fd, k=k: read_slice(fd, all_paths[k]))  # type: ignore[misc]
        except BitesizeError:
            continue
    return found
