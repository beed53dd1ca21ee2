"""Bytes that wait in memory until they are read: never more than the memory, never the wrong ones."""

from __future__ import annotations

import random
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

import bitesize as bs
from bitesize.storage.ahead import Part, ReadAhead, Ring, take

pytestmark = pytest.mark.property


@given(st.integers(1, 200), st.lists(st.tuples(st.integers(1, 120), st.integers(0, 3)), max_size=80))
def test_pieces_of_a_ring_never_overlap(size, steps):
    ring, used = Ring(size), []
    for nbytes, returned in steps:
        taken = ring.take(nbytes)
        if taken is not None:
            view, piece = taken
            assert view.nbytes == nbytes
            assert all(piece[1] <= start or stop <= piece[0] for start, stop, _ in used)
            assert 0 <= piece[0] <= piece[1] <= size
            used.append(piece)
        else:
            assert used or nbytes > size  # an empty ring has room for everything that fits it
        for _ in range(min(returned, len(used))):
            ring.give(used.pop(random.Random(nbytes).randrange(len(used))))
    for piece in used:
        ring.give(piece)
    assert ring.take(size) is not None


def contents(part: Part) -> bytes:
    return random.Random(repr(part)).randbytes(part.nbytes)


@pytest.mark.parametrize("limit", [1000, 5000, 50_000])
def test_many_threads_take_what_was_requested(limit):
    """Some answers come late, some fail; what is taken is right, and all memory returns."""

    def fetch(parts, bodies):
        def work():
            chance = random.Random(parts[0].offset)
            for part, body in zip(parts, bodies, strict=True):
                body.data[:] = contents(part)
                body.arrive(bs.RequestFailed("503") if chance.random() < 0.1 else None)

        threading.Thread(target=work).start()

    ahead = ReadAhead(limit, fetch)
    parts = [Part("s3://b/x", i, 1 + i * 37 % 900) for i in range(400)]
    wrong: list[Part] = []
    failed: list[Part] = []
    taken = 0
    for start in range(0, 400, 20):
        some = parts[start : start + 20]
        bodies = [body for part in some if (body := ahead.place(part)) is not None]
        ahead.request(bodies)

        def read(mine):
            nonlocal taken
            for part in mine:
                into = bytearray(part.nbytes)
                view = memoryview(into)
                try:
                    if take(part, [view[:1], view[1:]]):
                        taken += 1
                        if into != contents(part):
                            wrong.append(part)
                except bs.RequestFailed:
                    failed.append(part)

        threads = [threading.Thread(target=read, args=(some[i::3],)) for i in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        ahead.drop(bodies)
    assert wrong == []
    assert failed
    assert taken > 10
    assert ahead.ring.take(limit) is not None


def test_what_is_dropped_while_it_is_on_the_way_returns_its_memory_when_it_arrives():
    held = []
    ahead = ReadAhead(100, lambda parts, bodies: held.extend(bodies))
    body = ahead.place(Part("s3://b/y", 0, 60))
    ahead.request([body])
    assert ahead.place(Part("s3://b/y", 60, 60)) is None
    ahead.drop()
    assert ahead.place(Part("s3://b/y", 60, 60)) is None  # its bytes may still come
    held[0].arrive()
    assert ahead.place(Part("s3://b/y", 60, 60)) is not None
    ahead.drop()


def test_nothing_is_placed_after_the_end():
    """A thread that a server has kept waiting may come back when its loader is closed."""
    ahead = ReadAhead(100, lambda parts, bodies: None)
    part = Part("s3://b/z", 0, 10)
    ahead.request([ahead.place(part)])
    ahead.close()
    assert ahead.place(part) is None
    assert not take(part, [memoryview(bytearray(10))])


def test_a_wait_that_is_interrupted_returns_the_memory_when_the_bytes_arrive():
    ahead = ReadAhead(100, lambda parts, bodies: None)
    part = Part("s3://b/interrupted", 0, 60)
    body = ahead.place(part)
    body.waiting = InterruptedWait(body.waiting)
    with pytest.raises(KeyboardInterrupt):
        take(part, [memoryview(bytearray(60))])
    assert ahead.place(part) is None  # its bytes may still come
    body.arrive()
    assert ahead.place(part) is not None
    ahead.drop()


class InterruptedWait:
    """A lock whose wait Ctrl-C ends."""

    def __init__(self, lock):
        self.release = lock.release

    def acquire(self):
        raise KeyboardInterrupt
