"""Run-length codes of masks, as in COCO: lengths of background and object in turn, column by column."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from numpy.typing import NDArray

from bitesize.errors import BadFile


def run_lengths(counts: str | bytes | Sequence[int]) -> list[int]:
    """Return the lengths of runs; text is the compressed form of pycocotools.

    Raises
    ------
    BadFile
        If the text is damaged.

    Examples
    --------
    >>> run_lengths([3, 2, 4]), run_lengths("324")
    ([3, 2, 4], [3, 2, 4])
    """
    if not isinstance(counts, str | bytes):
        return list(counts)
    codes = counts.encode() if isinstance(counts, str) else counts
    lengths: list[int] = []
    value = shift = 0
    for code in codes:
        bits = code - 48
        if not 0 <= bits < 64:
            raise BadFile(f"a run-length code contains {chr(code)!r}")
        value |= (bits & 31) << shift
        shift += 5
        if bits & 32:  # more of this number follows
            continue
        if bits & 16:
            value -= 1 << shift
        lengths.append(value + (lengths[-2] if len(lengths) > 2 else 0))
        value = shift = 0
    if shift:
        raise BadFile("a run-length code ends within a number")
    return lengths


def check_lengths(lengths: Sequence[Any], height: int, width: int) -> None:
    """Raise `BadFile` unless runs cover an image exactly."""
    if not all(isinstance(length, int) and length >= 0 for length in lengths) or sum(lengths) != height * width:
        raise BadFile(f"run lengths do not add up to {height} x {width} pixels")


def fill_runs(lengths: Sequence[int], number: int, out: NDArray[Any]) -> None:
    """Write a number where the object is, into an array of shape (height, width)."""
    height = len(out)
    stop = 0
    for i, length in enumerate(lengths):
        start, stop = stop, stop + length
        if i % 2 == 0 or not length:
            continue
        first, top = divmod(start, height)
        last, bottom = divmod(stop - 1, height)
        if first == last:
            out[top : bottom + 1, first] = number
            continue
        out[top:, first] = number
        out[:, first + 1 : last] = number
        out[: bottom + 1, last] = number


def area(lengths: Sequence[int]) -> int:
    """Return the number of pixels of the object."""
    return sum(lengths[1::2])
