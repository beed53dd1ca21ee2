"""Listing a prefix by several threads: folders next to each other, in pages, through one queue."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from itertools import islice

from bitesize.storage.base import Entry, Storage

THREADS = 16
FEW = 10  # pages; a prefix that has no more is listed by one thread, with the fewest requests
_QUEUED = 64  # pages that wait, at most
_LOOK = 0.1  # seconds between two looks at whether to stop

# A part of the work: yields pages, and may add other parts.
_Task = Callable[[], Iterator[Sequence[Entry]]]


def pages(storage: Storage, prefix: str, threads: int = THREADS) -> Iterator[Sequence[Entry]]:
    """Yield all objects below a prefix, in pages, in any order.

    The first pages are listed by one thread. If more follow, and there are subfolders, these are listed in parallel. An error of any thread
    ends all of them and is raised here; so does closing this generator.
    """
    listing = iter(storage.list(prefix))
    first = list(islice(listing, FEW + 1))
    flat = not any("/" in entry.key[len(prefix) :] for page in first for entry in page)
    if len(first) <= FEW or flat or threads < 2:
        yield from first
        yield from listing
        return
    del first, listing  # listed again below, where each object comes once
    yield from _Walk(storage, threads).pages(prefix)


class _Walk:
    """Threads that work on tasks until there are none."""

    def __init__(self, storage: Storage, threads: int) -> None:
        self._storage, self._count = storage, threads
        self._tasks: queue.SimpleQueue[_Task | None] = queue.SimpleQueue()
        self._results: queue.Queue[Sequence[Entry] | BaseException | None] = queue.Queue(_QUEUED)
        self._stop, self._lock, self._open = threading.Event(), threading.Lock(), 0

    def pages(self, prefix: str) -> Iterator[Sequence[Entry]]:
        self._add(lambda: self._level(prefix, descend=True))
        workers = [threading.Thread(target=self._work, name="bitesize-list", daemon=True) for _ in range(self._count)]
        for worker in workers:
            worker.start()
        finished = False
        try:
            while True:
                try:
                    result = self._results.get(timeout=_LOOK)  # so that Ctrl-C is seen on every system
                except queue.Empty:
                    continue
                if result is None:
                    finished = True
                    return
                if isinstance(result, BaseException):
                    raise result
                yield result
        finally:
            self._stop.set()
            for _ in workers:
                self._tasks.put(None)
            if finished:
                for worker in workers:
                    worker.join()
            else:
                workers[0].join(_LOOK)  # others end when their requests do; they are daemons

    def _level(self, prefix: str, *, descend: bool) -> Iterator[Sequence[Entry]]:
        """List what lies directly below a prefix, and add tasks for its folders."""
        found = self._storage.level(prefix)
        few = descend and len(found.folders) < self._count
        for folder in found.folders:
            if few:
                self._add(lambda folder=folder: self._level(folder, descend=False))  # type: ignore[misc]
            else:
                self._add(lambda folder=folder: iter(self._storage.list(folder)))  # type: ignore[misc]
        yield found.entries

    def _add(self, task: _Task) -> None:
        with self._lock:
            self._open += 1
        self._tasks.put(task)

    def _work(self) -> None:
        try:
            while (task := self._tasks.get()) is not None and not self._stop.is_set():
                for page in task():
                    if not self._put(page):
                        return
                with self._lock:
                    self._open -= 1
                    done = not self._open
                if done:
                    self._put(None)
        except BaseException as error:  # noqa: BLE001 - raised by the caller's thread
            self._put(error)

    def _put(self, result: Sequence[Entry] | BaseException | None) -> bool:
        while not self._stop.is_set():
            try:
                self._results.put(result, timeout=_LOOK)
            except queue.Full:
                continue
            return True
        return False
