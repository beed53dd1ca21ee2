"""One pass over rows by threads: tasks, such as bites of rows, are dealt in order, and their results come back in that order."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from bitesize.memory.limits import check_threads, processor_share
from bitesize.memory.mapping import aligned, allocate
from bitesize.spec import Field, Spec

Task = TypeVar("Task")
Result = TypeVar("Result")
# Tasks per thread that may be dealt before the oldest result is taken.
_AHEAD = 4
_NO_TASK = object()


def bites(length: int, rows: int) -> Iterator[NDArray[np.int64]]:
    """Yield the row numbers from 0 to ``length``, up to ``rows`` at a time."""
    for start in range(0, length, rows):
        yield np.arange(start, min(start + rows, length), dtype=np.int64)


def chunk_bites(starts: NDArray[np.int64], rows: int) -> Iterator[NDArray[np.int64]]:
    """Yield row numbers in bites of whole chunks, up to ``rows`` rows at a time. A larger chunk is cut.

    Parameters
    ----------
    starts
        First row of each chunk, and the number of rows, shape (chunks + 1,).
    rows
        Largest number of rows of a bite.
    """
    start, length = 0, int(starts[-1])
    while start < length:
        boundary = int(starts[np.searchsorted(starts, start + rows, side="right") - 1])
        if boundary <= start:
            boundary = min(start + rows, int(starts[np.searchsorted(starts, start, side="right")]))
        yield np.arange(start, boundary, dtype=np.int64)
        start = boundary


def threads_that_fit(threads: int | None, nbytes: int, free: int) -> int:
    """Return the number of threads of a pass: the setting, or one per processor, but not more than fit the memory, at least one.

    Parameters
    ----------
    threads
        Number of threads, or None.
    nbytes
        Bytes that one thread needs.
    free
        Bytes for all threads. Results do not depend on the number of threads.

    Raises
    ------
    BadSetting
        If ``threads`` is not None or a whole number from 1 to 1024.
    """
    return max(1, min(check_threads(threads) or processor_share(), free // max(1, nbytes)))


class BiteMemory:
    """Memory of one thread for a bite of rows of fixed size.

    Parameters
    ----------
    fields
        Fields of a row.
    rows
        Largest number of rows.
    """

    def __init__(self, fields: Mapping[str, Field], rows: int) -> None:
        self._fields, self._memory = fields, allocate(bite_nbytes(fields, rows))

    def arrays(self, rows: int) -> dict[str, NDArray[Any]]:
        """Return an uninitialized array of shape (rows, *shape) for each field."""
        arrays, at = {}, 0
        for name, field in self._fields.items():
            nbytes = field.nbytes * rows
            arrays[name] = self._memory[at : at + nbytes].view(field.dtype).reshape(rows, *field.shape)
            at += aligned(nbytes)
        return arrays

    def close(self) -> None:
        """Free the memory."""
        self._memory = np.empty(0, np.uint8)


def bite_nbytes(fields: Mapping[str, Field], rows: int) -> int:
    """Return the bytes of `BiteMemory`."""
    return sum(aligned(field.nbytes * rows) for field in fields.values())


def fixed_fields(spec: Spec) -> dict[str, Field]:
    """Return the fields of fixed size."""
    return {name: field for name, field in spec.items() if isinstance(field, Field)}


def deal(tasks: Iterable[Task], workers: Sequence[Callable[[Task], Result]]) -> Generator[Result, None, None]:
    """Run each task in one of several threads, and yield the results in the order of the tasks.

    Tasks are taken by the threads, one at a time and in order, so a task may depend on tasks before it. The first error ends the
    pass and is raised. An error, Ctrl-C or `close` of the generator waits until running tasks have ended. Callers that may stop
    before the end must use `contextlib.closing`.

    Parameters
    ----------
    tasks
        Tasks in order. The next one is requested from any of the threads, under a lock.
    workers
        For each thread, the function that it calls with a task; it has memory of the thread.

    Yields
    ------
    Result
        Result of each task.
    """
    deal = _Deal(tasks)
    try:
        deal.start(workers)
        yield from deal.results()
    finally:
        deal.end()


class _Deal:
    """State that the threads of a pass share. Queues are native code, which Ctrl-C cannot interrupt halfway."""

    def __init__(self, tasks: Iterable[Any]) -> None:
        self._tasks, self._dealt, self._lock = iter(tasks), 0, threading.Lock()
        self._tickets: queue.SimpleQueue[bool] = queue.SimpleQueue()  # True: one more task may start; False: no more
        self._ready: queue.SimpleQueue[tuple[int, Any, BaseException | None] | None] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._stopped = False

    def start(self, workers: Sequence[Callable[[Any], Any]]) -> None:
        """Start a thread for each worker, or as many as the system allows, at least one."""
        for number, worker in enumerate(workers):
            thread = threading.Thread(target=self._work, args=(worker,), name=f"bitesize-scan-{number}", daemon=True)
            try:
                thread.start()
            except RuntimeError:
                if not self._threads:
                    raise
                return
            self._threads.append(thread)
            for _ in range(_AHEAD):
                self._tickets.put(True)

    def results(self) -> Iterator[Any]:
        """Yield the results in order, or raise the first error."""
        early: dict[int, tuple[Any, BaseException | None]] = {}
        due, running = 0, len(self._threads)
        while running:
            item = self._ready.get()
            if item is None:
                running -= 1
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
        for thread in self._threads:
            thread.join()

    def _work(self, worker: Callable[[Any], Any]) -> None:
        number = 0
        try:
            while self._tickets.get() and not self._stopped:
                with self._lock:
                    number, self._dealt = self._dealt, self._dealt + 1
                    task = next(self._tasks, _NO_TASK)
                if task is _NO_TASK:
                    break
                self._ready.put((number, worker(task), None))
        except BaseException as error:  # noqa: BLE001 - raised in the caller's thread
            self._ready.put((number, None, error))
        self._tickets.put(False)  # for the next thread
        self._ready.put(None)
