"""One pass by threads: tasks, such as bites of rows, are dealt in order, and their results come back in that order."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Generator, Iterable, Iterator, Sequence
from typing import Any, NamedTuple, Protocol, TypeVar

from bitesize.memory.limits import MOST_STANDBY, check_threads, processor_share
from bitesize.pipeline.thread_scaling import ThreadScaler

Task = TypeVar("Task", contravariant=True)
Result = TypeVar("Result", covariant=True)
# Tasks per thread that may be dealt before the oldest result is taken.
_AHEAD = 4
_NO_TASK = object()
# Threads in reserve take at most 1 / _RESERVE_SHARE of the memory.
_RESERVE_SHARE = 32


class Threads(NamedTuple):
    """Number of threads of a pass: those that work at once, and those that start too while others wait for the disk."""

    working: int
    total: int


def threads_that_fit(threads: int | None, nbytes: int, free: int) -> Threads:
    """Return the number of threads of a pass, but not more than fit the memory, at least one.

    Parameters
    ----------
    threads
        Number of threads, or None: one per processor, and up to 14 in reserve.
    nbytes
        Bytes that one thread needs.
    free
        Bytes for all threads. Results do not depend on the number of threads.

    Raises
    ------
    BadSetting
        If ``threads`` is not None or a whole number from 1 to 1024.
    """
    nbytes = max(1, nbytes)
    working = max(1, min(check_threads(threads) or processor_share(), free // nbytes))
    return Threads(working, working if threads else working + min(MOST_STANDBY, free // _RESERVE_SHARE // nbytes))


class Worker(Protocol[Task, Result]):
    """Work of one thread, with its own memory."""

    def work(self, task: Task) -> Result:
        """Do one task."""
        ...

    def rest(self) -> None:
        """Return memory of a `Pool`, before a wait that may be long."""
        ...


def deal(
    tasks: Iterable[Task], workers: Sequence[Worker[Task, Result]], working: int | None = None
) -> Generator[Result, None, None]:  # fmt: skip
    """Run each task in one of several threads, and yield the results in the order of the tasks.

    Tasks are taken by the threads, one at a time and in order, so a task may depend on tasks before it. The first error ends the
    pass and is raised. An error, Ctrl-C or `close` of the generator waits until running tasks have ended. Callers that may stop
    before the end must use `contextlib.closing`.

    Parameters
    ----------
    tasks
        Tasks in order. The next one is requested from any of the threads, under a lock.
    workers
        One worker for each thread.
    working
        Number of threads that work at once. Others work while threads wait for the disk. Default: all.

    Yields
    ------
    Result
        Result of each task.
    """
    scan = _Pass(tasks, workers, len(workers) if working is None else working)
    try:
        yield from scan.results()
    finally:
        scan.end()


class _Pass:
    """State that the threads of a pass share. Queues are native code, which Ctrl-C cannot interrupt halfway."""

    def __init__(self, tasks: Iterable[Any], workers: Sequence[Worker[Any, Any]], working: int) -> None:
        self._tasks, self._dealt, self._lock = iter(tasks), 0, threading.Lock()
        self._tickets: queue.SimpleQueue[bool] = queue.SimpleQueue()  # True: one more task may start; False: no more
        self._ready: queue.SimpleQueue[tuple[int, Any, BaseException | None] | None] = queue.SimpleQueue()
        self._scaler = ThreadScaler(working, len(workers))
        self._workers = workers
        self._threads: list[threading.Thread] = []
        self._stopped = False

    def results(self) -> Iterator[Any]:
        """Start the threads, and yield the results in order, or raise the first error."""
        self._start()
        early: dict[int, tuple[Any, BaseException | None]] = {}
        due = ended = 0
        while ended < len(self._threads):
            item = self._ready.get()
            if item is None:
                ended += 1
                continue
            early[item[0]] = item[1:]
            while due in early:
                result, error = early.pop(due)
                due += 1
                if error is not None:
                    raise error
                yield result
                self._tickets.put(True)

    def end(self) -> None:
        """Deal no more tasks, and wait until the threads have ended."""
        self._stopped = True
        self._tickets.put(False)
        self._scaler.close()
        with self._lock:  # no thread is started after this
            threads = list(self._threads)
        for thread in threads:
            thread.join()

    def _start(self) -> None:
        """Start the threads that should work and have not started, or as many as the system allows, at least one."""
        with self._lock:
            while not self._stopped and self._too_few:
                number = len(self._threads)
                thread = threading.Thread(target=self._work, args=(number,), name=f"bitesize-scan-{number}", daemon=True)
                try:
                    thread.start()
                except RuntimeError:
                    if not number:
                        raise
                    self._workers = self._workers[:number]
                    return
                self._threads.append(thread)
                for _ in range(_AHEAD):
                    self._tickets.put(True)

    @property
    def _too_few(self) -> bool:
        """Return whether threads should work that have not started."""
        return len(self._threads) < min(self._scaler.working, len(self._workers))

    def _work(self, number: int) -> None:
        worker, task_number = self._workers[number], 0
        try:
            while True:
                begun = time.perf_counter()
                if not self._ticket(number, worker) or self._stopped:
                    break
                idle, used = time.perf_counter() - begun, time.thread_time()
                with self._lock:
                    task_number, self._dealt = self._dealt, self._dealt + 1
                    task = next(self._tasks, _NO_TASK)
                if task is _NO_TASK:
                    break
                self._ready.put((task_number, worker.work(task), None))
                self._scaler.report(1, time.thread_time() - used, idle)
                if self._too_few:
                    self._start()
        except BaseException as error:  # noqa: BLE001 - raised in the caller's thread
            self._ready.put((task_number, None, error))
        worker.rest()
        self._tickets.put(False)  # for the next thread
        self._scaler.close()  # threads in reserve wait for it
        self._ready.put(None)

    def _ticket(self, number: int, worker: Worker[Any, Any]) -> bool:
        """Wait until a thread may start a task; return False if there are no more."""
        if number >= self._scaler.working:
            worker.rest()
            self._scaler.wait(number)
        if self._tickets.empty():
            worker.rest()
        return self._tickets.get()
