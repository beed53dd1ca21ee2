"""Types with which rows are read: buffers of the caller, locations on disk, chunks; and the error of failed rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from bitesize.errors import BadRows
from bitesize.storage.url import is_url


class EncodedInto(Protocol):
    """Destination of the bytes of encoded images: what `Source.read` gets for a field that is `Encoded`.

    Examples
    --------
    >>> from bitesize.sources import EncodedInto, EncodedSink
    >>> def write_rows(images: list[bytes], into: EncodedInto) -> None:
    ...     for i, image in enumerate(images):
    ...         into.put(i, len(image))[:] = image
    >>> sink = EncodedSink()
    >>> write_rows([b"first", b"second"], sink)
    >>> bytes(sink.files[1])
    b'second'
    """

    def put(self, i: int, nbytes: int) -> memoryview:
        """Return the buffer for the bytes of one row of the call; memory is charged for it.

        Parameters
        ----------
        i
            Index of the row within the call, from 0 (not its row number).
        nbytes
            Length of the encoded image in bytes.

        Returns
        -------
        memoryview
            Writable buffer of exactly ``nbytes`` bytes (uint8, shape (nbytes,)), which the caller fills.

        Examples
        --------
        >>> from bitesize.sources import EncodedSink
        >>> into = EncodedSink()
        >>> into.put(0, 3)[:] = b"abc"
        """
        ...


# Destinations of one call of `Source.read`, by field: an array of shape (k, *shape) for a Field, an EncodedInto for an Encoded.
Into = Mapping[str, Any]


class Located(NamedTuple):
    """Where rows lie on disk exactly unchanged, in native byte order and one after another; see `Source.locate`.

    Attributes
    ----------
    paths : list of bytes
        Files.
    which, offsets : ndarray of int64, shape (rows,)
        The file of each row, by its number in ``paths``, and where in it the row begins, in bytes.
    header : bytes
        If not empty, each file is one row after exactly these bytes.
    joined : tuple of two ndarray or None
        ``paths`` as returned by `files.pread.joined`, if they never change.
    in_memory : bool
        Whether rows are in memory, and there are no files: ``offsets`` are addresses, or numbers of rows of ``array``.
    array : ndarray or None
        The array in memory that contains the rows: two axes, C-contiguous, aligned and read-only.

    Examples
    --------
    A file has a header of 16 bytes, then 8 bytes per row:

    >>> import numpy as np
    >>> from bitesize.sources import Located
    >>> rows = np.array([2, 0])
    >>> location = Located([b"a.bin"], which=np.zeros(2, np.int64), offsets=16 + 8 * rows)
    >>> location.offsets.tolist()
    [32, 16]
    """

    paths: list[bytes]
    which: NDArray[np.int64]
    offsets: NDArray[np.int64]
    header: bytes = b""
    joined: tuple[NDArray[np.uint8], NDArray[np.int64]] | None = None
    in_memory: bool = False
    array: NDArray[Any] | None = None

    @property
    def is_remote(self) -> bool:
        """Return whether the files are objects, which compiled code cannot read: `Source.read` reads such rows, many at the same time."""
        return bool(self.paths) and is_url(self.paths[0])


def flat_rows(x: NDArray[Any]) -> NDArray[Any] | None:
    """Return a read-only view of an array for `Located.array`; None if its memory is laid out in another way."""
    if not (x.dtype.isnative and x.flags.c_contiguous and x.flags.aligned and x.size):
        return None
    flat = x.reshape(len(x), -1)
    flat.flags.writeable = False  # of the view only
    return flat


class ChunkStarts(NamedTuple):
    """Groups of rows that are cheap to read together; see `Source.chunks`.

    Attributes
    ----------
    starts : ndarray of int64, shape (chunks + 1,)
        First row of each chunk, ascending from 0; and the number of rows.
    nbytes : ndarray of int64, shape (chunks,), or None
        Maximum bytes of the encoded fields of each chunk, if there are encoded fields.
    groups : ndarray of int64, shape (groups,), or None
        First row of each group: chunks that are read one after another, because each shares what it reads with the next one. Groups are
        shuffled as a whole. None if each chunk is a group.
    streams : int or None
        With ``groups``: number of groups that can be read at the same time, for which the source keeps what chunks share.

    Examples
    --------
    A file has 250 rows, in chunks of up to 100 rows:

    >>> import numpy as np
    >>> from bitesize.sources import ChunkStarts
    >>> chunks = ChunkStarts(np.array([0, 100, 200, 250]))
    >>> np.diff(chunks.starts).tolist()  # rows of each chunk
    [100, 100, 50]
    """

    starts: NDArray[np.int64]
    nbytes: NDArray[np.int64] | None = None
    groups: NDArray[np.int64] | None = None
    streams: int | None = None


class Extents(NamedTuple):
    """Which steps of a recording rows cover, for rows that are windows of a time series; see `RowSource.extents`.

    Attributes
    ----------
    recording, first, last : ndarray of int64, shape (rows,)
        The recording of each row, its first step, and its last step including steps of targets.
    """

    recording: NDArray[np.int64]
    first: NDArray[np.int64]
    last: NDArray[np.int64]


def raise_bad(failed: Mapping[int, Exception]) -> None:
    """Raise `BadRows` if any row failed; `Source.read` calls this after it has read all other rows.

    Parameters
    ----------
    failed
        The error of each failed row, by the index of the row within the call (not by row number); may be empty.

    Raises
    ------
    BadRows
        If ``failed`` is not empty.

    Examples
    --------
    >>> import bitesize as bs
    >>> from bitesize.sources import raise_bad
    >>> raise_bad({})
    >>> raise_bad({2: bs.BadFile("a.rec is damaged")})
    Traceback (most recent call last):
        ...
    bitesize.errors.BadRows: 1 row could not be read; the first: a.rec is damaged
    """
    if failed:
        raise BadRows(failed)
