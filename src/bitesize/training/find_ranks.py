"""Find the ranks that train together with this process."""

from __future__ import annotations

from bitesize.engine.distributed import shard_of_this_process
from bitesize.errors import BadSetting
from bitesize.training.backend import load_keras
from bitesize.training.ranks import OneProcess, Ranks


def ranks_of_this_process() -> Ranks:
    """Return the ranks that train together with this process, if a framework has set up several.

    Raises
    ------
    BadSetting
        If Keras runs on another framework than the one that was set up, or on TensorFlow.
    """
    shard = shard_of_this_process({})  # only frameworks that are initialized: variables of a launcher connect no processes
    if shard.world_size == 1:
        return OneProcess()
    backend = load_keras().backend.backend()
    if backend == "torch":
        from bitesize.training.torch_ranks import TorchRanks

        return TorchRanks(shard)
    if backend == "jax":
        from bitesize.training.jax_ranks import JaxRanks

        return JaxRanks(shard)
    raise BadSetting(
        f"{shard.world_size} processes train together on JAX or PyTorch, but Keras runs on {backend}: set the environment variable "
        "KERAS_BACKEND to jax or torch"
    )
