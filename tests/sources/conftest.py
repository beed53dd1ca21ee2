"""What tests of sources share."""

import importlib.util
import io

import pytest


@pytest.fixture(scope="session", autouse=True)
def zarrs_own_thread_runs():
    """Zarr starts a thread with descriptors of its own when it is first used, and keeps it."""
    if importlib.util.find_spec("zarr") is not None:
        import zarr

        zarr.zeros((1,), store=zarr.storage.MemoryStore())


@pytest.fixture(autouse=True, scope="session")
def arrow_has_its_pipe():
    """Arrow opens a pipe for signals with the first CSV that it reads, and keeps it."""
    try:
        from pyarrow import csv
    except ImportError:
        return
    csv.read_csv(io.BytesIO(b"a\n1\n"))
