"""Join the processes that a launcher has started: torchrun, or one that jax.distributed knows, such as Slurm's srun."""

from __future__ import annotations

import inspect
import os
from collections.abc import Mapping
from typing import Any

from bitesize.engine.distributed import shard_of_this_process
from bitesize.errors import BadSetting, MissingPackage, WorkerFailed
from bitesize.training.backend import choose_backend
from bitesize.training.find_ranks import ranks_of_this_process
from bitesize.training.ranks import OneProcess, Ranks
from bitesize.training.timeout import rank_timeout

# Variables in which launchers other than torchrun set the number of processes of a step.
_OTHERS = ("JAX_NUM_PROCESSES", "OMPI_COMM_WORLD_SIZE", "SLURM_STEP_NUM_TASKS")
# Variables in which others set it, with which neither framework connects the processes: MPICH, and a WORLD_SIZE without MASTER_ADDR.
_UNKNOWN = ("WORLD_SIZE", "PMI_SIZE")
# Seconds without a sign of life after which JAX ends all processes; its own default.
_HEARTBEAT = 100


def join_launcher(environment: Mapping[str, str] = os.environ) -> Ranks:
    """Connect this process with the others that its launcher has started, and return all of them.

    Raises
    ------
    BadSetting
        If Keras runs on a framework that the launcher cannot connect.
    WorkerFailed
        If the others cannot be reached.
    """
    if shard_of_this_process({}).world_size > 1:  # a program has connected them already
        return ranks_of_this_process()
    if _count(environment, "WORLD_SIZE") > 1 and "MASTER_ADDR" in environment:
        return _join_torchrun(environment)
    name = next((name for name in (*_OTHERS, *_UNKNOWN) if _count(environment, name) > 1), None)
    if name is None:
        return OneProcess()
    if name in _UNKNOWN:
        raise BadSetting(
            f"{name} is {environment[name]}, but nothing says how the processes reach each other: start them with torchrun, or start one with "
            "--workers, or unset the variable"
        )
    if choose_backend() != "jax":
        raise BadSetting(
            f"{name} is {environment[name]}, but Keras runs on {choose_backend()}: start the processes with torchrun, or set KERAS_BACKEND=jax"
        )
    return connect_jax({})


def restarts(environment: Mapping[str, str] = os.environ) -> int:
    """Return how often the launcher has started these processes again."""
    return _count(environment, "TORCHELASTIC_RESTART_COUNT")


def _join_torchrun(environment: Mapping[str, str]) -> Ranks:
    backend = choose_backend()
    try:
        import torch
        import torch.distributed as dist
    except ImportError as error:
        raise MissingPackage(
            "WORLD_SIZE and MASTER_ADDR are set as by torchrun, but torch is not installed: pip install torch"
        ) from error
    on_gpu = backend == "torch" and torch.cuda.is_available()
    if on_gpu:
        torch.cuda.set_device(_count(environment, "LOCAL_RANK"))
    try:
        _connect_torch(dist, "nccl" if on_gpu else "gloo", environment)
    except (RuntimeError, ValueError) as error:
        raise WorkerFailed(
            f"the other processes cannot be reached at MASTER_ADDR {environment['MASTER_ADDR']}: {error}"
        ) from error
    if backend != "jax":
        return ranks_of_this_process()
    ranks = ranks_by_port(dist, environment["MASTER_ADDR"])
    dist.destroy_process_group()
    return ranks


def _connect_torch(dist: Any, backend: str, environment: Mapping[str, str]) -> None:
    """Initialize `torch.distributed` with the store of torchrun's agent, whose keys outlive a restart of the processes."""
    if environment.get("TORCHELASTIC_USE_AGENT_STORE") != "True":
        dist.init_process_group(backend, timeout=rank_timeout(environment))
        return
    world, rank = _count(environment, "WORLD_SIZE"), _count(environment, "RANK")
    address = environment["MASTER_ADDR"], _count(environment, "MASTER_PORT")
    agent = dist.TCPStore(*address, world, is_master=False, timeout=rank_timeout(environment))
    store = dist.PrefixStore(f"bitesize/{restarts(environment)}", agent)
    dist.init_process_group(backend, store=store, rank=rank, world_size=world, timeout=rank_timeout(environment))


def ranks_by_port(dist: Any, host: str) -> Ranks:
    """Connect the processes of `torch.distributed` by `jax.distributed`, at a free port of rank 0."""
    from torch.distributed.elastic.utils.distributed import get_free_port

    port: list[Any] = [get_free_port() if dist.get_rank() == 0 else None]
    dist.broadcast_object_list(port, src=0)
    return connect_jax(
        {
            "coordinator_address": f"{host}:{port[0]}",
            "num_processes": dist.get_world_size(),
            "process_id": dist.get_rank(),
        }
    )


def connect_jax(arguments: dict[str, Any]) -> Ranks:
    """Connect processes by `jax.distributed`; without arguments, as their launcher states."""
    import jax

    if "heartbeat_timeout_seconds" in inspect.signature(jax.distributed.initialize).parameters:
        arguments["heartbeat_timeout_seconds"] = max(10, min(_HEARTBEAT, int(rank_timeout().total_seconds())))
    try:
        jax.distributed.initialize(**arguments)
    except (RuntimeError, ValueError) as error:
        raise WorkerFailed(f"jax.distributed cannot connect the processes: {error}") from error
    return ranks_of_this_process()


def _count(environment: Mapping[str, str], name: str) -> int:
    text = environment.get(name, "")
    return int(text) if text.isdigit() else 0
