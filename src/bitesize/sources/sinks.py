"""Sinks: where `Source.read` puts the bytes of encoded rows, and buffers for some rows of all fields."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitesize.errors import BitesizeError
from bitesize.sources.protocol import EncodedInto, Into
from bitesize.spec import Field, Spec


def new_buffer(i: int, nbytes: int) -> memoryview:
    """Return newly allocated memory for row ``i`` of a call."""
    return memoryview(bytearray(nbytes))


class EncodedSink:
    """Destination that keeps the bytes of encoded rows; see `EncodedInto`.

    Parameters
    ----------
    buffer
        Function that returns a writable buffer of exactly ``nbytes`` bytes for row ``i`` of a call, as ``buffer(i, nbytes)``.

    Attributes
    ----------
    files : dict of int to memoryview
        Bytes of each row that was read, by its index within the call.

    Examples
    --------
    >>> from bitesize.sources import EncodedSink
    >>> sink = EncodedSink()
    >>> sink.put(0, 3)[:] = b"abc"
    >>> bytes(sink.files[0])
    b'abc'
    """

    __slots__ = ("_buffer", "files")

    def __init__(self, buffer: Callable[[int, int], memoryview] = new_buffer) -> None:
        self._buffer = buffer
        self.files: dict[int, memoryview] = {}

    def put(self, i: int, nbytes: int) -> memoryview:
        """Return the buffer for the bytes of one row of a call.

        Parameters
        ----------
        i
            Index of the row within the call, from 0.
        nbytes
            Number of bytes.

        Returns
        -------
        memoryview
            Writable buffer of exactly ``nbytes`` bytes. It is also in ``files``.

        Examples
        --------
        >>> from bitesize.sources import EncodedSink
        >>> sink = EncodedSink()
        >>> len(sink.put(0, 3))
        3
        """
        view = self.files[i] = self._buffer(i, nbytes)
        return view


class ArenaFull(BitesizeError):
    """A row does not fit the rest of an `Arena`.

    Attributes
    ----------
    nbytes : int
        Bytes of the row.
    """

    def __init__(self, nbytes: int) -> None:
        super().__init__(f"{nbytes} bytes do not fit the rest of the buffer")
        self.nbytes = nbytes

    def __reduce__(self) -> tuple[type[ArenaFull], tuple[int]]:
        return type(self), (self.nbytes,)


class Arena:
    """A buffer that is handed out piece by piece, to the sinks of all encoded fields.

    Parameters
    ----------
    buffer
        Memory of uint8.
    """

    __slots__ = ("_used", "_view")

    def __init__(self, buffer: NDArray[np.uint8]) -> None:
        self._view = memoryview(buffer)  # type: ignore[arg-type]
        self._used = 0

    def take(self, i: int, nbytes: int) -> memoryview:
        """Return the next ``nbytes`` bytes, for row ``i`` of a call.

        Raises
        ------
        ArenaFull
            If fewer bytes are left.
        """
        if nbytes > len(self._view) - self._used:
            raise ArenaFull(nbytes)
        view = self._view[self._used : self._used + nbytes]
        self._used += nbytes
        return view


class _OffsetSink:
    """Passes requests for buffers on to another sink, with row numbers offset."""

    __slots__ = ("_into", "_start")

    def __init__(self, into: EncodedInto, start: int) -> None:
        self._into, self._start = into, start

    def put(self, i: int, nbytes: int) -> memoryview:
        """Return the buffer of a row."""
        return self._into.put(self._start + i, nbytes)


def new_buffers(spec: Spec, rows: int) -> dict[str, Any]:
    """Return newly allocated buffers for some rows of all fields, as `Source.read` needs them.

    Parameters
    ----------
    spec
        Fields of a row, such as `Source.spec`.
    rows
        Number of rows.

    Returns
    -------
    dict of str to (ndarray or EncodedSink)
        For each `Field` an uninitialized array of shape ``(rows, *shape)`` in the field's dtype, for each `Encoded` an empty sink.

    Examples
    --------
    >>> import numpy as np, bitesize as bs
    >>> from bitesize.sources import new_buffers
    >>> source = bs.open(np.arange(6.0).reshape(3, 2), ["cat", "dog", "cat"])
    >>> into = new_buffers(source.spec, rows=2)
    >>> source.read(np.array([2, 0]), into)
    >>> into["x"].tolist(), into["y"].tolist()
    ([[4.0, 5.0], [0.0, 1.0]], [0, 0])
    """
    return {
        name: np.empty((rows, *field.shape), field.dtype) if isinstance(field, Field) else EncodedSink()
        for name, field in spec.items()
    }


def portion(into: Into, start: int, rows: int) -> dict[str, Any]:
    """Return the buffers of some neighboring rows of a call to `Source.read`, to read these rows from another source.

    Parameters
    ----------
    into
        Destination of each field, as for `Source.read`.
    start
        Index of the first row within the call.
    rows
        Number of rows.

    Returns
    -------
    dict of str to (ndarray or EncodedInto)
        For each field a view of ``into``: row 0 is row ``start`` of the call. Nothing is copied.

    Examples
    --------
    >>> import numpy as np, bitesize as bs
    >>> from bitesize.sources import portion
    >>> source = bs.open(np.arange(4.0))
    >>> x = np.zeros(5)
    >>> source.read(np.array([3, 1]), portion({"x": x}, start=2, rows=2))
    >>> x.tolist()
    [0.0, 0.0, 3.0, 1.0, 0.0]
    """
    return {
        name: buffer[start : start + rows] if isinstance(buffer, np.ndarray) else _OffsetSink(buffer, start)
        for name, buffer in into.items()
    }
