"""Base class of sources that wrap another source."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitesize.decode.header import ImageInfo
from bitesize.sources.base import Source
from bitesize.sources.protocol import ChunkStarts, Extents, Into, Located


def left_out_of(sources: Iterable[Source]) -> Mapping[str, int]:
    """Return the total counts of what several sources left out."""
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
        The wrapped source.

    Attributes
    ----------
    holds_chunks : bool
        Whether rows are read from chunks in memory, so that their location on disk is not used.
    see_pixels : function or None
        Called with the row, the header and the decoded pixels of each image of more than 8 bits.
    """

    holds_chunks: bool = False
    see_pixels: Callable[[int, ImageInfo, NDArray[Any]], None] | None = None

    def __init__(self, base: Source) -> None:
        self.base = base
        self.spec, self.classes, self.left_out = base.spec, base.classes, base.left_out
        self.layout = base.layout
        self.choices, self.weight_name, self.feature_names = base.choices, base.weight_name, base.feature_names
        self.paths_root, self.target_names = base.paths_root, base.target_names
        self.mixture, self.reads_files, self.classes_of = base.mixture, base.reads_files, base.classes_of
        self.checks_files = base.checks_files

    @property
    def derived_from(self) -> tuple[Source, ...]:
        """The wrapped source."""
        return (self.base,)

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
        """Return the chunks of the base."""
        return self.base.chunks()

    @property
    def reads_by_chunk(self) -> bool:
        """Return whether the base is read by chunk."""
        return self.base.reads_by_chunk

    def scratch(self, rows: int) -> int:
        """Return the bytes that the base needs."""
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
        """Name of the field with the labels."""
        return self.base.label_name

    @property
    def class_count(self) -> int | None:
        """Number of classes of the base."""
        return self.base.class_count

    @property
    def column_names(self) -> tuple[str, ...]:
        """Columns of the base."""
        return self.base.column_names

    def column(self, name: str) -> NDArray[Any]:
        """Read a column of the base."""
        return self.base.column(name)

    def describe(self, row: int) -> str:
        """Return the name of a row in the base."""
        return self.base.describe(row)

    def path(self, row: int) -> bytes | None:
        """Return the path of a row in the base."""
        return self.base.path(row)

    def row_versions(self, rows: NDArray[np.int64]) -> NDArray[np.uint64] | None:
        """Return the versions of rows of the base."""
        return self.base.row_versions(rows)

    def paths(self, row: int) -> tuple[bytes, ...]:
        """Return the paths of a row in the base."""
        return self.base.paths(row)

    def extents(self, rows: NDArray[np.int64]) -> Extents | None:
        """Return the steps of rows of the base."""
        return self.base.extents(rows)

    def _identity(self) -> bytes:
        return self.base.fingerprint().encode()

    def check_unchanged(self) -> None:
        """Check the base."""
        self.base.check_unchanged()

    def close(self) -> None:
        """Close the base."""
        self.base.close()
