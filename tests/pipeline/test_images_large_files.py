"""Rows whose files are larger than the read buffer of a thread."""

from __future__ import annotations

import numpy as np

import bitesize as bs
from bitesize.decode.raw import raw_header
from bitesize.sources import Source, raise_bad
from bitesize.spec import Encoded


class Counting(Source):
    """Large rows of raw pixels; how often each is read is counted."""

    spec = {"x": Encoded()}

    def __init__(self, rows):
        self.reads = np.zeros(rows, int)

    def __len__(self):
        return len(self.reads)

    def _identity(self):
        return b"counting"

    def read(self, rows, into):
        shape, failed = (700, 800, 3), {}
        data = raw_header(shape, np.dtype(np.uint8)) + bytes(np.prod(shape))
        for i, row in enumerate(rows.tolist()):
            try:
                into["x"].put(i, len(data))[:] = data
                self.reads[row] += 1
            except bs.BitesizeError as error:  # the buffer is too small: the row is requested again
                failed[i] = error
        raise_bad(failed)


def test_the_memory_of_one_row_serves_the_next_so_that_it_is_read_once():
    source = Counting(60)  # more than are read ahead of the second batch
    with bs.Loader(source, batch_size=4, memory="64 MiB", threads=1, shuffle=False, transforms=[bs.Resize(8)]) as loader:
        before = source.reads.copy()
        batches = iter(loader)
        assert [*next(batches).rows, *next(batches).rows] == list(range(8))
    read = source.reads - before
    assert read[0] == 2  # its need was known after the first time
    assert (read[1:8] == 1).all()
    assert (read <= 1).all() or read.argmax() == 0
