"""Fixtures, and the guard that fails a test which leaves threads or descriptors behind."""

from __future__ import annotations

import atexit
import contextlib
import gc
import importlib.util
import io
import os
import shutil
import signal
import socket
import sys
import tempfile
import threading
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings
from PIL import Image

from bitesize.errors import MissingPackage
from bitesize.training.backend import choose_backend
from tests.properties import examples

pytest_plugins = ["tests.servers.fixtures"]

settings.register_profile("bitesize", examples(100))
settings.load_profile("bitesize")
# Threads of OpenMP (PyTorch, scikit-learn) that wait for each other sleep, and leave the core to another test. Their number stays, and so
# do all values. Before any test loads these libraries, also in processes of its own.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
# Before any test imports Keras, whose own default is TensorFlow, installed or not.
with contextlib.suppress(MissingPackage):
    os.environ.setdefault("KERAS_BACKEND", choose_backend())


def _keeps_what_jax_compiles() -> bool:
    # 0.5.3 takes wrong programs out of its folder.
    return importlib.util.find_spec("jax") is not None and tuple(map(int, version("jax").split(".")[:2])) >= (0, 7)


if _keeps_what_jax_compiles():
    # Hundreds of tests train the same few models, each in a process of its own: compiling them takes most of the time. A folder for
    # each of the processes that run tests, since JAX does not write atomically.
    _compiled = tempfile.mkdtemp(prefix="bitesize-tests-jax-")
    atexit.register(shutil.rmtree, _compiled, ignore_errors=True)
    os.environ["JAX_COMPILATION_CACHE_DIR"] = _compiled
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
    os.environ["JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES"] = "-1"


def pytest_sessionstart(session: pytest.Session) -> None:
    """Let the processes of xdist tell pytest-rerunfailures of each test at once."""
    # It sends two small messages in a row before each test: without this, the second one waits 40 ms for the first to be acknowledged.
    database = getattr(session.config, "failures_db", None)
    connection = getattr(database, "sock", None)
    if connection is not None and hasattr(session.config, "workerinput"):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def pytest_collection_finish() -> None:
    """Keep what is loaded out of later collections."""
    gc.collect()
    gc.freeze()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark property tests, of which CI tries more examples."""
    for item in items:
        if getattr(getattr(item, "obj", None), "is_hypothesis_test", False):
            item.add_marker("property")


def _threads() -> set[str]:
    names = {thread.name for thread in threading.enumerate() if thread.name.startswith("bitesize")}
    return names - {"bitesize-request"}  # of no loader: they wait for requests of the whole process


def _descriptors() -> dict[str, str]:
    """Return what the open descriptors of this process refer to."""
    found = {}
    for name in os.listdir("/proc/self/fd") if sys.platform == "linux" else ():
        with contextlib.suppress(OSError):  # that of listing itself
            found[name] = os.readlink(f"/proc/self/fd/{name}")
    return found


@pytest.fixture(scope="session", autouse=True)
def pipe_of_arrow():
    """Let Arrow open its pipe for signals, which it opens with the first CSV file and keeps."""
    if importlib.util.find_spec("pyarrow"):
        from pyarrow import csv

        # It opens the pipe only where a signal has a handler, and processes of xdist ignore Ctrl-C.
        handler = signal.signal(signal.SIGINT, signal.default_int_handler)
        csv.read_csv(io.BytesIO(b"a\n1\n"))
        signal.signal(signal.SIGINT, handler)


@pytest.fixture(autouse=True)
def nothing_left_behind():
    """After each test, no thread of a loader lives and no descriptor more is open than before."""
    before = _descriptors()
    yield
    for thread in threading.enumerate():
        if thread.name == "bitesize-compile":
            thread.join(60)
    # With the frameworks loaded, collecting takes longer than most tests: only where something is left.
    deadline = time.monotonic() + 5
    while (_threads() or len(_descriptors()) > len(before) + 1) and time.monotonic() < deadline:
        gc.collect()  # a loader that was dropped ends its threads when it is garbage
        time.sleep(0.01)
    assert not _threads(), "threads of a loader are still running"
    after = _descriptors()
    left = [target for name, target in after.items() if before.get(name) != target]
    assert len(after) <= len(before) + 1, f"file descriptors were left open: {left}"


@contextlib.contextmanager
def compiled_once(folder: Path):
    """Let JAX keep what it compiles in a folder, from process to process and model to model."""
    if not _keeps_what_jax_compiles():
        yield
        return
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JAX_COMPILATION_CACHE_DIR", str(folder))
        patch.setenv("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
        patch.setenv("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "-1")
        yield


@pytest.fixture(autouse=True, scope="session")
def lists_of_objects_apart(tmp_path_factory: pytest.TempPathFactory):
    """Lists of objects are kept in a folder of the tests."""
    folder = tmp_path_factory.mktemp("lists")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("bitesize.storage.listing.place.default_folder", lambda: folder)
        yield


def write_jpeg(path: Path, pixels: np.ndarray, **options: object) -> Path:
    """Write an array as a JPEG and return its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, "JPEG", quality=95, **options)
    return path


def noise(height: int, width: int, channels: int = 3, seed: int = 0) -> np.ndarray:
    """Make smooth random pixels: what is sharp would measure the codec, not us."""
    random = np.random.default_rng(seed)
    small = random.integers(0, 256, (max(2, height // 16), max(2, width // 16), channels), np.uint8)
    image = Image.fromarray(small.squeeze()).resize((width, height), Image.Resampling.BICUBIC)
    return np.asarray(image).reshape(height, width, channels).squeeze()


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty JPEGs of various sizes in two class folders, with a text file and a hidden one beside them."""
    root = tmp_path_factory.mktemp("photos")
    for i in range(40):
        write_jpeg(root / ("cat", "dog")[i % 2] / f"{i}.jpg", noise(60 + 7 * (i % 5), 80 + 11 * (i % 4), seed=i))
    (root / "cat" / "notes.txt").write_text("not data")
    (root / "dog" / ".DS_Store").write_bytes(b"\0")
    return root


@pytest.fixture(scope="session")
def arrays(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Thirty `.npy` files of (12, 10, 3) float64 in two class folders; every value tells its file's number."""
    root = tmp_path_factory.mktemp("arrays")
    for i in range(30):
        folder = root / ("even", "odd")[i % 2]
        folder.mkdir(exist_ok=True)
        np.save(folder / f"{i}.npy", np.full((12, 10, 3), i / 30))
    return root
