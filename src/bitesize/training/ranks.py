"""The processes that train one model together: what they agree on, and what only the first of them does."""

from __future__ import annotations

import contextlib
import socket
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from bitesize.engine.distributed import shard_of_this_process
from bitesize.errors import BadSetting, BitesizeError, WorkerFailed
from bitesize.order.order import Shard
from bitesize.training.backend import load_keras

Value = TypeVar("Value")


class Ranks(ABC):
    """The processes that train one model together.

    All methods that exchange something must be called by all ranks, in the same order.

    Attributes
    ----------
    shard : Shard
        Rank of this process, and number of ranks.
    diverged : bool
        Whether gradients of any rank were NaN or infinite.
    """

    def __init__(self, shard: Shard) -> None:
        self.shard = shard
        self.diverged = False

    @property
    def is_first(self) -> bool:
        """Return whether this process is rank 0, which writes the files."""
        return self.shard.rank == 0

    @property
    def several(self) -> bool:
        """Return whether there is more than one rank."""
        return self.shard.world_size > 1

    def part_of_sums(self, arrays: list[NDArray[Any]]) -> list[NDArray[Any]]:
        """Return this rank's part of sums over all ranks: the sums where variables are common, or on rank 0; else zeros."""
        return arrays

    @abstractmethod
    def collect(self, value: Value) -> list[Value]:
        """Return the values of all ranks, by rank. They are pickled."""

    @abstractmethod
    def broadcast(self, value: Value) -> Value:
        """Return the value of rank 0. It is pickled."""

    @abstractmethod
    def sum(self, arrays: Sequence[NDArray[Any]]) -> list[NDArray[Any]]:
        """Return the sums of arrays over all ranks."""

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Let this process use Keras within the block without the other ranks."""
        yield

    def prepare(self, model: Any, padded: bool) -> None:
        """Make the training steps of a compiled model those of all ranks together; ``padded``: batches have padding."""

    def sum_metrics(self, model: Any) -> None:
        """Make the running sums of a model's metrics those of all ranks, and its other state their mean."""

    def of_first(self, function: Callable[[], Value]) -> Value:
        """Return the result of a function that only rank 0 calls.

        Raises
        ------
        BitesizeError
            The error of the function, on all ranks.
        """
        result: Any = None
        error: Exception | None = None
        if self.is_first:
            try:
                result = function()
            except (BitesizeError, OSError) as raised:
                error = raised
        if not self.several:
            if error is not None:
                raise error
            return result
        result, error = self.broadcast((result, error))
        if error is not None:
            raise error
        return result

    def together(self, function: Callable[[], Value]) -> Value:
        """Return the result of a function that each rank calls.

        Raises
        ------
        WorkerFailed
            If the function raises on another rank. The error of this rank is raised itself.
        """
        if not self.several:
            return function()
        result: Any = None
        error: Exception | None = None
        try:
            result = function()
        except (BitesizeError, OSError) as raised:
            error = raised
        where = f"{type(error).__name__} on {socket.gethostname()}: {error}" if error is not None else ""
        failures = [(rank, text) for rank, text in enumerate(self.collect(where)) if text]
        if error is not None:
            raise error
        if failures:
            rank, text = failures[0]
            raise WorkerFailed(f"rank {rank} of {self.shard.world_size} has failed: {text}")
        return result


class OneProcess(Ranks):
    """A training in this process alone."""

    def __init__(self) -> None:
        super().__init__(Shard())

    def collect(self, value: Value) -> list[Value]:
        """Return the value, in a list."""
        return [value]

    def broadcast(self, value: Value) -> Value:
        """Return the value."""
        return value

    def sum(self, arrays: Sequence[NDArray[Any]]) -> list[NDArray[Any]]:
        """Return the arrays."""
        return [np.asarray(array) for array in arrays]


def ranks_of_this_process() -> Ranks:
    """Return the ranks that train together with this process, if a framework has set up several.

    Raises
    ------
    BadSetting
        If Keras runs on another framework than the one that was set up, or on TensorFlow.
    """
    shard = shard_of_this_process({})  # a launcher's variables alone connect nobody
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
