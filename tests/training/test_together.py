"""`bs.keras.fit` on several ranks: losses and metrics are those of one process, whatever the ranks cannot share evenly."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

PROGRAM = Path(__file__).parents[1] / "programs" / "rank_fit.py"


def fit(backend, world, **settings):
    """Train on some ranks, and return what each has printed."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {name: value for name, value in os.environ.items() if name not in ("RANK", "WORLD_SIZE")}
    command = [sys.executable, str(PROGRAM), backend]
    processes = [
        subprocess.Popen(
            [*command, str(rank), str(world), str(port), json.dumps(settings)],
            env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for rank in range(world)
    ]  # fmt: skip
    found = []
    for process in processes:
        output, errors = process.communicate(timeout=200)
        lines = [line for line in output.splitlines() if line.startswith("{")]
        assert lines, errors[-4000:]
        found.append(json.loads(lines[-1]))
    return found


@pytest.fixture(params=["jax", pytest.param("torch", marks=pytest.mark.framework)])
def backend(request):
    pytest.importorskip("keras")
    pytest.importorskip(request.param)
    return request.param


@pytest.mark.parametrize(
    ("world", "settings"),
    [
        (2, {"batch_size": 16}),  # the last 6 of 70 rows, and the last of 33, are all of rank 0
        (3, {"batch_size": 14, "class_weight": True}),  # 5, 5 and 4 rows of each batch
    ],
)
def test_figures_are_those_of_one_process(backend, world, settings):
    (alone,) = fit(backend, 1, **settings)
    for of_rank in fit(backend, world, **settings):
        assert set(of_rank) == set(alone)
        for name, values in alone.items():
            np.testing.assert_allclose(of_rank[name], values, rtol=2e-5, atol=1e-6, err_msg=name)


def test_a_loader_of_all_rows_is_refused(backend):
    for of_rank in fit(backend, 2, all_rows=True):
        assert "2 processes train together" in of_rank["error"]
        assert 'use Loader(shard="auto")' in of_rank["error"]


@pytest.mark.framework
def test_ranks_with_different_weights_are_refused_on_torch():
    pytest.importorskip("torch")
    for of_rank in fit("torch", 2, seeds=[1, 2]):
        assert "the ranks start with different weights" in of_rank["error"]


def test_a_model_that_is_not_spread_over_the_ranks_is_refused_on_jax():
    for of_rank in fit("jax", 2, skip_distribution=True):
        assert "the model is not spread over them" in of_rank["error"]


def test_keras_does_not_divide_the_rows_of_a_rank_again():
    settings = {"batch_size": 14, "last": "drop", "stand_in": True}
    assert [of_rank["rows"] for of_rank in fit("jax", 2, **settings)] == [35, 35]
    for of_rank in fit("jax", 2, auto_shard=True, **settings):
        assert "would divide them again: make it with auto_shard_dataset=False" in of_rank["error"]
