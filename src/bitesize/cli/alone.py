"""Commands are one process each: where a launcher has started several, all would do the same work and write the same files."""

from __future__ import annotations

import os
from collections.abc import Mapping

# How launchers tell how many processes they have started: torchrun and Accelerate; Open MPI; MPICH and Intel MPI; srun, which sets it for a step (SLURM_NTASKS
# is set for the one process of a batch script, too); and what jax.distributed is given.
_COUNTS = ("WORLD_SIZE", "OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_STEP_NUM_TASKS", "JAX_NUM_PROCESSES")
# Commands that work long or write; the others only print what they see.
_WORKING = frozenset(("train", "evaluate", "predict", "bench", "check", "stats", "inspect", "concat", "demo"))


def refuse_several_processes(command: str | None, environment: Mapping[str, str] = os.environ) -> None:
    """Raise if a command that works or writes is one of several processes.

    Parameters
    ----------
    command
        Its name.
    environment
        Where launchers tell how many processes there are.

    Raises
    ------
    BadSetting
        If there are several.
    """
    from bitesize.errors import BadSetting

    if command not in _WORKING:
        return
    for name in _COUNTS:
        count = environment.get(name, "")
        if count.isdigit() and int(count) > 1:
            raise BadSetting(
                f"bitesize {command} runs in one process, and {name} is {count}: each would do all of the work and write the same files. Start "
                'it once, or unset the variable. Several processes train in Python, with bs.Loader(shard="auto")'
            )
