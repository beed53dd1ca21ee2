"""A source around a source: the same rows, but for what a class of its own changes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitesize.decode.header import ImageInfo
from bitesize.sources.base import Source
from bitesize.sources.rows import ChunkStarts, Into, Located


def left_out_of(sources: Iterable[Source]) -> Mapping[str, int]:
    """Return what several sources have left out together."""
    counts: dict[str, int] = {}
    for source in sources:
        for reason, count in source.left_out.items():
            counts[reason] = counts.get(reason, 0) + count
    return counts


class SourceWrapper(Source):
    """The rows of another source.

    Parameters
    ----------
    base
        Where they come from.

    Attributes
    ----------
    holds_chunks : bool
        Whether rows come from chunks in memory, where their place on disk is of no use.
    see_pixels : function or None
        Called with the row, what its header says and the pixels of each image of more than 8 bits, as it was decoded.
    """

    holds_chunks: bool = False
    see_pixels: Callable[[int, ImageInfo, NDArray[Any]], None] | None = None

    def __init__(self, base: Source) -> None:
        self.base = base
        self.spec, self.classes, self.left_out = base.spec, base.classes, base.left_out
        self.layout = base.layout
        self.choices, self.weight_name, self.feature_names = base.choices, base.weight_name, base.feature_names
        self.paths_root = base.paths_root
        self.mixture, self.reads_files, self.classes_of = base.mixture, base.reads_files, base.classes_of

    def __len__(self) -> int:
        return len(self.base)

    def read(self, rows: NDArray[np.int64], into: Into) -> None:
        """Read rows of the base."""
        self.base.read(rows, into)

    def locate(self, rows: NDArray[np.int64]) -> Located | None:
        """Locate rows of the base."""
        return self.base.locate(rows)

    def read_other_fields(self, rows: NDArray[np.int64], into: Into) -> None:
        """Read the other fields of rows of the base."""
        self.base.read_other_fields(rows, into)

    def chunks(self) -> ChunkStarts | None:
        """Tell the runs of the base."""
        return self.base.chunks()

    @property
    def reads_by_chunk(self) -> bool:
        """Whether the base is read in runs."""
        return self.base.reads_by_chunk

    def scratch(self, rows: int) -> int:
        """Tell what the base needs."""
        return self.base.scratch(rows)

    @property
    def nbytes(self) -> int:
        """Bytes of the base."""
        return self.base.nbytes

    @property
    def labels(self) -> NDArray[np.int64] | None:
        """Class numbers of the base."""
        return self.base.labels

    @property
    def label_name(self) -> str | None:
        """Name of the base's field with the labels."""
        return self.base.label_name

    @property
    def class_count(self) -> int | None:
        """Count the classes of the base."""
        return self.base.class_count

    @property
    def column_names(self) -> tuple[str, ...]:
        """Columns of the base."""
        return self.base.column_names

    def column(self, name: str) -> NDArray[Any]:
        """Read a column of the base."""
        return self.base.column(name)

    def describe(self, row: int) -> str:
        """Name the row as the base does."""
        return self.base.describe(row)

    def path(self, row: int) -> bytes | None:
        """Give the path that the base knows."""
        return self.base.path(row)

    def _identity(self) -> bytes:
        return self.base.fingerprint().encode()

    def check_unchanged(self) -> None:
        """Look at the base."""
        self.base.check_unchanged()

    def close(self) -> None:
        """Close the base."""
        self.base.close()
