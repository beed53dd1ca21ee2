"""Rank of this process, from the framework or launcher that started the ranks."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping

from bitesize.errors import BadSetting
from bitesize.order.order import Shard


def shard_of_this_process(environment: Mapping[str, str] = os.environ) -> Shard:
    """Return the rank of this process and the number of ranks.

    They come from `torch.distributed` or `jax.distributed` if one of them is initialized, otherwise from torchrun's variables RANK
    and WORLD_SIZE. A single process is rank 0 of 1. Neither package is imported.

    Raises
    ------
    BadSetting
        If the environment variables are not valid.
    """
    torch = sys.modules.get("torch.distributed")
    if torch is not None and torch.is_available() and torch.is_initialized():
        return Shard(int(torch.get_rank()), int(torch.get_world_size()))
    jax = sys.modules.get("jax")
    if jax is not None and jax.distributed.is_initialized():
        return Shard(int(jax.process_index()), int(jax.process_count()))
    if "RANK" not in environment and "WORLD_SIZE" not in environment:
        return Shard()
    try:
        return Shard(int(environment["RANK"]), int(environment["WORLD_SIZE"]))
    except (KeyError, ValueError) as error:
        given = {name: environment.get(name) for name in ("RANK", "WORLD_SIZE")}
        raise BadSetting(
            f'shard="auto" reads RANK and WORLD_SIZE from the environment, which are not valid: {given}'
        ) from error
