"""Programs that are attacked: `python -m tests.programs.attacked_loader NAME FOLDER`. Each prints `done` at its end."""

from __future__ import annotations

import ctypes
import faulthandler
import os
import random
import signal
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import NoReturn

import numpy as np

import bitesize as bs
from bitesize.engine.iterator import BatchIterator
from tests.conftest import noise, write_jpeg

CTRL_C = 200
FORKS = 40


def _loader(folder: str, **options) -> bs.Loader:
    """Give a loader of photographs, of an array on disk, or of an HDF5 file, whatever the folder holds."""
    first = sorted(os.listdir(folder))[0]
    source = bs.open(folder if first.endswith(".jpg") else str(Path(folder) / first))
    steps = [bs.Resize(32)] if first.endswith(".jpg") else []
    return bs.Loader(source, **{"batch_size": 16, "transforms": steps, "memory": "32 MiB", "seed": 3, **options})


def _ours() -> list[str]:
    return [
        thread.name
        for thread in threading.enumerate()
        if thread.name.startswith("bitesize") and "compile" not in thread.name
    ]


def _ctrl_c(seconds: float) -> None:
    """Have it come then; and again, because Python loses it where a weak set of its own forgets a thread."""
    signal.setitimer(signal.ITIMER_REAL, seconds, 1.0 if seconds else 0.0)


def _rows(loader: bs.Loader) -> list[list[int]]:
    loader.set_epoch(0)
    return [batch.rows.tolist() for batch in loader]


def interrupted_loop(folder: str) -> None:
    """Ctrl-C at random moments of a loop; the same loader goes on, with the right rows."""
    chance = random.Random(0)
    with _loader(folder) as loader:
        expected = _rows(loader)
        for _ in range(CTRL_C):
            batch = None
            _ctrl_c(chance.uniform(0.0001, 0.02))
            try:
                while True:
                    for batch in loader:
                        pass
            except KeyboardInterrupt:
                _ctrl_c(0)
                del batch
            assert _rows(loader) == expected


def interrupted_block(folder: str) -> None:
    """Ctrl-C at random moments from making a loader to closing it; nothing stays."""
    chance = random.Random(1)
    with _loader(folder) as loader:  # imports that Ctrl-C breaks off are Python's affair
        _rows(loader)
    batch = None
    for _ in range(CTRL_C):
        try:
            _ctrl_c(chance.uniform(0.0001, 0.02))
            while True:
                with _loader(folder) as loader:
                    for batch in loader:
                        pass
        except KeyboardInterrupt:
            _ctrl_c(0)
            batch = loader = None
        assert batch is None
        deadline = time.monotonic() + 2
        while _ours() and time.monotonic() < deadline:
            time.sleep(0.001)
        assert not _ours(), _ours()
    with _loader(folder) as loader:
        assert sum(map(len, _rows(loader))) == len(loader.source)


def few_descriptors(folder: str) -> None:
    """All rows come, with 64 file descriptors in all."""
    import resource

    resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
    with _loader(folder, threads=24) as loader:
        for _ in range(2):
            assert sum(map(len, _rows(loader))) == len(loader.source)


def no_descriptors(folder: str) -> None:
    """With none left it is an error that says so, and the loader goes on when there are some again."""
    import resource

    with _loader(folder, threads=2) as loader:
        _rows(loader)
        taken = []
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
        for _ in range(10):  # what other threads had open in the meantime, too
            try:
                while True:
                    taken.append(os.open(os.devnull, os.O_RDONLY))
            except OSError:
                time.sleep(0.05)
        try:
            _rows(loader)
        except bs.BitesizeError as error:
            assert "Too many open files" in str(error), error
        else:
            raise AssertionError("there were descriptors left")
        for descriptor in taken:
            os.close(descriptor)
        assert sum(map(len, _rows(loader))) == len(loader.source)


def dying_thread(folder: str) -> None:
    """A thread that dies is told, and nothing hangs."""
    loader = _loader(folder, threads=2)
    _rows(loader)
    kill = ctypes.pythonapi.PyThreadState_SetAsyncExc
    try:
        for _ in range(50):  # more than once: an error that comes within a callback or a destructor is lost
            for thread in threading.enumerate():
                if thread.name.startswith("bitesize-") and thread.name != "bitesize-compile":
                    kill(ctypes.c_ulong(thread.ident or 0), ctypes.py_object(SystemExit))
            _rows(loader)
    except (bs.LoaderClosed, SystemExit) as error:  # within a row's work, the error is the batch's
        assert isinstance(error, SystemExit) or "has died" in str(error), error
    else:
        raise AssertionError("nobody told")
    loader.close()


def ends_while_running(folder: str) -> None:
    """The program ends with threads at work, batches held and the loader never closed."""
    global kept, loop
    kept = _loader(folder)
    loop = iter(kept)
    next(loop)


def exits_while_running(folder: str) -> None:
    """The same, in the middle, by `sys.exit`."""
    global kept, batch
    kept = _loader(folder)
    for batch in kept:
        print("done", flush=True)
        sys.exit(0)


def forked_while_running(folder: str) -> None:
    """A child that is forked in the middle gets a clear error at once, with the loader and with its end; the parent goes on."""
    import warnings

    warnings.simplefilter("ignore")
    with _loader(folder) as loader:
        expected = _rows(loader)
        loader.set_epoch(0)
        chance = random.Random(0)
        for number in range(FORKS):
            loader.set_epoch(0)
            batches = iter(loader)
            for _ in range(chance.randrange(1, len(loader))):
                next(batches)
            child = os.fork()
            if not child:
                faulthandler.dump_traceback_later(60, exit=True)  # shows where it hangs
                if number % 2:
                    sys.exit(0)
                _be_forked(loader, batches)
            assert os.waitpid(child, 0)[1] == 0
        loader.set_epoch(0)
        assert _rows(loader) == expected


def _be_forked(loader: bs.Loader, batches: BatchIterator) -> NoReturn:
    """Do in a child what may be done with a loader; any thread of the parent may have held any lock when the fork came."""
    try:
        for what in (lambda: next(batches), lambda: next(iter(loader))):
            try:
                what()
                raise AssertionError("it gave a batch")
            except bs.LoaderClosed as error:
                assert "fork" in str(error)
        loader.budget.charge(1000, "something of its own").release()
        batches.close()
        loader.close()
        code = 0
    except BaseException:  # it must not go on as if it were the parent
        traceback.print_exc()
        code = 5
    os._exit(code)


def write(kind: str, folder: Path) -> None:
    """Write what is read."""
    folder.mkdir()
    if kind == "photographs":
        for i in range(60):
            write_jpeg(folder / f"{i:02}.jpg", noise(60, 80, seed=i))
    elif kind == "array":
        np.save(folder / "a.npy", np.arange(4000.0)[:, None] * np.ones(8))
    else:
        import h5py

        with h5py.File(folder / "a.h5", "w") as file:
            file.create_dataset("x", data=np.arange(3000.0)[:, None] * np.ones(8), chunks=(100, 8), compression="gzip")


if __name__ == "__main__":
    if hasattr(signal, "SIGALRM"):
        signal.signal(signal.SIGALRM, signal.default_int_handler)
    globals()[sys.argv[1]](sys.argv[2])
    print("done", flush=True)
