"""Ray opens connections whenever it needs them, and keeps them: what is left open cannot be told from them."""

from __future__ import annotations

import threading

import pytest


@pytest.fixture(autouse=True)
def nothing_left_behind():
    """After each test, no thread of a loader lives."""
    yield
    for thread in threading.enumerate():
        if thread.name == "bitesize-compile":
            thread.join(60)
    assert not [thread.name for thread in threading.enumerate() if thread.name.startswith("bitesize")]
