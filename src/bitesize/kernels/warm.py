"""Loading compiled code beside other work, so that nobody waits for what can be had meanwhile; loads no compiler itself."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable, Iterable, Iterator
from importlib import import_module

import numpy as np

from bitesize.kernels.jit import compiled_before, note_compiled

_log = logging.getLogger("bitesize")
_lock = threading.Lock()
_begun: set[str] = set()
_done: set[str] = set()
# Names a piece of compiled code; and runs it once on nothing, which loads or compiles it.
Job = tuple[str, Callable[[], None]]


class _Announcement:
    """Says once a process that kernels are about to be compiled, if none ever were on this machine."""

    def __init__(self) -> None:
        self.say: Callable[[], None] = lambda: _log.info("compiling kernels for this machine: once, a few seconds")
        self._due = True

    def make(self) -> None:
        """Say it, if it is due."""
        with _lock:
            due, self._due = self._due, False
        if due and not compiled_before():
            self.say()


_announcement = _Announcement()


def announce_compiling(say: Callable[[], None]) -> None:
    """Choose who is told that kernels are about to be compiled for the first time on this machine; by default the log."""
    _announcement.say = say


@contextlib.contextmanager
def compiling() -> Iterator[None]:
    """Within the block, code may be compiled; it is said if that is the first time on this machine."""
    _announcement.make()
    yield
    with contextlib.suppress(OSError):  # no folder can be written: then it is said, and done, each time
        note_compiled()


def warm(jobs: Iterable[Job]) -> None:
    """Begin to load compiled code in a thread of its own, each piece once a process.

    The thread is no daemon: a process that ends while the compiler runs would crash in it.
    """
    with _lock:
        fresh = [job for job in jobs if job[0] not in _begun]
        _begun.update(name for name, _ in fresh)
    if fresh:
        _announcement.make()  # here, not in the thread: before anything is printed of what is loaded
        threading.Thread(target=_run, args=(fresh,), name="bitesize-compile").start()


def is_warm(name: str) -> bool:
    """Tell whether a piece of compiled code has been loaded."""
    return name in _done


def _run(jobs: list[Job]) -> None:
    try:
        with compiling():
            for name, job in jobs:
                job()
                _done.add(name)
    except Exception:  # noqa: BLE001 - whoever needs it compiles it then, and gets the error
        _log.debug("compiled code could not be loaded ahead", exc_info=True)


def readers() -> Job:
    """Load what reads files without the GIL."""

    def job() -> None:
        """Call each with nothing to read."""
        libc = import_module("bitesize.kernels.libc")
        none, flags = np.empty(0, np.int64), np.empty(0, np.bool_)
        nothing = np.frombuffer(b"", np.uint8)
        libc.open_all(nothing, none, 0, np.empty(0, np.int32), none)
        libc.read_all(np.empty(0, np.int32), none, none, flags)
        libc.read_alike(nothing, none, 0, nothing, np.empty(0, np.uint8), np.empty((0, 0), np.uint8), flags)
        libc.copy_rows(none, np.empty((0, 0), np.uint8))
        libc.read_rows(-1, none, none, np.empty((0, 0), np.uint8))
        libc.LOADED = True  # type: ignore[attr-defined]

    return "readers", job
