"""The order of data in chunks follows from the data and the batch size, so that many ranks share few chunks."""

from __future__ import annotations

import threading
from collections import Counter

import numpy as np
import pytest

import bitesize as bs
from bitesize.engine.order_choice import choose_order
from bitesize.sources.base import Source
from bitesize.sources.protocol import ChunkStarts
from bitesize.spec import Field

ROWS, CHUNK = 2048, 16


class Chunks(Source):
    """Numbers in chunks, which are read as a whole; it counts how often."""

    reads_by_chunk = True

    def __init__(self, rows=ROWS, chunk=CHUNK):
        self.rows, self.chunk, self.read_whole, self.lock = rows, chunk, Counter(), threading.Lock()
        self.spec = {"x": Field((), np.dtype(np.int64))}

    def __len__(self):
        return self.rows

    def chunks(self):
        return ChunkStarts(np.append(np.arange(0, self.rows, self.chunk), self.rows))

    def read(self, rows, into):
        into["x"][:] = rows
        if len(rows) > 1:
            with self.lock:
                self.read_whole[int(rows[0]) // self.chunk] += 1

    def _identity(self):
        return b"chunks"


@pytest.mark.parametrize(
    ("batch_size", "streams"), [(1, 8), (64, 8), (128, 8), (255, 8), (256, 16), (700, 32), (2048, 128), (10**9, 128)]
)
def test_there_are_as_many_streams_as_a_batch_could_hold_chunks_but_at_least_eight(batch_size, streams):
    order, _ = choose_order(Chunks(), None, 0, True, batch_size)
    assert (order.streams, order.window) == (streams, streams * CHUNK)


@pytest.mark.parametrize("world", [1, 2, 8, 16, 32])
def test_so_that_many_ranks_read_each_chunk_about_once(world):
    seen, reads = Counter(), Counter()
    for rank in range(world):
        source = Chunks()
        with bs.Loader(source, batch_size=512, memory="32 MiB", threads=1, shard=bs.Shard(rank, world)) as loader:
            assert loader.order.streams == 32
            source.read_whole.clear()
            # All batches but the last, after which the next epoch is read ahead.
            for batch in loader:
                seen.update(batch.rows.tolist())
                if batch.position == ROWS - 512:
                    break
        reads.update(source.read_whole)
    assert seen == Counter(range(ROWS))
    assert set(reads) == set(range(ROWS // CHUNK))
    # Chunks in which two streams meet, and chunks of the next epoch.
    assert reads.total() <= 2 * (ROWS // CHUNK) + 64


def hints(rank=0, **settings):
    order = settings.pop("order", {})
    window = bs.Order(ROWS, window=256, **order)
    with bs.Loader(Chunks(), order=window, memory="32 MiB", threads=1, shard=bs.Shard(rank, 32), **settings) as loader:
        return " ".join(loader.plan.hints)


def test_ranks_that_divide_streams_are_told_how_many_streams_they_need(caplog):
    caplog.set_level("INFO", logger="bitesize")
    line = "each chunk is read by 4.0 ranks on average, because 32 ranks divide 8 streams of the window"
    assert line in hints(batch_size=256)
    assert "(bs.Order(..., window=512, streams=32) avoids it)" in caplog.text
    assert caplog.text.count(line) == 1
    assert line in hints(rank=5, batch_size=256)
    assert caplog.text.count(line) == 1  # one rank says it for all
    assert "on average" not in hints(batch_size=256, order={"streams": 32})


def test_ranks_whose_streams_change_with_each_batch_are_told_so():
    assert "each of 32 ranks reads all chunks" in hints(batch_size=128, order={"batch_size": 256, "streams": 32})
    assert "the order has batch_size=96 and repeat=2" in hints(batch_size=96, order={"repeat": 2, "streams": 32})
