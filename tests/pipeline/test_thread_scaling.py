"""Threads stand by until others wait."""

import threading
import time

import numpy as np
import pytest

import bitesize as bs
from bitesize.engine.loader import driver_of
from bitesize.memory.limits import processor_share
from bitesize.pipeline import thread_scaling


class Waiting(bs.Source):
    """Rows that take their time without a processor, as a cold disk or a busy interpreter makes them."""

    def __init__(self, seconds):
        self.seconds = seconds
        self.spec = {"x": bs.Field((50_000,), np.dtype("f4"))}

    def __len__(self):
        return 4000

    def read(self, rows, into):
        time.sleep(self.seconds)
        into["x"][...] = rows[:, None]

    def _identity(self):
        return b"waiting"


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(thread_scaling, "_REST", 0.1)


def _work(source, batches, consumer=lambda: None, **options):
    with bs.Loader(source, batch_size=16, memory="512 MiB", **options) as loader:
        seen, most = [], 0
        for batch in loader:
            assert (batch["x"][:, 0] == batch.rows).all()
            seen.append(batch.rows.copy())
            consumer()
            most = max(most, driver_of(loader)._engine.scaler.working)
            if len(seen) == batches:
                break
        return np.concatenate(seen), most, loader.threads


def test_more_threads_work_while_those_at_work_wait():
    rows, most, threads = _work(Waiting(0.02), 240)
    assert threads > processor_share() + 2
    assert most > processor_share() + 2
    one, _, _ = _work(Waiting(0.0), 240, threads=1)
    assert np.array_equal(rows, one)  # whoever makes them, the order is the same


def test_none_is_added_for_a_slow_consumer():
    _, most, _ = _work(Waiting(0.001), 60, lambda: time.sleep(0.02))
    assert most <= processor_share() + 1


def test_so_many_threads_as_were_asked_for_work():
    _, most, threads = _work(Waiting(0.02), 60, threads=3)
    assert (most, threads) == (3, 3)


def test_a_small_budget_has_few_threads_stand_by():
    with bs.Loader(Waiting(0), batch_size=1, memory="8 MiB") as loader:
        assert loader.threads == processor_share() + 2


def test_threads_that_stand_by_are_not_started():
    with bs.Loader(Waiting(0), batch_size=4, memory="512 MiB") as loader:
        next(iter(loader))
        alive = sum(
            thread.name.startswith("bitesize-") and thread.name not in ("bitesize-compile", "bitesize-request")
            for thread in threading.enumerate()
        )
        assert alive <= driver_of(loader)._engine.scaler.working < loader.threads


def test_where_the_system_gives_no_more_threads_those_there_are_go_on(monkeypatch):
    start = threading.Thread.start

    def refuse(thread):
        if thread.name.startswith("bitesize-") and int(thread.name.split("-")[1]) > processor_share():
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", refuse)
    rows, most, _ = _work(Waiting(0.02), 100)
    assert len(np.unique(rows)) == 1600
    assert most <= processor_share() + 2


def settled(monkeypatch, processors, threads, behavior, seconds=60):
    """How many threads work, once it has been going for a while, where so many give (rows a second, processors used, share of waiting)."""
    now = [0.0]
    monkeypatch.setattr(thread_scaling.time, "monotonic", lambda: now[0])
    scaler = thread_scaling.ThreadScaler(processors, threads)
    worked = []
    while now[0] < seconds:
        now[0] += 0.01
        rows, used, waiting = behavior(scaler.working)
        scaler.report(rows * 0.01, used * 0.01, waiting * scaler.working * 0.01)
        worked.append(scaler.working)
    return float(np.median(worked[len(worked) // 2 :]))


def test_all_processors_work_where_each_makes_it_faster(monkeypatch):
    assert settled(monkeypatch, 16, 30, lambda working: (100 * min(working, 16), min(working, 16), 0)) >= 15


def test_threads_that_only_take_turns_from_each_other_stand_by(monkeypatch):
    def of_one_lock(working):
        return 100 * min(working, 7) - 5 * max(0, working - 7), min(working, 7), 0

    assert 5 <= settled(monkeypatch, 16, 30, of_one_lock) <= 9


def test_no_more_work_than_a_slow_consumer_needs(monkeypatch):
    def taken(working):
        return min(500, 100 * working), min(5, working), max(0, 1 - 5 / working)

    assert 4 <= settled(monkeypatch, 16, 30, taken) <= 7


def test_many_work_while_they_wait_for_a_disk(monkeypatch):
    assert settled(monkeypatch, 2, 16, lambda working: (100 * working, 0.1 * working, 0)) >= 14
