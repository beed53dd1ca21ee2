"""`RowContract`, the contract of a source: rows of named fields by number."""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitesize.files.state import combined_versions
from bitesize.sources.protocol import ChunkStarts, Into, Located
from bitesize.spec import Spec
from bitesize.storage.carrying import carried


class RowContract(ABC):
    """Rows of named fields; immutable, picklable, and read from several threads at once.

    A subclass sets `spec` and defines ``__len__``, `read` and ``_identity``. All else has defaults, which a format overrides
    where it can do better: `locate` with `read_other_fields`, `chunks` with `reads_by_chunk`, `scratch`, `describe`, `path`,
    `check_unchanged` and `close`.

    Attributes
    ----------
    spec : Mapping of str to Field or Encoded
        Fields of a row.
    paths_root : bytes
        Common parent folder of all paths that `path` returns; empty if there is none.
    reads_files : bool
        Whether `read` reads from disk with `bitesize.files`, which is faster once compiled code is loaded.
    checks_files : bool
        Whether `check_unchanged` raises if a file of located rows was written to, so that a loader may keep rows in memory.

    Examples
    --------
    >>> import numpy as np
    >>> from bitesize.sources import Field, RowContract, new_buffers
    >>> class Squares(RowContract):
    ...     spec = {"x": Field((), "i8")}
    ...
    ...     def __len__(self):
    ...         return 10
    ...
    ...     def read(self, rows, into):
    ...         into["x"][...] = rows**2
    ...
    ...     def _identity(self):
    ...         return b"squares"
    >>> source = Squares()
    >>> into = new_buffers(source.spec, rows=3)
    >>> source.read(np.array([9, 2, 2]), into)
    >>> into["x"].tolist()
    [81, 4, 4]
    """

    spec: Spec
    paths_root: bytes = b""
    reads_files = False
    checks_files: bool = False
    _labels: NDArray[Any] | None = None  # the field "y", if there is one

    def __reduce_ex__(self, protocol: Any) -> Any:
        """Pickle the source with the storage options of its addresses."""
        return carried(super().__reduce_ex__(protocol))

    @abstractmethod
    def __len__(self) -> int:
        """Return the number of rows."""

    @abstractmethod
    def read(self, rows: NDArray[np.int64], into: Into) -> None:
        """Read rows into buffers of the caller, without casting.

        Parameters
        ----------
        rows
            Row numbers, shape (k,), in any order; repeats are allowed.
        into
            For a `Field` an array of shape ``(k, *shape)`` in the field's dtype, C-contiguous; for an `Encoded` an object
            whose ``put(i, nbytes)`` returns the buffer for the bytes of the i-th row.

        Raises
        ------
        BadRows
            If rows cannot be read; raised after all other rows were read, with the error of each bad row.

        Examples
        --------
        >>> import numpy as np, bitesize as bs
        >>> source = bs.open(np.arange(6.0).reshape(3, 2), ["cat", "dog", "cat"])
        >>> x = np.empty((2, 2))
        >>> source.read(np.array([2, 0]), {"x": x})
        >>> x.tolist()
        [[4.0, 5.0], [0.0, 1.0]]
        """

    def locate(self, rows: NDArray[np.int64]) -> Located | None:
        """Return the location of the field `RowSource.primary` of rows on disk, or None if only `read` can read it.

        Located rows are read and cast in one step. All other rows, and those that are located at addresses, are read with `read`.

        Parameters
        ----------
        rows
            Row numbers, shape (k,), in any order.

        Returns
        -------
        Located or None
            Files, offsets and addresses.

        Examples
        --------
        >>> import numpy as np, bitesize as bs
        >>> source = bs.open(np.arange(6.0).reshape(3, 2), ["cat", "dog", "cat"])
        >>> source.locate(np.array([0])).in_memory
        True
        """
        return None

    def read_other_fields(self, rows: NDArray[np.int64], into: Into) -> None:
        """Read all fields except `RowSource.primary`, for rows that were located.

        Parameters
        ----------
        rows
            Row numbers, shape (k,), in any order.
        into
            Destination of each field, as for `read`.

        Examples
        --------
        >>> import numpy as np, bitesize as bs
        >>> source = bs.open(np.arange(6.0).reshape(3, 2), ["cat", "dog", "cat"])
        >>> y = np.empty(2, np.int64)
        >>> source.read_other_fields(np.array([2, 1]), {"y": y})
        >>> y.tolist()
        [0, 1]
        """
        if self._labels is not None and "y" in into:
            into["y"][...] = self._labels[rows]

    def chunks(self) -> ChunkStarts | None:
        """Return groups of rows that are cheap to read together (chunks, row groups), or None if reading has no such groups.

        An `Order` with a window reads one whole chunk after another.

        Returns
        -------
        ChunkStarts or None
            First row of each chunk and the number of rows, and the bytes of each chunk.

        Examples
        --------
        >>> import numpy as np, bitesize as bs
        >>> source = bs.open(np.arange(6.0).reshape(3, 2), ["cat", "dog", "cat"])
        >>> source.chunks() is None
        True
        """
        return None

    @property
    def reads_by_chunk(self) -> bool:
        """Return whether reading one row costs about as much as reading its whole chunk, as in a compressed chunk.

        If so, a shuffling `Loader` picks rows from chunks in memory, unless an order is passed.
        """
        return False

    def scratch(self, rows: int) -> int:
        """Return the bytes that one `read` of ``rows`` rows needs in addition to ``into``.

        Parameters
        ----------
        rows
            Number of rows.

        Returns
        -------
        int
            Bytes.

        Examples
        --------
        >>> import numpy as np, bitesize as bs
        >>> source = bs.open(np.arange(6.0).reshape(3, 2), ["cat", "dog", "cat"])
        >>> source.scratch(100)
        0
        """
        return 0

    @property
    def nbytes(self) -> int:
        """Number of bytes that the source itself holds in memory: names, labels, row numbers."""
        return 0 if self._labels is None else self._labels.nbytes

    def describe(self, row: int) -> str:
        """Return a readable name of a row: its path, if it has one.

        Parameters
        ----------
        row
            Row number, from 0.

        Returns
        -------
        str
            Name for messages.

        Examples
        --------
        >>> import numpy as np, bitesize as bs
        >>> source = bs.open(np.arange(6.0).reshape(3, 2), ["cat", "dog", "cat"])
        >>> source.describe(2)
        'row 2'
        """
        return f"row {row}"

    def path(self, row: int) -> bytes | None:
        """Return the path of the file of a row, or None if files hold many rows or there are no files.

        Parameters
        ----------
        row
            Row number, from 0.

        Returns
        -------
        bytes or None
            Path, as the system stores it.

        Examples
        --------
        >>> import numpy as np, bitesize as bs
        >>> source = bs.open(np.arange(6.0).reshape(3, 2), ["cat", "dog", "cat"])
        >>> source.path(2) is None
        True
        """
        return None

    def paths(self, row: int) -> tuple[bytes, ...]:
        """Return the paths of all files of a row, such as those of an image and its mask; none if files hold many rows.

        Parameters
        ----------
        row
            Row number, from 0.

        Returns
        -------
        tuple of bytes
            Paths, as the system stores them.

        Examples
        --------
        >>> import numpy as np, bitesize as bs
        >>> bs.open(np.arange(6.0).reshape(3, 2)).paths(2)
        ()
        """
        path = self.path(row)
        return () if path is None else (path,)

    def row_versions(self, rows: NDArray[np.int64]) -> NDArray[np.uint64] | None:
        """Return a number for each row that changes when its stored bytes change, or None if changes cannot be noticed.

        A cache on disk compares these numbers before it returns a row (see `bitesize.Cache`), so rows of a source without them are
        never cached. Fields other than encoded ones are read with `read_other_fields` then.

        Parameters
        ----------
        rows
            Row numbers, shape (k,), in any order.

        Returns
        -------
        ndarray of uint64, shape (k,), or None
            Versions, made of size and time of the files; 0 for a row whose file cannot be read.

        Examples
        --------
        >>> import numpy as np, bitesize as bs
        >>> source = bs.open(np.arange(6.0).reshape(3, 2), ["cat", "dog", "cat"])
        >>> source.row_versions(np.array([0])) is None  # nothing is stored in files
        True
        """
        paths = [self.paths(row) for row in rows.tolist()]
        return None if not all(paths) else combined_versions(paths)

    @abstractmethod
    def _identity(self) -> bytes:
        """Return bytes that identify this source: names, labels, spec."""

    def check_unchanged(self) -> None:
        """Raise `FileChanged` if a file of many rows has been replaced since it was opened.

        A loader calls this at the start and at the end of each epoch: offsets of the old file would read garbage from the new one.

        Raises
        ------
        FileChanged
            If a file has been replaced.

        Examples
        --------
        >>> import numpy as np, bitesize as bs
        >>> source = bs.open(np.arange(6.0).reshape(3, 2), ["cat", "dog", "cat"])
        >>> source.check_unchanged()
        """

    def close(self) -> None:
        """Close open files; the source can still be used and opens them again.

        Examples
        --------
        >>> import numpy as np, bitesize as bs
        >>> source = bs.open(np.arange(6.0).reshape(3, 2), ["cat", "dog", "cat"])
        >>> source.close()
        >>> len(source)
        3
        """

    def fingerprint(self) -> str:
        """Return a hash of the source: names relative to its folder, labels and spec.

        Changed file contents under unchanged names do not change the hash.

        Returns
        -------
        str
            128 bits in hexadecimal.

        Examples
        --------
        >>> import numpy as np, bitesize as bs
        >>> source = bs.open(np.arange(6.0).reshape(3, 2), ["cat", "dog", "cat"])
        >>> source.fingerprint() == source.subset([0, 1, 2]).fingerprint(), len(source.fingerprint())
        (False, 32)
        """
        return self._fingerprint

    @cached_property
    def _fingerprint(self) -> str:
        import xxhash

        spec = repr([(name, str(field)) for name, field in self.spec.items()]).encode()
        return xxhash.xxh3_128_hexdigest(spec + b"\0" + self._identity())
