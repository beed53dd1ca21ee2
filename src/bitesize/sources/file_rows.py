"""Base class of sources of one file per row."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from numpy.typing import NDArray

from bitesize.errors import BadFile
from bitesize.files.names import Names
from bitesize.files.scan import Listing, scan
from bitesize.sources.base import Source
from bitesize.sources.labels import label_field
from bitesize.spec import Encoded, Field

T = TypeVar("T")
# After this many damaged files in a row, a folder is not data.
_TRIED = 100


class FileSource(Source):
    """Files of one row each: names and labels."""

    file_is_row = True
    reads_files = True

    def __init__(
        self,
        names: Names,
        labels: NDArray[Any] | None,
        classes: tuple[str, ...] | None,
        left_out: Mapping[str, int] | None,
        x: Field | Encoded,
    ) -> None:
        self._names = names
        self._labels = labels
        self.classes = classes
        self.left_out = left_out or {}
        self.paths_root = names.common_root()
        self.spec = {"x": x} if labels is None else {"x": x, "y": label_field(labels, x)}

    def __len__(self) -> int:
        return len(self._names)

    @property
    def nbytes(self) -> int:
        """Bytes of names and labels in memory."""
        return self._names.nbytes + super().nbytes

    def describe(self, row: int) -> str:
        """Return the path of the file."""
        return self._names.show(row)

    def path(self, row: int) -> bytes | None:
        """Return the path of the file, for system calls."""
        return self._names.path(row)

    def _identity(self) -> bytes:
        labels = b"" if self._labels is None else self._labels.tobytes()
        # Relative to the root, so that a list of files has the same identity as its folder, also after a move.
        return b"\0".join([*self._names.identity(), labels])


def first_readable_file(names: Names, read: Callable[[bytes], T]) -> tuple[int, T]:
    """Return the number and the result of the first readable file; damaged files are reported when their rows are read.

    Returns
    -------
    tuple
        The number of the file, and the result of ``read``.

    Raises
    ------
    BadFile
        The error of the first file, if none of the first hundred files can be read.
    """
    first: BadFile | None = None
    for i in range(min(len(names), _TRIED)):
        try:
            return i, read(names.path(i))
        except BadFile as error:
            first = first or error
    assert first is not None
    raise first


def example_files(folder: Path, rows: int, suffix: str, write: Callable[[Path, int], object]) -> Listing:
    """Write files in the class folders ``a`` and ``b``, and return them."""
    for i in range(rows):
        path = folder / "ab"[i % 2] / f"{i}{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        write(path, i)
    return scan(folder, (suffix,))
