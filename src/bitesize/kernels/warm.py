"""Loading of compiled code in the background. This module does not load the compiler itself."""

from __future__ import annotations

import contextlib
import logging
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from importlib import import_module

import numpy as np

from bitesize.kernels.jit import compiled_before, note_compiled

_log = logging.getLogger("bitesize")
_lock = threading.Lock()
_begun: set[str] = set()
_done: set[str] = set()
# Name of a piece of compiled code, and a function that runs it once without data, which loads or compiles it.
Job = tuple[str, Callable[[], None]]


class _Announcement:
    """Announces once per process that kernels will be compiled, if this is the first time on this machine."""

    def __init__(self) -> None:
        self.say: Callable[[], None] = lambda: _log.info("compiling kernels for this machine: once, a few seconds")
        self._due = True

    def make(self) -> None:
        """Make the announcement, if it is due."""
        with _lock:
            due, self._due = self._due, False
        if due and not compiled_before():
            self.say()


_announcement = _Announcement()


def announce_compiling(say: Callable[[], None]) -> None:
    """Set the function that announces the first compilation of kernels on this machine; by default the log."""
    _announcement.say = say


@contextlib.contextmanager
def compiling() -> Iterator[None]:
    """Announce the first compilation on this machine, for a block that may compile code."""
    _announcement.make()
    yield
    with contextlib.suppress(OSError):  # if no folder can be written, the code is compiled, and announced, each time
        note_compiled()


def warm(jobs: Iterable[Job]) -> None:
    """Start to load compiled code in a separate thread, each piece once per process.

    The thread is not a daemon, because a process that ends while the compiler runs would crash.
    """
    with _lock:
        fresh = [job for job in jobs if job[0] not in _begun]
        _begun.update(name for name, _ in fresh)
    if fresh:
        _announcement.make()  # here, not in the thread, so that it precedes all other output
        threading.Thread(target=_run, args=(fresh,), name="bitesize-compile").start()


def is_warm(name: str) -> bool:
    """Return whether a piece of compiled code has been loaded."""
    return name in _done


def _run(jobs: list[Job]) -> None:
    try:
        with compiling():
            for name, job in jobs:
                job()
                _done.add(name)
    except Exception:  # noqa: BLE001 - the first use compiles it again, and raises the error
        _log.debug("compiled code could not be loaded ahead", exc_info=True)


def readers() -> Job:
    """Return the job that loads the functions that read files without the GIL."""

    def job() -> None:
        """Call each function with nothing to read."""
        libc = import_module("bitesize.kernels.libc")
        none, flags = np.empty(0, np.int64), np.empty(0, np.bool_)
        nothing = np.frombuffer(b"", np.uint8)
        libc.open_all(nothing, none, 0, np.empty(0, np.int32), none)
        libc.read_all(np.empty(0, np.int32), none, none, flags)
        libc.read_alike(nothing, none, 0, nothing, np.empty(0, np.uint8), np.empty((0, 0), np.uint8), flags)
        libc.copy_rows(none, np.empty((0, 0), np.uint8))
        libc.read_rows(-1, none, none, np.empty((0, 0), np.uint8))
        libc.read_pieces(nothing, none, 0, none, none, none, none, flags)
        libc.LOADED = True  # type: ignore[attr-defined]
        if sys.platform == "linux":
            statx = import_module("bitesize.kernels.statx")
            statx.states(nothing, none, none, none)
            statx.LOADED = True  # type: ignore[attr-defined]

    return "readers", job
