"""The processes that train one model together: what they agree on, and what only the first of them does."""

from __future__ import annotations

import contextlib
import socket
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from bitesize.errors import WorkerFailed
from bitesize.order.order import Shard

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
    agreed : Exception or None
        Error that was raised on all ranks.
    """

    def __init__(self, shard: Shard) -> None:
        self.shard = shard
        self.diverged = False
        self.agreed: Exception | None = None

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
        """Enable this process to use Keras within the block without the other ranks."""
        yield

    def prepare(self, model: Any, padded: bool) -> None:
        """Make the training steps of a compiled model those of all ranks together; ``padded``: batches have padding."""

    def distribute(self) -> bool:
        """Spread models over all ranks that are made from now on; return whether a model made before must be made again."""
        return False

    def close(self) -> None:
        """End the connections to the other ranks, when all of them are done."""

    def sum_metrics(self, model: Any) -> None:
        """Make the running sums of a model's metrics those of all ranks, and its other state their mean."""

    def of_first(self, function: Callable[[], Value]) -> Value:
        """Return the result of a function that only rank 0 calls.

        Raises
        ------
        WorkerFailed
            If the function raises on rank 0, on the other ranks. Rank 0 raises the error itself.
        """
        if not self.several:
            return function()
        result: Value | None = None
        error: Exception | None = None
        if self.is_first:
            try:
                result = function()
            except Exception as raised:  # noqa: BLE001 - raised below, when the others know of it
                error = raised
        result, failure = self.broadcast((result, _described(error)))
        if failure:
            self.agreed = error or WorkerFailed(f"rank 0 has failed: {failure}")
            raise self.agreed
        return cast("Value", result)

    def together(self, function: Callable[[], Value]) -> Value:
        """Return the result of a function that each rank calls.

        Raises
        ------
        WorkerFailed
            If the function raises on another rank. The lowest of these ranks raises its error itself.
        """
        if not self.several:
            return function()
        result: Value | None = None
        error: Exception | None = None
        try:
            result = function()
        except Exception as raised:  # noqa: BLE001 - raised below, when the others know of it
            error = raised
        failures = [(rank, text) for rank, text in enumerate(self.collect(_described(error))) if text]
        if failures:
            rank, text = failures[0]
            own = error if rank == self.shard.rank else None  # the same error of all ranks is reported once
            self.agreed = own or WorkerFailed(f"rank {rank} of {self.shard.world_size} has failed: {text}")
            raise self.agreed
        return cast("Value", result)


def _described(error: Exception | None) -> str:
    """Return an error as text, with its machine: errors themselves cannot always be pickled."""
    return "" if error is None else f"{error} ({type(error).__name__} on {socket.gethostname()})"


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
