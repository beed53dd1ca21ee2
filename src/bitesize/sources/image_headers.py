"""Checking the headers of a few image files when data is opened, for losses in decoding."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from bitesize.decode.reduced import COLORS_ARE_REDUCED, KEEPING, KEEPS_VALUES, gray_is_reduced
from bitesize.decode.tiff import TiffFacts, tiff_facts
from bitesize.decode.tiff_header import seems_usual
from bitesize.errors import BitesizeError
from bitesize.files.held import held_starts
from bitesize.files.names import Names, show
from bitesize.files.pread import Handle, with_file
from bitesize.sources.choices import Choice
from bitesize.sources.tiff_pages import pages_of_metadata, read_part
from bitesize.spec import Mode, Pages

# Number of files whose headers are checked, evenly spaced.
_LOOKS = 8
_PNG, _TIFF, _DICOM = (b".png",), (b".tif", b"tiff"), (b".dcm", b"icom")
# The header of a PNG: its signature, and the first chunk with width, height, bits of a value, and type of color.
_PNG_NBYTES, _PNG_BITS, _PNG_TYPE, _PNG_GRAY = 33, 24, 25, 0


class ProbedImages(NamedTuple):
    """Notes on images when they are opened; see `Source.left_out` and `Source.choices`."""

    left_out: dict[str, int]
    choices: tuple[Choice, ...]
    pages: Pages = "first"


def probe(names: Names, mode: Mode, pages: Pages | None = "first") -> ProbedImages:
    """Check the headers of a few PNG and TIFF files: whether they have more than 8 bits, and more pages than one.

    Unreadable files are skipped: they are reported when their rows are read.

    Parameters
    ----------
    names
        The files.
    mode
        Mode of decoded images.
    pages
        What the pages of a TIFF are; None for what metadata say.
    """
    if pages == "rows" and names.ending(_DICOM, 1) and not names.ending(_TIFF, 1):
        pages = "first"  # each slice of a series is a row
    if pages in ("channels", "depth", "rows"):
        return ProbedImages({}, (), pages)
    tiffs = list(_facts_of_tiffs(names, names.ending(_TIFF, _LOOKS)))
    stacks = [(path, facts.pages) for path, facts in tiffs if facts.pages > 1]
    choices: tuple[Choice, ...] = ()
    left_out = {}
    if stacks:
        path, count = stacks[0]
        example = f"{os.path.basename(show(path))} has {count}"
        known = pages_of_metadata(path) if pages is None else None
        if known is not None:
            said = Choice(f"pages of TIFF files: {known[0]}, by the axes {known[1]} in their metadata ({example})", "pages=")
            return ProbedImages({}, (said,), known[0])
        left_out[f"pages after the first of TIFF files ({example})"] = len(stacks)
        if pages is None:
            choices = (Choice(f"pages of TIFF files: only the first ({example})", "pages="),)
    return ProbedImages(left_out, (*choices, *_losses(names, mode, tiffs)))


def _losses(names: Names, mode: Mode, tiffs: Sequence[tuple[bytes, TiffFacts]]) -> tuple[Choice, ...]:
    """Return a note if a mode reduces images to 8 bits."""
    if mode in KEEPING:
        return ()
    wide = [(facts.bands, facts.bits) for _, facts in tiffs if facts.bits > 8 and not facts.floats]
    gray = max((bits for bands, bits in wide if bands == 1), default=0)
    if not gray:
        wide += [(bands, 16) for bands in _wide_pngs(names, names.ending(_PNG, _LOOKS))]
        gray = max((bits for bands, bits in wide if bands == 1), default=0)
    if gray:
        return (Choice(gray_is_reduced(gray), KEEPS_VALUES),)
    return (Choice(COLORS_ARE_REDUCED, KEEPS_VALUES),) if wide else ()


def looks_of(files: Sequence[tuple[int, bytes]]) -> Iterator[tuple[int, bool | None]]:
    """Yield the numbers of files, with True if the beginning shows 8-bit gray or RGB, False if it shows more, None if it does not show it."""
    for number in (i for some in held_starts([path for _, path in files]) for i in some):
        row, path = files[number]
        try:
            yield row, with_file(path, lambda fd, path=path: _seems_usual(fd, path))  # type: ignore[misc]
        except BitesizeError:
            yield row, None


def _seems_usual(fd: Handle, path: bytes) -> bool | None:
    start = read_part(fd, 0, _PNG_NBYTES, path)
    if len(start) == _PNG_NBYTES and start[:8] == b"\x89PNG\r\n\x1a\n":
        return start[_PNG_BITS] <= 8
    facts = tiff_facts(lambda at, size: read_part(fd, at, size, path))
    return seems_usual(facts) if facts is not None else None


def _facts_of_tiffs(names: Names, chosen: Sequence[int]) -> Iterable[tuple[bytes, TiffFacts]]:
    """Return path and header of each readable TIFF."""
    for number in _held(names, chosen):
        path = names.path(number)
        try:
            facts = with_file(path, lambda fd, path=path: tiff_facts(lambda at, size: read_part(fd, at, size, path)))  # type: ignore[misc]
        except BitesizeError:
            continue
        if facts is not None:
            yield path, facts


def _held(names: Names, chosen: Sequence[int]) -> Iterator[int]:
    """Yield files, whose beginnings are in memory if they are objects."""
    return (chosen[i] for some in held_starts([names.path(number) for number in chosen]) for i in some)


def _wide_pngs(names: Names, chosen: Sequence[int]) -> list[int]:
    """Return the channels of PNGs of 16 bits: 1 for gray, else 3."""
    channels = []
    for number in _held(names, chosen):
        path = names.path(number)
        try:
            start = with_file(path, lambda fd, path=path: read_part(fd, 0, _PNG_NBYTES, path))  # type: ignore[misc]
        except BitesizeError:
            continue
        if len(start) == _PNG_NBYTES and start[:8] == b"\x89PNG\r\n\x1a\n" and start[_PNG_BITS] == 16:
            channels.append(1 if start[_PNG_TYPE] == _PNG_GRAY else 3)
    return channels
