"""Rank of this process, from the framework or launcher that started the ranks."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator, Mapping

from bitesize.errors import BadSetting
from bitesize.memory.local_ranks import say_once, train_context
from bitesize.order.order import Shard


def shard_of_this_process(environment: Mapping[str, str] = os.environ) -> Shard:
    """Return the rank of this process and the number of ranks.

    They come from the first of these that is initialized: `torch.distributed`, `jax.distributed`, Ray Train; otherwise from
    torchrun's variables RANK and WORLD_SIZE. If others disagree, one line of the log says so. A single process is rank 0 of 1. No
    framework is imported.

    Raises
    ------
    BadSetting
        If no framework is initialized, and the environment variables are not valid.
    """
    shards = dict(_initialized())
    launched = "RANK" in environment or "WORLD_SIZE" in environment
    try:
        if launched:
            shards["the environment (RANK, WORLD_SIZE)"] = Shard(int(environment["RANK"]), int(environment["WORLD_SIZE"]))
    except (KeyError, ValueError) as error:
        if not shards:
            given = {name: environment.get(name) for name in ("RANK", "WORLD_SIZE")}
            raise BadSetting(
                f'shard="auto" reads RANK and WORLD_SIZE from the environment, which are not valid: {given}'
            ) from error
    if not shards:
        return Shard()
    name, shard = next(iter(shards.items()))
    others = [f"{other} says {_text(said)}" for other, said in shards.items() if said != shard]
    if others:
        line = f'shard="auto" is {_text(shard)}, as {name} says; {", ".join(others)}. shard=bs.Shard(rank, world_size) decides otherwise'
        say_once(line, logging.WARNING)
    return shard


def _initialized() -> Iterator[tuple[str, Shard]]:
    """Yield each framework that has started ranks, with the rank that this process has in it."""
    torch = sys.modules.get("torch.distributed")
    if torch is not None and torch.is_available() and torch.is_initialized():
        yield "torch.distributed", Shard(int(torch.get_rank()), int(torch.get_world_size()))
    jax = sys.modules.get("jax")
    if jax is not None and jax.distributed.is_initialized():
        yield "jax.distributed", Shard(int(jax.process_index()), int(jax.process_count()))
    context = train_context()
    if context is not None:
        yield "Ray Train", Shard(int(context.get_world_rank()), int(context.get_world_size()))


def _text(shard: Shard) -> str:
    return f"rank {shard.rank} of {shard.world_size}"
