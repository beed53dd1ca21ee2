"""The numbers in masks: one pass over all masks, by threads, with one mask at a time in the memory of each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bitesize.decode.header import read_info
from bitesize.decode.mask import decode_mask, mask_dtype, mask_nbytes
from bitesize.errors import BadFile, BadRows, BadSetting, BitesizeError, without_frames
from bitesize.memory.budget import Budget
from bitesize.memory.limits import processor_share
from bitesize.pipeline.probe import ignored
from bitesize.scan.threads import deal
from bitesize.sources.base import Source
from bitesize.sources.sinks import EncodedSink
from bitesize.spec import Encoded, Field

# Largest number of a mask: 16 bits.
_MOST = 65_535
# Pixels that are counted at a time: NumPy counts them as int64.
_AT_ONCE = 1 << 16


class NumbersOfRow(NamedTuple):
    """The numbers of one mask.

    Attributes
    ----------
    row : int
    counts : ndarray of int64, shape (largest number + 1,)
        Pixels with each number.
    error : BitesizeError or None
        Why the mask cannot be read; loaders report it with the row.
    """

    row: int
    counts: NDArray[np.int64]
    error: BitesizeError | None = None


def is_mask(source: Source) -> bool:
    """Return whether the labels of a source are masks."""
    field = source.spec.get("y")
    return field is not None and (field.kind == "mask" if isinstance(field, Encoded) else field.mask)


def numbers_of(source: Source) -> Iterator[NumbersOfRow]:
    """Yield the numbers in the mask of each row.

    Raises
    ------
    BadSetting
        If a number is below 0 or needs more than 16 bits.
    """
    budget = Budget("auto")
    workers = [_Reader(source, budget) for _ in range(processor_share())]
    with closing(deal(range(len(source)), workers)) as found:
        yield from found


def count_numbers(source: Source) -> dict[int, int]:
    """Return the number of pixels with each number, in the masks of all rows that can be read.

    Raises
    ------
    BadFile
        If no mask can be read; the error of the first one.
    """
    return count_numbers_and_masks(source)[0]


def count_numbers_and_masks(source: Source) -> tuple[dict[int, int], dict[int, int]]:
    """Return for each number its pixels, and the masks that have it; otherwise as `count_numbers`."""
    counts: Counter[int] = Counter()
    masks: Counter[int] = Counter()
    first: BitesizeError | None = None
    read = False
    for each in numbers_of(source):
        first, read = first or each.error, read or each.error is None
        there = np.flatnonzero(each.counts)
        counts.update(dict(zip(there.tolist(), each.counts[there].tolist(), strict=True)))
        masks.update(there.tolist())
    if first is not None and not read:
        raise first
    return dict(sorted(counts.items())), masks


class _Reader:
    """Reads masks, in one thread."""

    def __init__(self, source: Source, budget: Budget) -> None:
        self._source, self._budget = source, budget

    def work(self, task: int) -> NumbersOfRow:
        """Count the numbers of one mask."""
        nothing = np.zeros(0, np.int64)
        try:
            return NumbersOfRow(task, self._counts(task))
        except BadRows as error:
            return NumbersOfRow(task, nothing, without_frames(BadFile(str(next(iter(error.causes.values()))))))
        except BadFile as error:
            named = BadFile(f"the mask of {self._source.describe(task)} (row {task}): {error}")
            return NumbersOfRow(task, nothing, named)

    def rest(self) -> None:
        """Do nothing: a thread keeps no memory."""

    def _counts(self, row: int) -> NDArray[np.int64]:
        field = self._source.spec["y"]
        if isinstance(field, Field):
            charge = self._budget.charge(field.nbytes + 8 * _AT_ONCE, f"the mask of {self._source.describe(row)}")
            try:
                values = np.empty((1, *field.shape), field.dtype)
                self._source.read(np.array([row], np.int64), {"y": values})
                return self._counted(row, values)
            finally:
                charge.release()
        into = {name: EncodedSink() if name == "y" else ignored(other) for name, other in self._source.spec.items()}
        self._source.read(np.array([row], np.int64), into)
        data = into["y"].files[0]
        info = read_info(data)
        charge = self._budget.charge(mask_nbytes(info, len(data)), f"the mask of {self._source.describe(row)}")
        try:
            dtype = mask_dtype(data, info)
            buffer = np.empty(info.width * info.height * dtype.itemsize, np.uint8)
            return self._counted(row, decode_mask(data, info, dtype, buffer))
        finally:
            charge.release()

    def _counted(self, row: int, values: NDArray[np.integer]) -> NDArray[np.int64]:
        if values.dtype.itemsize > 1 and values.size and not 0 <= values.min() <= values.max() <= _MOST:
            odd = values.min() if values.min() < 0 else values.max()
            raise BadSetting(
                f"the mask of {self._source.describe(row)} (row {row}) has the number {odd}, but masks need 0 to {_MOST:,}"
            )
        flat = np.ravel(values)
        counts = np.zeros(int(flat.max()) + 1 if len(flat) else 0, np.int64)
        for start in range(0, len(flat), _AT_ONCE):
            counts += np.bincount(flat[start : start + _AT_ONCE], minlength=len(counts))
        return counts
