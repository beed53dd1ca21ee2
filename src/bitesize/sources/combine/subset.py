"""Some rows of another source."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bitesize.array_like import refuse_endless
from bitesize.errors import BadSetting
from bitesize.sources.base import Source
from bitesize.sources.choices import Choice
from bitesize.sources.combine.wrapper import SourceWrapper
from bitesize.sources.protocol import ChunkStarts, Extents, Into, Located


def subset(source: Source, rows: ArrayLike) -> Source:
    """Return some rows of a source, in the order given; see `Source.subset`."""
    refuse_endless(rows, "rows")
    try:
        chosen = np.asarray(rows)
    except ValueError as error:
        raise BadSetting(f"rows must be a list of row numbers: {error}") from error
    if chosen.dtype == np.bool_:
        if chosen.shape != (len(source),):
            raise BadSetting(f"a mask of shape {chosen.shape} does not fit {len(source)} rows")
        chosen = np.flatnonzero(chosen)
    if chosen.ndim != 1 or not chosen.size or chosen.dtype.kind not in "iu":
        raise BadSetting("rows must be a one-dimensional, non-empty list of row numbers")
    if chosen.min() < 0 or chosen.max() >= len(source):
        raise BadSetting(f"row numbers must be within 0 to {len(source) - 1}: got {chosen.min()} to {chosen.max()}")
    return Subset(source, chosen.astype(np.int64))


def row_numbers(source: Source) -> NDArray[np.int64]:
    """Return the number of each row in the opened data, before subsets were taken."""
    if isinstance(source, Subset):
        return row_numbers(source.base)[source._rows]
    return row_numbers(source.base) if isinstance(source, SourceWrapper) else np.arange(len(source), dtype=np.int64)


class Subset(SourceWrapper):
    """Some rows of another source."""

    def __init__(self, base: Source, rows: NDArray[np.int64]) -> None:
        super().__init__(base)
        self.base = base.base if isinstance(base, Subset) else base  # a subset of a subset reads the base directly
        if self.mixture is not None:
            lost = "rows are shuffled together: the shares of bs.mix hold only for all rows"
            self.choices = (*self.choices, Choice(lost, "bs.mix of the parts of each source"))
            self.mixture = None
        self._rows: NDArray[np.int64] = base._rows[rows] if isinstance(base, Subset) else rows

    def __len__(self) -> int:
        return len(self._rows)

    def read(self, rows: NDArray[np.int64], into: Into) -> None:
        """Read rows of the base."""
        self.base.read(self._rows[rows], into)

    def locate(self, rows: NDArray[np.int64]) -> Located | None:
        """Locate rows of the base."""
        return self.base.locate(self._rows[rows])

    def read_other_fields(self, rows: NDArray[np.int64], into: Into) -> None:
        """Read the other fields of rows of the base."""
        self.base.read_other_fields(self._rows[rows], into)

    def chunks(self) -> ChunkStarts | None:
        """Return the chunks of the base that contain selected rows, if these are in order."""
        chunks = self.base.chunks()
        if chunks is None or (np.diff(self._rows) < 0).any():
            return None
        number = np.searchsorted(chunks.starts, self._rows, side="right") - 1
        firsts = np.flatnonzero(np.diff(number, prepend=-1))
        nbytes = None if chunks.nbytes is None else chunks.nbytes[number[firsts]]
        if nbytes is not None and not np.diff(self._rows).all():  # repeated rows need their bytes several times
            nbytes = nbytes * int(np.bincount(np.cumsum(np.diff(self._rows, prepend=-1) > 0)).max())
        groups = None
        if chunks.groups is not None:
            number = np.searchsorted(chunks.groups, self._rows, side="right")
            groups = np.flatnonzero(np.diff(number, prepend=-1))
        return ChunkStarts(np.append(firsts, len(self._rows)), nbytes, groups, chunks.streams)

    @property
    def reads_by_chunk(self) -> bool:
        """Return whether the base is read by chunk and the selected rows are in order."""
        return self.base.reads_by_chunk and self.chunks() is not None

    @property
    def nbytes(self) -> int:
        """Bytes of the base and of the row numbers."""
        return self.base.nbytes + self._rows.nbytes

    @property
    def labels(self) -> NDArray[np.int64] | None:
        """Class numbers of the chosen rows."""
        labels = self.base.labels
        return None if labels is None else labels[self._rows]

    def column(self, name: str) -> NDArray[Any]:
        """Read a column of the chosen rows."""
        return self.base.column(name)[self._rows]

    def describe(self, row: int) -> str:
        """Return the name of a row in the base."""
        return self.base.describe(int(self._rows[row]))

    def path(self, row: int) -> bytes | None:
        """Return the path of a row in the base."""
        return self.base.path(int(self._rows[row]))

    def row_versions(self, rows: NDArray[np.int64]) -> NDArray[np.uint64] | None:
        """Return the versions of rows of the base."""
        return self.base.row_versions(self._rows[rows])

    def paths(self, row: int) -> tuple[bytes, ...]:
        """Return the paths of a row in the base."""
        return self.base.paths(int(self._rows[row]))

    def extents(self, rows: NDArray[np.int64]) -> Extents | None:
        """Return the steps of rows of the base."""
        return self.base.extents(self._rows[rows])

    def _identity(self) -> bytes:
        return self.base.fingerprint().encode() + self._rows.tobytes()
