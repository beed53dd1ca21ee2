"""Ranks of this host, which share its memory and processors, from the launcher that started them."""

from __future__ import annotations

import functools
import logging
import os
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bitesize.errors import BadSetting

VARIABLE = "LOCAL_WORLD_SIZE"
_SLURM = "SLURM_STEP_TASKS_PER_NODE"
_REPEATED = re.compile(r"(\d+)(?:\(x(\d+)\))?")  # Slurm writes 4,4,4,2 as 4(x3),2
_log = logging.getLogger("bitesize")


@dataclass(frozen=True)
class LocalRanks:
    """Ranks of this host.

    Attributes
    ----------
    count : int
        Number of ranks, including this process.
    origin : str
        What the number was read from; "" if nothing says that there are others.
    processors : int or None
        Number of processors that the launcher has assigned to all of them; None if it has assigned none.
    unknown : str
        Framework that has started ranks without saying how many are on this host; usually "".
    """

    count: int = 1
    origin: str = ""
    processors: int | None = None
    unknown: str = ""


def local_ranks(environment: Mapping[str, str] = os.environ) -> LocalRanks:
    """Return the number of ranks on this host.

    It is that of the variable LOCAL_WORLD_SIZE, which torchrun sets and a user may set, else of Ray Train, else of the step of
    Slurm that has started this process. A process that none of them has started is alone. No framework is imported or initialized.

    Raises
    ------
    BadSetting
        If LOCAL_WORLD_SIZE is not a number of at least 1.

    Examples
    --------
    >>> local_ranks({"LOCAL_WORLD_SIZE": "4"}).count
    4
    """
    given = environment.get(VARIABLE, "").strip()
    if given:
        if not given.isdecimal() or not int(given):
            raise BadSetting(
                f"{VARIABLE} must be the number of ranks on this host, at least 1, not {given!r}: correct it, or unset it"
            )
        return LocalRanks(int(given), VARIABLE)
    context = train_context()
    if context is not None:
        return LocalRanks(int(context.get_local_world_size()), "Ray Train")
    tasks = _slurm_tasks(environment)
    if tasks is not None:
        processors = environment.get("SLURM_CPUS_ON_NODE", "")
        return LocalRanks(tasks, _SLURM, int(processors) if processors.isdecimal() else None)
    unknown = _without_local_size()
    if unknown:
        say_once(
            f"{unknown} does not say how many of its processes share this host, so memory and processors are not divided among them: set {VARIABLE} to divide them"
        )
    return LocalRanks(unknown=unknown)


def train_context() -> Any | None:
    """Return the context of Ray Train if this process is one of its workers, otherwise None."""
    train = sys.modules.get("ray.train")
    if train is None or not hasattr(train, "get_context"):  # not imported, or being imported
        return None
    try:
        context: Any = train.get_context()
        context.get_world_size()
    except (RuntimeError, DeprecationWarning):  # outside of a worker, and in a trial of Ray Tune
        return None
    return context


@functools.lru_cache(maxsize=64)
def say_once(line: str, level: int = logging.INFO) -> None:
    """Log a line about the ranks, once in this process: budgets and loaders ask for them again and again."""
    _log.log(level, "%s", line)


def _slurm_tasks(environment: Mapping[str, str]) -> int | None:
    """Return the tasks on this host of the step of this process; None if ``srun`` has not started it as one of several tasks.

    A batch script has variables of its job too, but it is no task of a step.
    """
    total = environment.get("SLURM_STEP_NUM_TASKS", "")
    if "SLURM_LOCALID" not in environment or not total.isdecimal() or int(total) < 2:
        return None
    parts = _REPEATED.findall(environment.get(_SLURM, ""))
    node = environment.get("SLURM_NODEID", "0")
    if not parts or not node.isdecimal():
        return None
    at = int(node)
    for count, times in parts:
        at -= int(times or 1)
        if at < 0:
            return int(count)
    return None


def _without_local_size() -> str:
    """Return the name of an initialized framework of several processes, which knows their total only; "" if there is none."""
    torch = sys.modules.get("torch.distributed")
    if torch is not None and torch.is_available() and torch.is_initialized() and torch.get_world_size() > 1:
        return "torch.distributed"
    jax = sys.modules.get("jax")
    # Asking for the number of processes would start the devices.
    return "jax.distributed" if jax is not None and jax.distributed.is_initialized() else ""
