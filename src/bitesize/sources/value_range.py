"""The range of the values of a source, measured on a few rows: 0 to 255, 0 to 1, or another range."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitesize.errors import BadRows, BadSetting, BitesizeError, DoesNotFit
from bitesize.memory.budget import Budget, as_budget
from bitesize.sources.pixels import StoredPixels
from bitesize.sources.row_source import RowSource
from bitesize.sources.sinks import new_buffers
from bitesize.spec import Encoded, Field, axes_of_rows

# Decoding one image of the sample may take this much, at most.
_DECODING = 256 << 20
# Whole numbers that use less than this part of their range probably have fewer bits than their type: 12 in 16.
PART_OF_RANGE = 8
# Rows with two axes and a shorter side are tables or series, not images.
_LEAST_SIDE = 8
# Bits of the values of cameras and scanners.
_BITS = (8, 10, 12, 14, 16)
# Values that are compared at a time: a few temporary arrays of this many are all that a large row needs.
_PIECE = 1 << 16


@dataclass(frozen=True)
class ValueRange:
    """The range of values in a sample of rows; see `value_range`.

    Attributes
    ----------
    minimum, maximum : float
        Smallest and largest finite value; NaN if the sample has none.
    integral : bool
        Whether all finite values of the sample are whole numbers; False if the sample has none.
    rows : int
        Rows that were read. Rows that cannot be read are left out of the sample.
    dtype : str
        Name of the dtype of the values, such as ``"float64"``.
    mean : float
        Mean of the finite values; NaN if the sample has none. Not compared.
    unreadable : int
        Rows of the sample that could not be read. Not compared.
    """

    minimum: float
    maximum: float
    integral: bool
    rows: int
    dtype: str
    mean: float = field(default=np.nan, compare=False, repr=False)
    unreadable: int = field(default=0, compare=False, repr=False)


def value_range(source: RowSource, rows: int = 16, *, memory: int | str | Budget = "auto") -> ValueRange:
    """Measure the range of values of the primary field on a sample of evenly spaced rows.

    Parameters
    ----------
    source
        A source whose primary field has numbers or images. Images are decoded as the source's mode says.
    rows
        Rows to read, at most; each is charged to the budget before it is read.
    memory
        Bytes, a string such as ``"512 MiB"``, a `Budget`, or ``"auto"``.

    Returns
    -------
    ValueRange
        Of the rows that could be read.

    Raises
    ------
    BadSetting
        If the primary field holds no numbers.
    DoesNotFit
        If one row does not fit the budget.

    Examples
    --------
    >>> import numpy as np, bitesize as bs
    >>> value_range(bs.open(np.linspace(0, 255, 20).reshape(5, 4)))
    ValueRange(minimum=0.0, maximum=255.0, integral=False, rows=5, dtype='float64')
    """
    field = source.spec[source.primary]
    if isinstance(field, Field) and field.dtype.kind not in "biuf" and field.dtype.name != "bfloat16":
        raise BadSetting(f"value_range needs numbers, but the field {source.primary!r} is {field}")
    minimum, maximum, integral, read, dtype = np.inf, -np.inf, True, 0, ""
    total, count = 0.0, 0
    numbers = np.unique(np.linspace(0, len(source) - 1, max(1, min(rows, len(source)))).astype(np.int64)).tolist()
    for values in _sample(source, numbers, as_budget(memory)):
        read, dtype = read + 1, values.dtype.name
        for start in range(0, values.size, _PIECE):
            piece = values[start : start + _PIECE].astype(np.float64)
            piece = piece[np.isfinite(piece)]
            if piece.size:
                minimum, maximum = min(minimum, float(piece.min())), max(maximum, float(piece.max()))
                integral = integral and bool((piece == np.floor(piece)).all())
                total, count = total + float(piece.sum()), count + piece.size
    if not dtype:
        dtype = field.dtype.name if isinstance(field, Field) else "uint8"
    if minimum > maximum:
        return ValueRange(np.nan, np.nan, False, read, dtype, unreadable=len(numbers) - read)
    return ValueRange(minimum, maximum, integral, read, dtype, total / count, len(numbers) - read)


def may_be_narrow(stored: Field | Encoded) -> bool:
    """Return whether rows are images or volumes of 16 bits without a sign, of which brightness has a full value."""
    if isinstance(stored, Encoded):
        return stored.kind == "image" and stored.dtype == np.uint16
    images = bool(axes_of_rows(stored)) and (bool(stored.axes) or min(stored.shape) >= _LEAST_SIDE or len(stored.shape) > 2)
    return images and stored.dtype == np.uint16 and not stored.mask


def is_narrow(brightest: float, dtype: np.dtype[Any]) -> bool:
    """Return whether the largest of all values is in a small part of the range of their type."""
    return 0 <= brightest < (int(np.iinfo(dtype).max) + 1) // PART_OF_RANGE


def narrow_in_words(brightest: float, dtype: np.dtype[Any]) -> str:
    """Return what to do about values that use a small part of their range."""
    most = np.iinfo(dtype).max
    full = full_brightness(brightest) or most
    return (
        f"values are within 0 to {int(brightest):,} of {most:,}, less than 1/{PART_OF_RANGE} of their range "
        f'({full.bit_length()}-bit data?): use bs.Normalize("data"), or scale by the value of full brightness, for example bs.Scale(1 / {full})'
    )


def full_brightness(brightest: float) -> int | None:
    """Return the least value of full brightness of 8 to 16 bits that no value exceeds; None above 65,535."""
    return next((2**bits - 1 for bits in _BITS if brightest < 2**bits), None)


def sample_nbytes(source: RowSource) -> int:
    """Return the bytes that `value_range` takes for rows of fixed size, one at a time."""
    row = sum(field.nbytes for field in source.spec.values() if isinstance(field, Field)) + source.scratch(1)
    return row + 4 * 8 * _PIECE


def _sample(source: RowSource, numbers: list[int], budget: Budget) -> Iterator[NDArray[Any]]:
    """Read rows one by one, flat; rows that cannot be read are left out."""
    if isinstance(source.spec[source.primary], Encoded):
        yield from _sample_of_images(source, numbers, budget)
        return
    charge = budget.charge(sample_nbytes(source), "a sample of rows")
    try:
        into = new_buffers(source.spec, 1)
        for row in numbers:
            try:
                source.read(np.array([row], np.int64), into)
            except BadRows:
                continue
            yield into[source.primary].reshape(-1)
    finally:
        charge.release()


def _sample_of_images(source: RowSource, numbers: list[int], budget: Budget) -> Iterator[NDArray[Any]]:
    pool = budget.pool(min(_DECODING, budget.free), "a sample of rows")
    try:
        with closing(StoredPixels(source, pool)) as images:
            for row in numbers:
                try:
                    pixels = images.read(row)
                except DoesNotFit:
                    raise
                except BitesizeError:  # reported when the loader reads the row
                    continue
                yield pixels.reshape(-1)
    finally:
        pool.close()
