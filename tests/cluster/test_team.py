"""A team does pieces of work, and says what went wrong in which process."""

from __future__ import annotations

import math
import os
import pickle

import numpy as np
import pytest

import bitesize as bs
from bitesize.cluster.session import Session
from bitesize.cluster.team import Job, Team, portable
from bitesize.cluster.workers import Workers
from bitesize.errors import BadFile, BitesizeError, NotFound, WorkerFailed
from bitesize.memory.budget import Budget
from tests.cluster.teams import WITHOUT_RAY, team_of

pytest.importorskip("ray", reason=WITHOUT_RAY)


@pytest.fixture(scope="module")
def team():
    with team_of(2) as team:
        yield team


def prepared(function):
    """Return a function for a worker, which is sent as it is: workers cannot import this module."""
    return Job(eval, (f"lambda piece: {function}", {"math": math, "os": os}), [])


def test_results_come_in_the_order_of_the_pieces(team):
    assert list(team.share(prepared("math.sqrt(piece)"), range(50), Budget("1 MiB"))) == [math.sqrt(i) for i in range(50)]
    assert list(team.share(prepared("piece"), [], Budget("1 MiB"))) == []


def test_workers_start_in_the_folder_of_the_program(team, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert (
        list(map(os.path.realpath, team.share(prepared("os.getcwd()"), range(4), Budget("1 MiB"))))
        == [os.path.realpath(tmp_path)] * 4
    )


def test_processors_and_memory_are_shared_by_the_workers_of_a_machine(team):
    assert set(team.share(prepared("os.environ['LOCAL_WORLD_SIZE']"), range(4), Budget("1 MiB"))) == {"2"}


def test_a_worker_that_ends_while_it_prepares_is_an_error(team):
    budget = Budget("1 MiB")
    with pytest.raises(WorkerFailed, match="before its first piece of work"):
        list(team.share(Job(os._exit, (3,), [], result_nbytes=10), range(4), budget))
    assert budget.in_use == 0


def test_a_missing_path_is_an_error_before_anything_is_prepared(team):
    with pytest.raises(NotFound, match="/no/such/run does not exist on"):
        list(team.share(Job(os._exit, (3,), [], ["/no/such/run"]), range(4), Budget("1 MiB")))


def test_rows_are_cut_into_enough_pieces_for_all_workers():
    team = Team(Session(None, None, 1, 8, 0), Workers(4))
    found = team.spans(bs.open(np.zeros((1000, 2))), multiple=8)
    assert [span.start % 8 for span in found] == [0] * len(found)
    assert 50 <= len(found) <= 64
    assert sum(map(len, found)) == 1000
    assert team.spans(bs.open(np.zeros((3, 2)))) == [range(1), range(1, 2), range(2, 3)]


def test_errors_of_rows_reach_another_process():
    class Foreign(Exception):
        def __init__(self, one, two):
            super().__init__(f"{one}{two}")

    errors = pickle.loads(pickle.dumps(portable({3: BadFile("a.jpg: cut"), 4: Foreign("b", "ad")})))
    assert [(row, type(error), str(error)) for row, error in errors.items()] == [
        (3, BadFile, "a.jpg: cut"),
        (4, BitesizeError, "bad"),
    ]
