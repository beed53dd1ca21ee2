"""Window shuffling: rows are drawn from runs in memory, each of which is read once an epoch, by one rank."""

from __future__ import annotations

import io
import random
import threading
import time
from collections import Counter

import numpy as np
import pytest
from PIL import Image

import bitesize as bs
from bitesize.sources.base import Source
from bitesize.sources.protocol import ChunkStarts
from bitesize.spec import Encoded, Field

RUN = 10


class Chunked(Source):
    """Rows in chunks of ten that tell their number; it notes what is read of it, and some rows are bad."""

    def __init__(self, n, encoded=False, bad=(), broken=(), slow=0.0):
        self.n, self.bad, self.broken, self.slow = n, frozenset(bad), frozenset(broken), slow
        self.files = [self._file(row) for row in range(n)] if encoded else None
        self.spec = {"x": Encoded("image", "RGB") if encoded else Field((4, 5), np.dtype(np.int32))}
        self.spec["y"] = Field((), np.dtype(np.int64))
        self._labels = np.arange(n, dtype=np.int64)
        self.whole, self.stray, self.lock = Counter(), [], threading.Lock()

    @staticmethod
    def _file(row):
        file = io.BytesIO()
        Image.fromarray(np.full((6, 5, 3), row % 256, np.uint8)).save(file, "PNG")
        return file.getvalue()

    def __len__(self):
        return self.n

    def chunks(self):
        starts = np.append(np.arange(0, self.n, RUN), self.n)
        if self.files is None:
            return ChunkStarts(starts)
        sizes = np.array([len(file) for file in self.files])
        return ChunkStarts(starts, np.add.reduceat(sizes, starts[:-1]))

    def read(self, rows, into):
        first = int(rows[0])
        if self.slow:
            time.sleep(random.random() * self.slow)
        with self.lock:
            if first % RUN == 0 and rows.tolist() == list(range(first, min(first + RUN, self.n))):
                self.whole[first // RUN] += 1
            else:
                self.stray += rows.tolist()
        if first in self.broken:
            raise RuntimeError("the disk is on fire")
        failed = {}
        for i, row in enumerate(rows.tolist()):
            if row in self.bad:
                failed[i] = bs.BadFile(f"row {row} is bad")
            elif self.files is None:
                into["x"][i] = row
            else:
                try:
                    into["x"].put(i, len(self.files[row]))[:] = self.files[row]
                except bs.BitesizeError as error:
                    failed[i] = error
        into["y"][:] = rows
        if failed:
            raise bs.BadRows(failed)

    def _identity(self):
        return b"chunked"


def make(source, rank=0, world=1, **settings):
    order = bs.Order(
        len(source), seed=settings.pop("seed", 3), window=settings.pop("window", 80), **settings.pop("order", {})
    )
    settings = {"batch_size": 16, "memory": "32 MiB", "threads": 2} | settings
    loader = bs.Loader(source, order=order, shard=bs.Shard(rank, world), **settings)
    getattr(source, "stray", []).clear()  # images have a size, which the first row was asked for
    return loader


def told(batch):
    """Note the rows of a batch, after a look whether they are what they should be."""
    real = batch.rows[batch.mask]
    assert batch["y"][batch.mask].tolist() == real.tolist()
    pixels = batch["x"][batch.mask]
    values = real % 256 if pixels.ndim == 4 else real
    assert (pixels == values.reshape(-1, *[1] * (pixels.ndim - 1))).all()
    return batch.epoch, batch.position, batch.rows.tolist()


@pytest.mark.parametrize("encoded", [False, True])
@pytest.mark.parametrize("threads", [1, 2, 5])
def test_each_row_comes_once_and_each_run_is_read_once_an_epoch(encoded, threads):
    source = Chunked(1003, encoded)
    with make(source, threads=threads) as loader:
        assert "window" in {part.name for part in loader.plan.parts}
        source.stray.clear()
        epochs = [[told(batch) for batch in loader] for _ in range(3)]
    for epoch in epochs:
        assert sorted(row for _, _, rows in epoch for row in rows) == list(range(1003))
    assert len({tuple(row for _, _, rows in epoch for row in rows) for epoch in epochs}) == 3
    assert not source.stray
    # Three epochs, and the begin of the fourth, which is read ahead.
    assert set(source.whole) == set(range(101))
    assert 3 * 101 <= source.whole.total() <= 3 * 101 + 16


def test_rows_are_drawn_from_the_window_and_no_wider():
    source = Chunked(4000)
    with make(source, window=400, batch_size=32) as loader:
        chunks = [np.unique(np.array(rows) // RUN) for _, _, rows in map(told, loader)]
    # A batch has rows of many runs; and what is in memory at a time is a small part of them all.
    assert min(map(len, chunks)) >= 12
    assert max(len(np.unique(np.concatenate(chunks[i : i + 4]))) for i in range(0, len(chunks), 4)) < 100
    assert len(np.unique(np.concatenate(chunks))) == 400


@pytest.mark.parametrize("world", [2, 4, 8])
def test_each_run_is_read_by_one_rank_but_for_those_in_which_shares_meet(world):
    sources = [Chunked(1600) for _ in range(world)]
    loaders = [make(source, rank, world) for rank, source in enumerate(sources)]
    seen = Counter()
    for loader in loaders:
        with loader:
            seen.update(row for batch in loader for row in told(batch)[2])
    assert seen == Counter(range(1600))
    assert not any(source.stray for source in sources)
    assert all(len(source.whole) < 160 // world + 24 for source in sources)  # its own, and the begin of the next epoch
    # One epoch alone: what is read by two ranks.
    with make(Chunked(1600)) as loader:
        order = loader.order
    of_ranks = [
        {
            int(row) // RUN
            for start in range(0, 1600, 16)
            for row in order.rows(0, start + 16 * r // world, start + 16 * (r + 1) // world)
        }
        for r in range(world)
    ]
    assert sum(map(len, of_ranks)) <= 160 + world - 1


def test_a_loader_goes_on_at_every_batch_whatever_threads_and_ranks():
    data = Chunked(203)
    with make(data, last="pad") as loader:
        loader.set_epoch(0)
        whole = [told(batch) for _ in range(2) for batch in loader]
    for k in range(len(whole) + 1):
        world, threads = (1, 2, 4)[k % 3], (1, 2, 4)[k % 4 % 3]
        with make(data, last="pad", threads=threads) as loader:
            left = k
            while left:
                for _ in loader:
                    left -= 1
                    if not left:
                        break
            state = loader.state_dict()
        parts = []
        for rank in range(world):
            with make(data, rank, world, last="pad", threads=threads) as loader:
                loader.load_state_dict(state)
                rest = []
                while loader.epoch < 2:
                    rest += [told(batch) for batch in loader]
                parts.append(rest)
        joined = [(*each[0][:2], [row for part in each for row in part[2]]) for each in zip(*parts, strict=True)]
        expected = [(epoch, position, rows + [-1] * (16 - len(rows))) for epoch, position, rows in whole[k:]]
        assert joined == expected, k


@pytest.mark.parametrize("threads", [1, 4, 8])
def test_left_loops_leave_nothing_in_memory(threads):
    source = Chunked(1000, slow=0.005)  # so that what a loop leaves is still being read when the next begins
    with make(source, threads=threads) as loader:
        for turn in range(12):
            for i, batch in enumerate(loader):
                told(batch)
                if i == turn:
                    break
        assert not source.stray
        source.whole.clear()
        assert sorted(row for batch in loader for row in told(batch)[2]) == list(range(1000))
    assert not source.stray
    assert set(source.whole) == set(range(100))


@pytest.mark.parametrize("encoded", [False, True])
def test_a_bad_row_is_replaced_by_one_of_its_run(encoded):
    source = Chunked(500, encoded, bad=[37, 38, 444])
    with make(source, on_error="skip", window=60) as loader:
        good = loader.order.rows(0, 0, 500)
        rows = np.concatenate([told(batch)[2] for batch in loader])
    assert [bad.row for bad in loader.bad] == [37, 38, 444]
    changed = np.flatnonzero(rows != good)
    assert sorted(good[changed].tolist()) == [37, 38, 444]
    assert (rows[changed] // RUN == good[changed] // RUN).all()
    assert not source.stray


class Grown(Chunked):
    """Rows that take more than is told of their run, as files do that grew after the folder was listed."""

    @staticmethod
    def _file(row):
        return Chunked._file(row) + bytes(10_000)  # more than what frames are rounded up to

    def chunks(self):
        return super().chunks()._replace(nbytes=super().chunks().nbytes // 2)


def test_rows_for_which_there_is_no_room_are_read_when_they_are_asked_for():
    source = Grown(500, encoded=True)
    with make(source, window=60) as loader:
        rows = [row for batch in loader for row in told(batch)[2]]
    assert sorted(rows) == list(range(500))
    assert not loader.bad
    assert 200 < len(set(source.stray)) < 400  # about half of them; the others came with their runs


def test_a_run_of_bad_rows_is_masked_and_an_error_names_its_row():
    source = Chunked(500, bad=range(40, 50))
    with make(source, on_error="skip", max_bad=0.1) as loader:
        rows = [row for batch in loader for row in batch.rows[batch.mask].tolist()]
    assert sorted(rows) == [row for row in range(500) if row not in range(40, 50)]
    with make(Chunked(500, bad=[77])) as loader, pytest.raises(bs.BadFile, match="row 77 is bad"):
        list(map(told, loader))


def test_an_error_of_the_source_reaches_the_loop_and_the_loader_goes_on():
    source = Chunked(500, broken=[250])
    with make(source) as loader:
        for _ in range(2):
            with pytest.raises(RuntimeError, match="on fire"):
                list(map(told, loader))
        source.broken = frozenset()
        assert sorted(row for batch in loader for row in told(batch)[2]) == list(range(500))


@pytest.mark.parametrize("n", [1, 2, 15, 16, 17, 100])
@pytest.mark.parametrize("window", [1, 7, 1000])
def test_any_size_of_data_batch_and_window_goes(n, window):
    source = Chunked(n)
    for settings in ({"streams": 1}, {"streams": 50}, {"repeat": 3}, {"limit_rows": 9}):
        with make(source, window=window, order=settings, batch_size=5) as loader:
            rows = [row for batch in loader for row in told(batch)[2]]
            assert rows == loader.order.rows(0, 0, loader.order.length).tolist()
    assert not source.stray


def test_large_files_are_drawn_from_in_windows(tmp_path):
    x = np.random.default_rng(0).integers(0, 255, (3000, 20, 20, 3), dtype=np.uint8)
    np.save(tmp_path / "x.npy", x)
    source = bs.open(tmp_path / "x.npy", labels=np.arange(3000.0))
    train, _ = source.split(0.9)
    for data in (source, train):
        order = bs.Order(len(data), seed=1, window=500)
        with bs.Loader(data, order=order, batch_size=50, memory="64 MiB", transforms=[bs.Scale(1 / 255)]) as loader:
            seen = []
            for batch in loader:
                np.testing.assert_allclose(batch["x"], x[batch["y"].astype(int)] / np.float32(255), rtol=1e-6)
                seen += batch["y"].tolist()
        assert len(set(seen)) == len(data)


def test_what_does_not_go_is_refused_in_words(tmp_path):
    source = Chunked(100)
    with pytest.raises(bs.BadSetting, match="has no chunks of rows that are cheaper to read together"):
        bs.Loader(bs.open(np.zeros((9, 2))), order=bs.Order(9, window=4), batch_size=2)
    with pytest.raises(bs.BadSetting, match='not "auto"'):
        make(source, batch_size="auto")
    with pytest.raises(bs.DoesNotFit, match="lower window or streams"):
        make(Chunked(100_000), window=100_000, memory="2 MiB")
    for wrong in ({"weights": [1.0] * 100}, {"shuffle": False}):
        with pytest.raises(bs.BadSetting, match="window"):
            bs.Order(100, window=10, **wrong)
    with pytest.raises(bs.BadSetting, match="streams must be at least 1"):
        bs.Order(100, window=10, streams=0)
    with pytest.raises(bs.BadSetting, match="needs chunks"):
        bs.Order(100, window=10).rows(0, 0, 10)
    with make(source) as loader:
        state = loader.state_dict()
    with make(source, window=400) as other, pytest.raises(bs.BadSetting, match="the order's window"):
        other.load_state_dict(state)


@pytest.mark.parametrize(("n", "lanes_share", "batch_size"), [(328, 64, 1), (196, 64, 2), (65, 256, 16), (203, 16, 50)])
def test_batches_may_be_cut_otherwise_than_streams_are(n, lanes_share, batch_size):
    source = Chunked(n)
    with make(source, window=24, order={"batch_size": lanes_share}, batch_size=batch_size) as loader:
        for _ in range(3):
            assert sorted(row for batch in loader for row in told(batch)[2]) == list(range(n))
    assert not source.stray


def test_a_rest_that_is_cut_across_ranks_has_memory_for_all_streams():
    source = Chunked(2000)
    with make(source, batch_size=19, order={"batch_size": 32}) as loader:
        first = told(next(iter(loader)))[2]
        state = loader.state_dict()
    seen = list(first)
    for rank in range(4):
        with make(source, rank, 4, batch_size=32, last="pad") as loader:
            before = loader.plan.total
            loader.load_state_dict(state, allow_batch_size_change=True)
            assert loader.plan.total > before
            seen += [row for batch in loader for row in told(batch)[2] if row >= 0]
    assert sorted(seen) == list(range(2000))
    assert not source.stray


def test_a_row_that_comes_several_times_takes_room_as_often():
    source = Chunked(100, encoded=True).subset(np.repeat(np.arange(100), 3))
    with make(source, window=40) as loader:
        assert Counter(row for batch in loader for row in batch["y"].tolist()) == Counter(list(range(100)) * 3)


def test_another_batch_size_keeps_the_order_when_the_order_keeps_its_own():
    source = Chunked(333)
    with make(source) as loader:
        batches = iter(loader)
        seen = [row for _ in range(5) for row in told(next(batches))[2]]
        state = loader.state_dict()
        order = loader.order
    with make(source, batch_size=7, order={"batch_size": 16}) as other:
        other.load_state_dict(state, allow_batch_size_change=True)
        seen += [row for batch in other for row in told(batch)[2]]
    assert seen == order.rows(0, 0, 333).tolist()


def test_a_budget_too_small_for_the_window_costs_reads_and_changes_no_row(tmp_path, caplog):
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "w.h5", "w") as file:
        rows = np.repeat(np.arange(1000, dtype="u4")[:, None], 2500, 1)
        file.create_dataset("x", data=rows, chunks=(100, 2500), compression="gzip")

    def read(memory):
        with bs.Loader(bs.open(tmp_path / "w.h5"), batch_size=64, memory=memory) as loader:
            seen = [batch["x"][:, 0].copy() for batch in loader]
            assert loader.budget.peak <= loader.budget.total
        return np.concatenate(seen).tolist()

    whole = read("200 MiB")
    assert not caplog.records
    assert read("8 MiB") == whole
    assert 'memory="' in caplog.text
    assert "chunks are read more than once" in caplog.text
