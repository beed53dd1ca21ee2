"""What tests of sources share."""

import importlib.util

import pytest


@pytest.fixture(scope="session", autouse=True)
def zarrs_own_thread_runs():
    """Zarr starts a thread with descriptors of its own when it is first used, and keeps it."""
    if importlib.util.find_spec("zarr") is not None:
        import zarr

        zarr.zeros((1,), store=zarr.storage.MemoryStore())
