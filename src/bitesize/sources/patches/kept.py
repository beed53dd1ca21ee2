"""Which patches are kept: decided in one pass over all of them, and remembered as one bit for each."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitesize.errors import BadResult, BadSetting

# Patches counted together, and patches that are looked up at a time.
_GROUP, _AT_ONCE = 512, 4_096
# A function of the pixels of a patch, and of its mask if there is one.
Keep = Callable[..., Any]


class KeptPatches:
    """The numbers of kept patches among all patches.

    Parameters
    ----------
    kept
        Whether each patch is kept, shape (patches,).
    """

    def __init__(self, kept: NDArray[np.bool_]) -> None:
        padded = np.zeros(-(-len(kept) // _GROUP) * _GROUP, np.bool_)
        padded[: len(kept)] = kept
        self._bits = np.packbits(padded.reshape(-1, _GROUP), axis=1)
        counts = padded.reshape(-1, _GROUP).sum(axis=1, dtype=np.int64)
        self._before = np.cumsum(counts) - counts
        self._total: int = int(counts.sum())

    def __len__(self) -> int:
        return self._total

    def numbers(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the numbers among all patches of some kept patches."""
        found = np.empty(len(rows), np.int64)
        for start in range(0, len(rows), _AT_ONCE):
            some = rows[start : start + _AT_ONCE]
            groups = np.searchsorted(self._before, some, side="right") - 1
            bits = np.unpackbits(self._bits[groups], axis=1)
            reached = np.cumsum(bits, axis=1, dtype=np.int32) > (some - self._before[groups])[:, None]
            found[start : start + _AT_ONCE] = groups * _GROUP + reached.argmax(axis=1)
        return found

    def rows(self, numbers: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return how many patches are kept before each number."""
        groups, rest = np.divmod(numbers, _GROUP)
        inside = groups < len(self._before)
        found = np.full(len(numbers), self._total, np.int64)
        bits = np.unpackbits(self._bits[groups[inside]], axis=1)
        before = np.arange(_GROUP) < rest[inside, None]
        found[inside] = self._before[groups[inside]] + (bits & before).sum(axis=1, dtype=np.int64)
        return found

    @property
    def nbytes(self) -> int:
        """Bytes of the bits and their counts."""
        return int(self._bits.nbytes + self._before.nbytes)

    @property
    def identity(self) -> bytes:
        """Bytes that identify the kept patches."""
        return self._bits.tobytes()


def keep_function(keep: Any, background: Any, channels: tuple[int, ...]) -> Keep:
    """Return the function that decides whether a patch is kept.

    Parameters
    ----------
    keep
        The function itself, or the share of pixels that must not be background, from 0 to 1.
    background
        A value, one value for each channel, or a pair of values (a tuple): all between them.
    channels
        Shape of a pixel.

    Raises
    ------
    BadSetting
        If the settings are not valid.
    """
    if callable(keep):
        return keep  # type: ignore[no-any-return]
    if isinstance(keep, bool) or not isinstance(keep, int | float | np.number) or not 0 <= keep <= 1:
        raise BadSetting(f"keep must be a function of a patch, or a share of pixels from 0 to 1, not {keep!r}")
    if isinstance(background, tuple):
        if len(background) != 2:
            raise BadSetting(f"background={background!r}: a tuple is the lowest and the highest value of the background")
        low, high = (np.asarray(each) for each in background)
    else:
        low = high = np.asarray(background)
    for each in (low, high):
        if each.dtype.kind not in "buif" or each.shape not in ((), channels):
            raise BadSetting(
                f"background={background!r} must be a number, or a number for each of the {math.prod(channels)} channels"
            )
    share, with_channels = float(keep), bool(channels)

    def enough(pixels: NDArray[Any], *mask: NDArray[Any]) -> bool:
        """Return whether enough pixels are not background."""
        inside: NDArray[np.bool_] = (pixels >= low) & (pixels <= high)
        if with_channels:
            inside = np.asarray(inside.all(axis=-1))
        return bool(inside.size - np.count_nonzero(inside) >= share * inside.size)

    return enough


def decided(keep: Keep, arrays: tuple[NDArray[Any], ...], describe: Callable[[int], str]) -> NDArray[np.bool_]:
    """Return what the function decides for some patches. Its own errors get a note with the patch.

    Raises
    ------
    BadResult
        If it does not return True or False.
    """
    kept = np.empty(len(arrays[0]), np.bool_)
    for i, patch in enumerate(zip(*arrays, strict=True)):
        try:
            result = keep(*patch)
        except Exception as error:
            given = "pixels and mask" if len(patch) > 1 else "pixels"
            error.add_note(f"bitesize: keep= was called with the {given} of {describe(i)}")
            raise
        if not isinstance(result, bool | np.bool_):
            raise BadResult(
                f"keep must return True or False, but it returned {type(result).__name__} {result!r} for {describe(i)}"
            )
        kept[i] = result
    return kept


def in_threads(work: Callable[[tuple[int, int]], NDArray[np.bool_]], parts: Iterable[tuple[int, int]], threads: int) -> Iterator[
    NDArray[np.bool_]
]:  # fmt: skip
    """Yield the results of parts in order; as many parts as threads are in memory."""
    remaining = iter(parts)
    with ThreadPoolExecutor(threads, thread_name_prefix="bitesize-patches") as pool:
        waiting = [pool.submit(work, part) for part in islice(remaining, threads)]
        try:
            while waiting:
                yield waiting.pop(0).result()
                waiting += [pool.submit(work, part) for part in islice(remaining, 1)]
        finally:
            for each in waiting:
                each.cancel()
