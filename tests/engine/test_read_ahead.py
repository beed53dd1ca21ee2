"""Requesting rows before they are needed: never a hang, and never more than a help."""

from __future__ import annotations

import numpy as np
import pytest
from tests.storage.memory import memory_storage

from bitesize.engine.batching import Batching
from bitesize.engine.read_ahead import RemoteNeed, RowsAhead
from bitesize.order.order import Order, Shard
from bitesize.sources.base import Source
from bitesize.spec import Field
from bitesize.storage import ahead
from bitesize.storage.limiter import LIMITER
from bitesize.storage.remote import forget
from bitesize.storage.remote_file import read_bytes

ROWS = 40


class Objects(Source):
    """Objects of 8 bytes as rows, whose ``paths`` fails for one."""

    def __init__(self, failing=-1):
        self.spec = {"x": Field((8,), np.dtype(np.uint8))}
        self.failing = failing

    def __len__(self):
        return ROWS

    def paths(self, row):
        if row == self.failing:
            raise KeyError("no name")
        return (b"memory://bucket/%d" % row,)

    def read(self, rows, into):
        for i, row in enumerate(rows.tolist()):
            into["x"][i] = np.frombuffer(read_bytes(f"memory://bucket/{row}"), np.uint8)

    def _identity(self):
        return b"objects"


@pytest.fixture
def storage():
    for row in range(ROWS):
        forget(f"memory://bucket/{row}")
    return memory_storage({str(row): bytes([row] * 8) for row in range(ROWS)})


def ahead_of(source, need):
    return RowsAhead(source, Batching(Order(len(source), seed=0, shuffle=False), 10, "short", Shard()), need)


def waiting():
    """Return the numbers of the rows that are on the way or wait."""
    return sorted(int(part.address.rpartition("/")[2]) for part in ahead._bodies)


def test_a_row_that_cannot_be_looked_up_stops_nothing(storage):
    rows = ahead_of(Objects(failing=20), RemoteNeed(8, 8, 64))
    rows.start((0, 0))
    rows.advance((0, 0), 0)
    assert {0, 9, 30, 39} <= set(waiting())
    rows.close()
    assert waiting() == []


def test_a_part_larger_than_the_memory_is_passed_over(storage):
    storage.objects["5"] = bytes(1000)
    rows = ahead_of(Objects(), RemoteNeed(8, 8, 32))
    rows.start((0, 0))
    rows.advance((0, 0), 0)
    assert {4, 6, 30} <= set(waiting())
    assert 5 not in waiting()
    rows.close()


def test_what_is_closed_requests_nothing_any_more(storage):
    rows = ahead_of(Objects(), RemoteNeed(8, 8, 4))
    rows.start((0, 0))
    rows.close()
    rows.start((0, 0))  # by a thread that a server has kept waiting
    rows.advance((0, 0), 0)
    assert waiting() == []
    assert rows not in LIMITER._allowed
