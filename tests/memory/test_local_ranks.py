"""The ranks of a host are counted by what the launcher says of it, and nothing is guessed or initialized."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest

import bitesize as bs
from bitesize.memory import limits
from bitesize.memory.local_ranks import LocalRanks, local_ranks

STEP = {
    "SLURM_LOCALID": "1",
    "SLURM_STEP_NUM_TASKS": "14",
    "SLURM_STEP_TASKS_PER_NODE": "4(x3),2",
    "SLURM_CPUS_ON_NODE": "16",
}


def test_a_process_that_no_launcher_has_started_is_alone():
    assert local_ranks({}) == LocalRanks(1, "", None, "")
    assert local_ranks({"LOCAL_WORLD_SIZE": ""}).count == 1


def test_torchrun_says_how_many_there_are():
    assert local_ranks({"LOCAL_WORLD_SIZE": "4"}) == LocalRanks(4, "LOCAL_WORLD_SIZE")


@pytest.mark.parametrize("given", ["0", "-1", "two", "1.5", "²", "4,4"])
def test_a_number_that_cannot_be_is_refused_with_the_variable(given, monkeypatch):
    monkeypatch.setenv("LOCAL_WORLD_SIZE", given)
    for ask in (bs.Budget, limits.processor_share):
        with pytest.raises(bs.BadSetting, match=f"LOCAL_WORLD_SIZE must be .* at least 1, not '{given}'"):
            ask()


@pytest.mark.parametrize(("node", "count"), [(None, 4), ("0", 4), ("2", 4), ("3", 2)])
def test_a_step_of_slurm_says_how_many_tasks_each_host_has(node, count):
    environment = STEP if node is None else STEP | {"SLURM_NODEID": node}
    assert local_ranks(environment) == LocalRanks(count, "SLURM_STEP_TASKS_PER_NODE", 16)


@pytest.mark.parametrize(
    "environment",
    [
        {"SLURM_LOCALID": "0", "SLURM_NTASKS": "8", "SLURM_NTASKS_PER_NODE": "4", "SLURM_TASKS_PER_NODE": "4(x2)"},  # sbatch
        STEP | {"SLURM_STEP_NUM_TASKS": "1", "SLURM_STEP_TASKS_PER_NODE": "1"},  # srun --pty
        {name: value for name, value in STEP.items() if name != "SLURM_LOCALID"},
        STEP | {"SLURM_NODEID": "9"},
    ],
    ids=["a batch script", "a step of one task", "no task", "another step"],
)
def test_what_is_no_task_of_a_step_of_several_is_alone(environment):
    assert local_ranks(environment).count == 1


def test_torchrun_within_a_step_of_slurm_counts_its_own_ranks():
    assert local_ranks(STEP | {"LOCAL_WORLD_SIZE": "8"}).count == 8


@pytest.mark.parametrize(("usable", "share"), [(16, 4), (4, 4), (2, 2), (64, 4)])
def test_a_task_that_slurm_has_bound_to_its_processors_uses_all_of_them(monkeypatch, usable, share):
    for name, value in STEP.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(limits, "usable_cpus", lambda: usable)
    assert limits.processor_share() == share


def run(program: str) -> str:
    command = [sys.executable, "-c", textwrap.dedent(program)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_jax_that_is_initialized_says_nothing_of_this_host_and_stays_without_devices():
    pytest.importorskip("jax")
    told = run("""
        import logging, os, socket, sys
        os.environ.pop("LOCAL_WORLD_SIZE", None)
        logging.basicConfig(level="INFO", format="%(message)s", stream=sys.stdout)
        logging.getLogger("jax").setLevel("ERROR")
        import jax, bitesize as bs
        from jax._src import xla_bridge
        assert bs.Budget().origin.endswith("available memory") or "cgroup" in bs.Budget().origin
        with socket.socket() as free:
            free.bind(("localhost", 0))
            port = free.getsockname()[1]
        jax.distributed.initialize(f"localhost:{port}", 1, 0)
        print(bs.Budget().origin)
        bs.Budget()
        assert not xla_bridge.backends_are_initialized()
        os.environ["LOCAL_WORLD_SIZE"] = "2"
        print(bs.Budget().origin)
    """)
    assert told.count("jax.distributed does not say how many of its processes share this host") == 1
    assert "not divided among processes of jax.distributed on this host (LOCAL_WORLD_SIZE divides it)" in told
    assert told.strip().endswith("divided among 2 ranks (LOCAL_WORLD_SIZE)")
