"""A sample of the rows of a source: how many bytes they take, stored and as pixels."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitesize.decode.decode import decode_nbytes, pixels_nbytes
from bitesize.decode.header import read_info
from bitesize.errors import BadRows, BitesizeError, DoesNotFit
from bitesize.memory.budget import Budget
from bitesize.memory.charge import Charge
from bitesize.memory.mapping import aligned
from bitesize.packing.decoding import upright_size
from bitesize.pipeline.reduction import Size, reduced_size
from bitesize.scan.rows import fixed_fields
from bitesize.sources.base import Source
from bitesize.sources.sinks import EncodedSink
from bitesize.spec import Encoded

# Number of rows of a sample, evenly spaced.
ROWS = 64


@dataclass(frozen=True)
class Sample:
    """Bytes that a sample of rows takes.

    Parameters
    ----------
    files
        Mean bytes of a row of each encoded field.
    pixels
        Mean bytes of its decoded pixels, reduced to the longest side.
    sizes
        Heights and widths of the decoded images of each encoded field.
    largest_files
        Largest bytes of all encoded fields of a row.
    largest_decoding
        Largest bytes for decoding all fields of a row.
    """

    files: dict[str, float]
    pixels: dict[str, float]
    sizes: dict[str, frozenset[Size]]
    largest_files: int
    largest_decoding: int


def sample(source: Source, budget: Budget, max_side: int | None, *, decode: bool, rows: int = ROWS) -> Sample:
    """Read evenly spaced rows of the encoded fields of a source. Rows that cannot be read are left out.

    Parameters
    ----------
    source
        Source of the rows.
    budget
        Charged for one row at a time.
    max_side
        Longest side of stored images.
    decode
        Whether the headers of images are read.
    rows
        Number of rows of the sample.

    Raises
    ------
    DoesNotFit
        If the files of a row do not fit the budget.
    """
    encoded = {name: field for name, field in source.spec.items() if isinstance(field, Encoded)}
    files: dict[str, list[int]] = {name: [] for name in encoded}
    pixels: dict[str, list[int]] = {name: [] for name in encoded}
    sizes: dict[str, set[Size]] = {name: set() for name in encoded}
    largest_files = largest_decoding = 0
    numbers: Any = np.unique(np.linspace(0, len(source) - 1, min(rows, len(source))).astype(np.int64)) if encoded else []
    for row in map(int, numbers):
        with _stored(source, row, budget) as data:
            for name, each in data.items():
                files[name].append(len(each))
            largest_files = max(largest_files, sum(len(each) for each in data.values()))
            need = 0
            for name, each in data.items() if decode else ():
                field = encoded[name]
                try:
                    info = read_info(each)
                except BitesizeError:  # reported when the row is packed
                    continue
                size = reduced_size(upright_size(info, field.orient), max_side)
                sizes[name].add(size)
                pixels[name].append(size[0] * size[1] * field.channels * field.dtype.itemsize)
                need += aligned(pixels_nbytes(info, field.mode, 8)) + decode_nbytes(info, field.mode, 8, len(each))
            largest_decoding = max(largest_decoding, need)
    return Sample(
        {name: _mean(each) for name, each in files.items()},
        {name: _mean(each) for name, each in pixels.items()},
        {name: frozenset(each) for name, each in sizes.items()},
        largest_files,
        largest_decoding,
    )


def all_sizes_equal(source: Source, budget: Budget, name: str, size: Size, max_side: int | None) -> bool:
    """Return whether each image of a field has a size in the store; all rows are read."""
    field = source.spec[name]
    assert isinstance(field, Encoded)
    for row in range(len(source)):
        with _stored(source, row, budget) as data:
            try:
                if name in data and reduced_size(upright_size(read_info(data[name]), field.orient), max_side) != size:
                    return False
            except BitesizeError:
                continue
    return True


@contextmanager
def _stored(source: Source, row: int, budget: Budget) -> Iterator[dict[str, memoryview]]:
    """Yield the files of a row; none if it cannot be read."""
    charges: list[Charge] = []

    def put(i: int, nbytes: int) -> memoryview:
        """Charge and return a buffer."""
        charges.append(budget.charge(nbytes, source.describe(row)))
        return memoryview(bytearray(nbytes))

    sinks = {name: EncodedSink(put) for name, field in source.spec.items() if isinstance(field, Encoded)}
    arrays: dict[str, NDArray[Any]] = {
        name: np.empty((1, *field.shape), field.dtype) for name, field in fixed_fields(source.spec).items()
    }
    data: dict[str, memoryview] = {}
    try:
        try:
            source.read(np.array([row], np.int64), {**arrays, **sinks})
            data = {name: sink.files[0] for name, sink in sinks.items()}
        except BadRows as error:
            if isinstance(error.causes.get(0), DoesNotFit):
                raise error.causes[0] from None
        yield data
    finally:
        for charge in charges:
            charge.release()


def _mean(values: list[int]) -> float:
    return float(np.mean(values)) if values else 0.0
