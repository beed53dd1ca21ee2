"""Refuse to run a command in several processes of a launcher: all would do the same work and write the same files."""

from __future__ import annotations

import os
from collections.abc import Mapping

# Variables in which launchers set the number of processes that they started: torchrun and Accelerate; Open MPI; MPICH and Intel MPI; srun, which sets it for a step (SLURM_NTASKS
# is also set for the one process of a batch script); and the variable of jax.distributed.
_COUNTS = ("WORLD_SIZE", "OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_STEP_NUM_TASKS", "JAX_NUM_PROCESSES")
# Commands that run long or write files; the others only print, and train divides its work among the processes.
_WORKING = frozenset(("evaluate", "predict", "bench", "check", "stats", "inspect", "concat", "pack", "demo"))


def refuse_several_processes(command: str | None, environment: Mapping[str, str] = os.environ) -> None:
    """Raise if a command that runs long or writes files is one of several processes.

    Parameters
    ----------
    command
        Name of the command.
    environment
        Environment variables; launchers set the number of processes in one of them.

    Raises
    ------
    BadSetting
        If there are several processes.
    """
    from bitesize.errors import BadSetting

    if command not in _WORKING:
        return
    for name in _COUNTS:
        count = environment.get(name, "")
        if count.isdigit() and int(count) > 1:
            raise BadSetting(
                f"bitesize {command} runs in one process, but {name} is {count}: each process would do all of the work and write the same files. Start "
                "it once, with --workers for several processes, or unset the variable"
            )
