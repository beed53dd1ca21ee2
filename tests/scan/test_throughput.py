"""The bound: reading and decoding alone, the way a loader reads."""

from __future__ import annotations

import threading
from collections import Counter

import numpy as np
import pytest

import bitesize as bs
from bitesize.cli.bench import bound_of, measure_bound
from bitesize.sources.base import Source
from bitesize.sources.protocol import ChunkStarts
from bitesize.spec import Field


class Chunked(Source):
    """Rows in chunks of ten; it counts chunks that are read whole, and rows that are read one by one."""

    spec = {"x": Field((4,), np.dtype(np.float32))}

    def __init__(self, n, error=None):
        self.n, self.error = n, error
        self.whole, self.alone, self.lock = Counter(), 0, threading.Lock()

    def __len__(self):
        return self.n

    def chunks(self):
        return ChunkStarts(np.append(np.arange(0, self.n, 10), self.n))

    def read(self, rows, into):
        if self.error is not None:
            raise self.error
        with self.lock:
            if len(rows) == 10 and rows[0] % 10 == 0:
                self.whole[int(rows[0])] += 1
            else:
                self.alone += len(rows)
        into["x"][:] = rows[:, None]

    def _identity(self):
        return b"chunked"


def loader_of(source, **settings):
    order = bs.Order(len(source), seed=1, window=80)
    return bs.Loader(source, batch_size=16, memory="32 MiB", threads=2, order=order, **settings)


def test_the_bound_reads_chunks_whole_as_the_loader_does():
    source = Chunked(400)
    with loader_of(source) as loader:
        source.alone = 0
        assert loader.measure_bound(0.2) > 0
        assert source.alone == 0
        assert len(source.whole) >= 8  # a window
        assert sum(len(batch.rows) for batch in loader) == 400  # and the loader goes on behind it


def test_the_bound_of_no_time_is_that_of_one_batch():
    with loader_of(Chunked(400)) as loader:
        assert loader.measure_bound(0.0) > 0


def test_an_error_while_the_bound_is_measured_is_raised_and_ends_no_other_thread():
    source = Chunked(400)
    with loader_of(source) as loader:
        source.error = RuntimeError("the disk is on fire")
        with pytest.raises(RuntimeError, match="on fire"):
            loader.measure_bound(0.2)
        source.error = None
        assert loader.measure_bound(0.1) > 0


def test_a_bound_far_below_what_was_loaded_is_none_and_the_reason_is_said():
    with bs.Loader(bs.open(np.zeros((64, 2))), batch_size=8, memory="8 MiB") as loader:
        found = bound_of(loader, 1e12, 1.0, 0.01)
        assert found["share_of_bound"] is None
        assert "less than loading did" in found["no_bound"]
        almost = bound_of(loader, 1e12, 0.9e12, 0.01)
        assert almost["share_of_bound"] == 1.0
        assert almost["bound_rows_per_second"] == 1e12


def test_a_budget_without_room_for_the_measurement_gives_no_bound():
    source = bs.open(np.zeros((64, 1 << 18), np.uint8))
    with bs.Loader(
        source, batch_size=8, memory="28 MiB", dtype="float32", threads=1, transforms=[bs.Scale(1 / 255)]
    ) as loader:
        loader.budget.charge(loader.budget.free, "all the rest")
        why = measure_bound(loader, 0.01)
        assert isinstance(why, str)
        assert "too small to measure it" in why
        assert bound_of(loader, 1.0, why, 0.01)["no_bound"] == why
