"""First steps of windows, in runs of equal distance: a few numbers for each run instead of one for each window."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Runs:
    """Windows whose first steps are ``first, first + stride, ...``, in several runs.

    Attributes
    ----------
    first : ndarray of int64, shape (runs,)
        First step of the first window of each run.
    count : ndarray of int64, shape (runs,)
        Number of windows of each run, at least 1.
    recording : ndarray of int64, shape (runs,)
        Number of the recording of each run.
    stride : int
        Steps between the first steps of neighboring windows.

    Examples
    --------
    >>> runs = Runs(np.array([0, 100]), np.array([3, 2]), np.array([0, 1]), stride=10)
    >>> len(runs), runs.starts(np.array([4, 0, 2])).tolist(), runs.recordings(np.array([4, 0])).tolist()
    (5, [110, 0, 20], [1, 0])
    """

    first: NDArray[np.int64]
    count: NDArray[np.int64]
    recording: NDArray[np.int64]
    stride: int

    def __len__(self) -> int:
        return int(self._ends[-1]) if len(self._ends) else 0

    @cached_property
    def _ends(self) -> NDArray[np.int64]:
        return np.cumsum(self.count, dtype=np.int64)

    @property
    def nbytes(self) -> int:
        """Bytes of the numbers."""
        return 4 * self.first.nbytes

    def starts(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the first step of windows, by number of the window."""
        if len(self.first) == 1:
            return np.asarray(self.first[0] + rows * self.stride)
        run = np.searchsorted(self._ends, rows, side="right")
        return np.asarray(self.first[run] + (rows - self._ends[run] + self.count[run]) * self.stride)

    def recordings(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the recording of windows, by number of the window."""
        return self.recording[np.searchsorted(self._ends, rows, side="right")]

    def before(self, steps: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the number of windows that start before each step; recordings must be in the order of their steps."""
        run = np.searchsorted(self.first, steps, side="left") - 1
        inside = -(-(steps - self.first[run]) // self.stride)
        return np.where(run < 0, 0, self._ends[run] - self.count[run] + np.clip(inside, 0, self.count[run]))


def joined(runs: Sequence[Runs], stride: int) -> Runs:
    """Return the runs of several recordings as one."""
    none = np.empty(0, np.int64)
    return Runs(
        np.concatenate([none, *(each.first for each in runs)]),
        np.concatenate([none, *(each.count for each in runs)]),
        np.concatenate([none, *(each.recording for each in runs)]),
        stride,
    )


def regular(begin: int, windows: int, stride: int, recording: int) -> Runs:
    """Return one run of windows; none if ``windows`` is 0."""
    size = min(windows, 1)
    return Runs(np.full(size, begin), np.full(size, windows), np.full(size, recording), stride)


def selected(begin: int, allowed: NDArray[np.bool_], stride: int, recording: int) -> Runs:
    """Return the runs of those windows ``begin, begin + stride, ...`` that are allowed, shape (windows,)."""
    edges = np.flatnonzero(np.diff(allowed, prepend=False, append=False))
    first, stop = edges[::2].astype(np.int64), edges[1::2].astype(np.int64)
    return Runs(begin + first * stride, stop - first, np.full(len(first), recording, np.int64), stride)
