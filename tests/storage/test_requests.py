"""Threads that wait for servers: whatever they meet, nobody waits for them forever."""

from __future__ import annotations

import threading
import time

import pytest

from bitesize.errors import RequestFailed
from bitesize.storage import remote, requests
from bitesize.storage.ahead import Part, ReadAhead, take
from bitesize.storage.remote_file import RemoteFile
from bitesize.storage.requests import Piece, Pool, read_ahead, read_all
from tests.storage.memory import memory_storage

WAIT = 20.0


def part_of(key, nbytes):
    address = f"memory://bucket/{key}"
    return Part(address, 0, nbytes, remote.entry(address).version)


def taken(part):
    """Return what is taken of a part, or None; in another thread, which may wait forever."""
    found = []

    def work():
        into = bytearray(part.nbytes)
        try:
            found.append(bytes(into) if take(part, [memoryview(into)]) else None)
        except Exception as error:  # of the request
            found.append(error)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(WAIT)
    assert found, "the thread still waits"
    return found[0]


class Panic(BaseException):
    """As errors of compiled code are."""


@pytest.mark.parametrize(
    ("method", "error"),
    [("entry", OSError("no route")), ("entry", KeyError("x")), ("read", KeyError("x")), ("read", Panic("bug"))],
)
def test_bodies_whose_storage_fails_are_given_up(method, error):
    storage = memory_storage({"a": b"abc", "b": b"de"})
    parts = [part_of("a", 3), part_of("b", 2)]
    if method == "entry":
        for part in parts:
            remote.forget(part.address)

    def fail(*_):
        raise error

    setattr(storage, method, fail)
    ahead = ReadAhead(100, read_ahead)
    ahead.request([ahead.place(part) for part in parts])
    found = [taken(part) for part in parts]
    # What is not known of an object is asked for again by the thread that needs it.
    assert all(each is None if method == "entry" else isinstance(each, Exception) for each in found), found
    assert ahead.ring.count == 0


def test_what_raises_in_a_thread_of_the_pool_is_an_error_of_its_piece():
    storage = memory_storage({"a": b"abc", "b": b"de"})
    files = [RemoteFile(f"memory://bucket/{key}") for key in "ab"]
    read = storage.read

    def fail(key, *rest):
        if key == "b":
            raise Panic("bug")
        read(key, *rest)

    storage.read = fail
    into = [memoryview(bytearray(3)), memoryview(bytearray(2))]
    failed = read_all([Piece(files[0], 0, into[0]), Piece(files[1], 0, into[1])])
    assert bytes(into[0]) == b"abc"
    assert list(failed) == [1]
    assert isinstance(failed[1], RequestFailed)
    assert "memory://bucket/b" in str(failed[1])


def test_bytes_of_another_version_than_the_one_that_was_placed_are_not_taken():
    storage = memory_storage({"a": b"old"})
    old = part_of("a", 3)
    ahead = ReadAhead(100, read_ahead)
    body = ahead.place(old)
    storage.objects["a"] = b"new"
    remote.forget(old.address)  # as a new list does
    ahead.request([body])
    assert taken(old) is None


def test_a_thread_that_has_work_is_not_taken_for_an_idle_one():
    """Many jobs that wait for each other are called at the same time, however they are submitted."""
    for _ in range(30):
        pool, barrier = Pool(lambda: 64), threading.Barrier(9)
        for _ in range(8):
            pool.submit(lambda barrier=barrier: barrier.wait(WAIT))
        barrier.wait(WAIT)
        barrier.reset()
        for _ in range(8):
            pool.submit(lambda barrier=barrier: barrier.wait(WAIT))
        barrier.wait(WAIT)


def test_threads_that_end_and_start_again_do_each_piece_of_work_once(monkeypatch):
    monkeypatch.setattr(requests, "_IDLE", 0.001)
    pool, done, lock = Pool(lambda: 8), [], threading.Lock()

    def work(i):
        with lock:
            done.append(i)

    def submit(first):
        for i in range(first, first + 200):
            pool.submit(lambda i=i: work(i))
            if i % 7 == 0:
                time.sleep(0.001)

    threads = [threading.Thread(target=submit, args=(1000 * k,)) for k in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WAIT)
    deadline = time.monotonic() + WAIT
    while len(done) < 1600 and time.monotonic() < deadline:
        time.sleep(0.001)
    assert len(set(done)) == len(done) == 1600


def test_work_is_done_here_if_the_system_allows_no_thread(monkeypatch):
    def refuse(_):
        raise RuntimeError("can't start new thread")

    pool, done = Pool(lambda: 8), []
    monkeypatch.setattr(threading.Thread, "start", refuse)
    for i in range(5):
        pool.submit(lambda i=i: done.append(i))
    assert done == [0, 1, 2, 3, 4]


def test_a_thread_survives_work_that_raises():
    pool, done = Pool(lambda: 1), threading.Event()

    def fail():
        raise Panic("bug")

    pool.submit(fail)
    pool.submit(done.set)
    assert done.wait(WAIT)
