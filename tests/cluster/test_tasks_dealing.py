"""Pieces of work go to the worker that is free, and their results come in order."""

from __future__ import annotations

import os
import signal
import sys
import time

import pytest

import bitesize as bs
from bitesize.cluster import tasks
from bitesize.cluster.session import connected
from bitesize.cluster.tasks import deal
from bitesize.cluster.workers import Workers

ray = pytest.importorskip("ray", reason="the workers are processes of Ray")


@pytest.fixture(autouse=True)
def nothing_left_behind():
    """Connections of Ray to its workers stay open as long as the session."""


@pytest.fixture(scope="module")
def session():
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("RAY_ADDRESS", raising=False)
        ray.init("local", num_cpus=4, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
        with connected(Workers(4)) as session:
            yield session
        ray.shutdown()


def numbered(folder):
    """Return a function that returns its piece and its process; the first process to begin is as slow as all others together."""

    def work(piece):
        try:
            with open(folder / "slow", "x") as file:
                file.write(str(os.getpid()))
        except FileExistsError:
            return piece, os.getpid()
        deadline = time.monotonic() + 60
        while not (folder / "enough").exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        return piece, os.getpid()

    return work


def test_a_slow_worker_does_not_delay_the_others(session, tmp_path):
    asked = []

    def pieces():
        for piece in range(7):
            if piece == 6:
                (tmp_path / "enough").touch()
            asked.append(piece)
            yield piece

    results = list(deal(session, Workers(2), numbered, (tmp_path,), pieces(), queued=1))
    assert [piece for piece, _ in results] == list(range(7))
    processes = [process for _, process in results]
    slow = int((tmp_path / "slow").read_text())
    assert processes.count(slow) <= 2  # a piece, and perhaps the last


def test_few_pieces_are_begun_before_their_results_are_taken(session):
    asked = []

    def pieces():
        for piece in range(100):
            asked.append(piece)
            yield piece

    results = deal(session, Workers(2), lambda: abs, (), pieces())
    assert next(results) == 0
    assert len(asked) <= tasks.AHEAD * 2
    results.close()


def failing():
    def work(piece):
        if piece in (3, 4):
            time.sleep(0.3 if piece == 3 else 0)
            raise bs.BadFile(f"piece {piece}")
        return piece

    return work


def test_the_first_error_by_order_is_raised_after_the_results_before_it(session):
    seen = []
    with pytest.raises(bs.BadFile, match="piece 3"):
        seen.extend(deal(session, Workers(2), failing, (), range(9)))
    results = deal(session, Workers(2), failing, (), range(9))
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    results.close()


def refusing():
    raise bs.BadSetting("not here")


def test_an_error_of_the_preparation_is_raised_before_any_piece_is_taken(session):
    pieces = iter(range(3))
    with pytest.raises(bs.BadSetting, match="not here"):
        list(deal(session, Workers(2), refusing, (), pieces))
    assert list(pieces) == [0, 1, 2]


def dying(folder):
    def work(piece):
        if piece == 2 and len(list(folder.iterdir())) < 2:
            (folder / str(os.getpid())).touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return piece

    return work


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
@pytest.mark.parametrize("queued", [1, 2])
def test_pieces_of_killed_workers_are_done_by_others(session, tmp_path, queued):
    assert list(deal(session, Workers(2), dying, (tmp_path,), range(9), queued=queued)) == list(range(9))
    assert len(list(tmp_path.iterdir())) == 2


class Missing:
    def __reduce__(self):
        return open, ("/data/missing.h5",)


def test_data_that_a_worker_cannot_open_is_an_error_that_says_so(session):
    with pytest.raises(bs.WorkerFailed, match=r"cannot open the data: .*/data/missing\.h5.*all machines share"):
        list(deal(session, Workers(1), lambda missing: abs, (Missing(),), [0]))


def test_relative_paths_mean_the_same_in_workers(session, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert list(deal(session, Workers(1), lambda: os.path.abspath, (), ["data"])) == [str(tmp_path / "data")]
