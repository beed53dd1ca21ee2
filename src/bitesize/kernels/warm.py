"""Loading compiled code beside other work, so that nobody waits for what can be had meanwhile; loads no compiler itself."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable
from importlib import import_module

import numpy as np

# Loading compiled code takes less than this many seconds beside the interpreter's own work; compiling takes more.
_PATIENCE = 2.5
_lock = threading.Lock()
_begun: set[str] = set()
_done: set[str] = set()
# Names a piece of compiled code; and runs it once on nothing, which loads or compiles it.
Job = tuple[str, Callable[[], None]]


def warm(jobs: Iterable[Job]) -> None:
    """Begin to load compiled code in a thread of its own, each piece once a process.

    The thread is no daemon: a process that ends while the compiler runs would crash in it.
    """
    with _lock:
        fresh = [job for job in jobs if job[0] not in _begun]
        _begun.update(name for name, _ in fresh)
    if fresh:
        threading.Thread(target=_run, args=(fresh,), name="bitesize-compile").start()


def is_warm(name: str) -> bool:
    """Tell whether a piece of compiled code has been loaded."""
    return name in _done


def _run(jobs: list[Job]) -> None:
    said = threading.Timer(_PATIENCE, _say)
    said.daemon = True
    said.start()
    try:
        for name, job in jobs:
            job()
            _done.add(name)
    except Exception:
        # Whoever needs it compiles it then, and gets the error.
        logging.getLogger("bitesize").debug("compiled code could not be loaded ahead", exc_info=True)
    finally:
        said.cancel()


def _say() -> None:
    logging.getLogger("bitesize").warning("bitesize compiles its kernels for this kind of data: once, a few seconds")


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
