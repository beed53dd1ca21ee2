"""The pass: results in order, errors at their place, and no thread left behind."""

import threading
import time
from contextlib import closing

import pytest

from bitesize.scan.threads import deal, threads_that_fit


class Squares:
    """Squares numbers; later tasks are faster, so they overtake."""

    def __init__(self, seconds=0.0):
        self.seconds, self.rests = seconds, 0

    def work(self, task):
        if isinstance(task, Exception):
            raise task
        time.sleep(self.seconds if task % 7 else self.seconds * 5)
        return task * task

    def rest(self):
        self.rests += 1


def threads_of_passes():
    return [thread for thread in threading.enumerate() if thread.name.startswith("bitesize-scan")]


@pytest.mark.parametrize(("count", "working"), [(1, 1), (4, 4), (6, 2)])
def test_results_come_in_the_order_of_tasks(count, working):
    workers = [Squares(0.001) for _ in range(count)]
    assert list(deal(range(200), workers, working)) == [i * i for i in range(200)]
    assert not threads_of_passes()


def test_threads_in_reserve_start_where_threads_wait():
    workers = [Squares(0.004) for _ in range(6)]
    used = set()

    class Named(Squares):
        def work(self, task):
            used.add(threading.current_thread().name)
            return super().work(task)

    list(deal(range(400), [Named(worker.seconds) for worker in workers], 1))
    assert len(used) > 1


def test_fewer_threads_work_where_the_system_allows_no_more(monkeypatch):
    start, tries = threading.Thread.start, []

    def limited(thread):
        if thread.name.startswith("bitesize-scan"):
            tries.append(thread.name)
            if len(tries) > 2:
                raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", limited)
    assert list(deal(range(100), [Squares() for _ in range(5)])) == [i * i for i in range(100)]
    assert len(tries) == 3
    with pytest.raises(RuntimeError, match="new thread"):
        list(deal(range(100), [Squares()]))


def test_no_task_gives_no_result():
    assert list(deal([], [Squares()])) == []


def test_the_first_error_is_raised_after_the_results_before_it():
    tasks = [1, 2, ValueError("third"), 4, KeyError("fifth")]
    results = []
    with pytest.raises(ValueError, match="third"), closing(deal(tasks, [Squares(), Squares()])) as passed:
        results.extend(passed)
    assert results == [1, 4]
    assert not threads_of_passes()


def test_an_error_of_the_tasks_themselves_is_raised_after_the_results_before_it():
    def tasks():
        yield from range(20)
        raise OSError("no more")

    results = []
    with pytest.raises(OSError, match="no more"), closing(deal(tasks(), [Squares() for _ in range(3)])) as passed:
        results.extend(passed)
    assert results == [i * i for i in range(20)]


def test_a_caller_that_stops_ends_the_threads():
    workers = [Squares(0.001) for _ in range(3)]
    with closing(deal(iter(range(10**9)), workers)) as passed:
        assert [next(passed) for _ in range(5)] == [0, 1, 4, 9, 16]
    assert not threads_of_passes()
    assert all(worker.rests for worker in workers)  # no memory is kept


def test_a_slow_caller_is_not_overrun():
    dealt = []

    def tasks():
        for i in range(1000):
            dealt.append(i)
            yield i

    with closing(deal(tasks(), [Squares(), Squares()])) as passed:
        next(passed)
        time.sleep(0.1)
        assert len(dealt) < 20


def test_an_interrupt_of_the_caller_ends_the_threads():
    with pytest.raises(KeyboardInterrupt), closing(deal(iter(range(10**9)), [Squares(0.001)] * 2)) as passed:
        for _ in passed:
            raise KeyboardInterrupt
    assert not threads_of_passes()


def test_threads_fit_the_memory():
    assert threads_that_fit(4, 100, 250) == (2, 2)
    assert threads_that_fit(4, 100, 50) == (1, 1)
    working, total = threads_that_fit(None, 1000, 1 << 30)
    assert total == working + 14
