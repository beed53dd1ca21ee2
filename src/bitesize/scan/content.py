"""A source that records facts about the rows it reads: hashes of contents, image sizes, and values that are not finite."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitesize.decode.header import KINDS_OF_SUFFIXES, ImageInfo, read_info
from bitesize.errors import BadFile, BadRows
from bitesize.sources.base import Source
from bitesize.sources.combine.wrapper import SourceWrapper
from bitesize.sources.protocol import Into
from bitesize.sources.sinks import EncodedSink
from bitesize.sources.value_range import may_be_narrow
from bitesize.spec import Field

_HASH = np.dtype([("high", np.uint64), ("low", np.uint64)])
# In a row of fewer values, all values may be equal by chance.
_MANY_VALUES = 16
# Number of pixels that are processed together.
_PIECE = 65_536


class RowFacts:
    """Facts about each row of a span.

    Parameters
    ----------
    span
        Row numbers.

    Attributes
    ----------
    span : range
    hashes : ndarray, shape (rows,)
        128-bit XXH3 of the contents; zero if a row was not read.
    sides : ndarray of int32, shape (rows, 2)
        Width and height of images.
    levels, brightest : ndarray of int32, shape (rows,)
        For images of more than 8 bits that are decoded to whole numbers of 8 or 16 bits: number of different values after decoding, and
        the largest value. For images and volumes that are arrays of 16 bits: 1, and the largest value. 0 for other rows.
    not_finite, uniform, misnamed : ndarray of bool, shape (rows,)
        Whether values are NaN or infinite; whether all values are equal; whether an image format differs from its file name.
    """

    def __init__(self, span: range) -> None:
        self.span, rows = span, len(span)
        self.hashes = np.zeros(rows, _HASH)
        self.sides = np.zeros((rows, 2), np.int32)
        self.not_finite, self.uniform, self.misnamed = (np.zeros(rows, np.bool_) for _ in range(3))
        self.levels, self.brightest = np.zeros(rows, np.int32), np.zeros(rows, np.int32)
        self.not_finite_field = ""

    def put(self, part: RowFacts) -> None:
        """Copy the facts about some of the rows."""
        start = part.span.start - self.span.start
        for own, other in zip(self._arrays, part._arrays, strict=True):
            own[start : start + len(other)] = other
        self.not_finite_field = part.not_finite_field or self.not_finite_field

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays."""
        return sum(array.nbytes for array in self._arrays)

    @property
    def _arrays(self) -> tuple[NDArray[Any], ...]:
        return (
            self.hashes,
            self.sides,
            self.not_finite,
            self.uniform,
            self.misnamed,
            self.levels,
            self.brightest,
        )


class ContentSource(SourceWrapper):
    """Rows of another source. Facts about each row are recorded when it is read.

    Parameters
    ----------
    base
        Source of the rows.
    facts
        Facts to fill.
    """

    def __init__(self, base: Source, facts: RowFacts) -> None:
        super().__init__(base)
        self._facts = facts
        label, stored = base.label_name, base.spec[base.primary]
        self._may_be_narrow = isinstance(stored, Field) and may_be_narrow(stored)
        self._contents = [name for name in self.spec if name != label] or list(self.spec)

    def read(self, rows: NDArray[np.int64], into: Into) -> None:
        """Read rows of the base, and record facts about the rows that could be read."""
        kept = {name: out if isinstance(out, np.ndarray) else EncodedSink(out.put) for name, out in into.items()}
        failed: BadRows | None = None
        try:
            self.base.read(rows, kept)
        except BadRows as error:
            failed = error
        for i, row in enumerate(rows.tolist()):
            if failed is None or i not in failed.causes:
                self._record(row, {name: _value(out, i) for name, out in kept.items()})
        if failed is not None:
            raise failed

    def _record(self, row: int, values: dict[str, Any]) -> None:
        import xxhash

        facts, digest, at = self._facts, xxhash.xxh3_128(), row - self._facts.span.start
        for name, value in values.items():
            field = self.spec[name]
            if isinstance(field, Field):
                if field.dtype.kind in "fc" and not np.isfinite(value).all():
                    facts.not_finite[at], facts.not_finite_field = True, name
                if name == self.primary and self._may_be_narrow:
                    facts.levels[at], facts.brightest[at] = 1, value.max()
                if name in self._contents and value.ndim > 1 and value.size >= _MANY_VALUES:
                    facts.uniform[at] |= bool((value == value.reshape(-1)[0]).all())
            elif name == self.primary:
                self._record_image(row, value)
            if name in self._contents:
                data: Any = value if not isinstance(field, Field) else np.ascontiguousarray(value).reshape(-1).view(np.uint8)
                digest.update(data)
        number = digest.intdigest() or 1
        facts.hashes[at] = (number >> 64, number & (2**64 - 1))

    def _record_image(self, row: int, data: memoryview) -> None:
        try:
            info = read_info(data)
        except BadFile:  # the loader reports it
            return
        at = row - self._facts.span.start
        self._facts.sides[at] = info.width, info.height
        path = self.base.path(row)
        suffix = os.path.splitext(path)[1].lower().decode("ascii", "replace") if path is not None else ""
        self._facts.misnamed[at] = KINDS_OF_SUFFIXES.get(suffix, info.kind) != info.kind

    def see_pixels(self, row: int, info: ImageInfo, pixels: NDArray[Any]) -> None:
        """Record the range of an image of more than 8 bits, as decoded."""
        if info.bits == 8 or pixels.dtype not in (np.uint8, np.uint16):
            return
        values, present = pixels.reshape(-1), np.zeros(np.iinfo(pixels.dtype).max + 1, np.bool_)
        for start in range(0, values.size, _PIECE):  # NumPy copies indices to 8 bytes each
            present[values[start : start + _PIECE]] = True
        at = row - self._facts.span.start
        self._facts.levels[at], self._facts.brightest[at] = np.count_nonzero(present), values.max()

    def locate(self, rows: NDArray[np.int64]) -> None:
        """Return None, so that all rows are read here, and can be recorded."""

    def scratch(self, rows: int) -> int:
        """Return the bytes that the base needs, plus those for comparing a row's values."""
        widest = max((field.nbytes for field in self.spec.values() if isinstance(field, Field)), default=0)
        return self.base.scratch(rows) + widest


def _value(out: Any, i: int) -> Any:
    return out[i] if isinstance(out, np.ndarray) else out.files[i]
