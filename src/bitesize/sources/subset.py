"""Some rows of another source."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bitesize.sources.base import Into, Located, Runs, Source


class Subset(Source):
    """Some rows of another source."""

    def __init__(self, base: Source, rows: NDArray[np.int64]) -> None:
        # A subset of a subset reads the base directly.
        self._base: Source = base._base if isinstance(base, Subset) else base
        self._rows: NDArray[np.int64] = base._rows[rows] if isinstance(base, Subset) else rows
        self.spec = base.spec
        self.reads_files = base.reads_files
        self.classes = base.classes
        self.left_out = base.left_out

    def __len__(self) -> int:
        return len(self._rows)

    def read(self, rows: NDArray[np.int64], into: Into) -> None:
        """Read rows of the base."""
        self._base.read(self._rows[rows], into)

    def locate(self, rows: NDArray[np.int64]) -> Located | None:
        """Locate rows of the base."""
        return self._base.locate(self._rows[rows])

    def read_beside(self, rows: NDArray[np.int64], into: Into) -> None:
        """Read the other fields of rows of the base."""
        self._base.read_beside(self._rows[rows], into)

    def runs(self) -> Runs | None:
        """Tell the runs of the base that rows are left of, where they are in its order."""
        runs = self._base.runs()
        if runs is None or (np.diff(self._rows) < 0).any():
            return None
        number = np.searchsorted(runs.starts, self._rows, side="right") - 1
        firsts = np.flatnonzero(np.diff(number, prepend=-1))
        nbytes = None if runs.nbytes is None else runs.nbytes[number[firsts]]
        if nbytes is not None and not np.diff(self._rows).all():  # rows that come several times take their bytes as often
            nbytes = nbytes * int(np.bincount(np.cumsum(np.diff(self._rows, prepend=-1) > 0)).max())
        return Runs(np.append(firsts, len(self._rows)), nbytes)

    @property
    def in_runs(self) -> bool:
        """Whether rows of the base are read in runs, and these are in its order."""
        return self._base.in_runs and self.runs() is not None

    def scratch(self, rows: int) -> int:
        """Tell what the base needs."""
        return self._base.scratch(rows)

    @property
    def nbytes(self) -> int:
        """Bytes of the base and of the row numbers."""
        return self._base.nbytes + self._rows.nbytes

    @property
    def labels(self) -> NDArray[np.int64] | None:
        """Class numbers of the chosen rows."""
        labels = self._base.labels
        return None if labels is None else labels[self._rows]

    @property
    def label_name(self) -> str | None:
        """Name of the base's field with the labels."""
        return self._base.label_name

    @property
    def class_count(self) -> int | None:
        """Count the classes of the base."""
        return self._base.class_count

    def describe(self, row: int) -> str:
        """Name the row as the base does."""
        return self._base.describe(int(self._rows[row]))

    def path(self, row: int) -> bytes | None:
        """Give the path that the base knows."""
        return self._base.path(int(self._rows[row]))

    def _identity(self) -> bytes:
        return self._base.fingerprint().encode() + self._rows.tobytes()

    def close(self) -> None:
        """Close the base."""
        self._base.close()
