"""The count of trained batches, the position in the data that it means, and when a checkpoint is due."""

import numpy as np
import pytest

import bitesize as bs
from bitesize.training import batch_counter
from bitesize.training.batch_counter import BatchCounter, SaveInterval


@pytest.fixture
def loader():
    with bs.Loader(bs.open(np.zeros((10, 2))), batch_size=4, memory="16 MiB") as loader:
        yield loader


def test_positions_follow_the_batches_of_each_epoch(loader):
    counter = BatchCounter()
    counter.begin(loader)
    counter.done = 2
    assert counter.position(loader, 2) == (0, 8)
    counter.done = 3
    assert counter.position(loader, 3) == (0, 12)  # the end of the epoch is still to come
    counter.end_epoch(0)
    assert (counter.epoch, counter.done, counter.trained) == (1, 0, 3)
    assert counter.position(loader, 0) == (1, 0)
    counter.done = 1
    assert counter.position(loader, 1) == (1, 4)


def test_a_resumed_count_starts_at_the_position_of_the_checkpoint(loader):
    counter = BatchCounter()
    counter.resume({"loader": {"epoch": 4, "position": 4}, "epoch": 2, "batch": 1})
    assert (counter.epoch, counter.done, counter.trained) == (2, 1, 0)
    assert counter.position(loader, 1) == (4, 4)
    counter.done = 2
    assert counter.position(loader, 2) == (4, 8)


def test_an_interval_of_batches_counts_from_the_last_checkpoint():
    interval = SaveInterval(every_batches=3, every_minutes=None)
    assert [interval.is_due(trained) for trained in (0, 2, 3, 4)] == [False, False, True, True]
    interval.restart(4)
    assert [interval.is_due(trained) for trained in (4, 6, 7)] == [False, False, True]


def test_an_interval_of_minutes_is_5_by_default(monkeypatch):
    clock = [100.0]
    monkeypatch.setattr(batch_counter.time, "monotonic", lambda: clock[0])
    for minutes, seconds in ((None, 300), (0.5, 30)):
        interval = SaveInterval(None, minutes)
        clock[0] += seconds - 1
        assert not interval.is_due(10**6)
        clock[0] += 1
        assert interval.is_due(0)
