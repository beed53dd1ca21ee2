"""Ranks of JAX: one program on the devices of all processes, by `keras.distribution`."""

from __future__ import annotations

import contextlib
import pickle
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from bitesize.errors import BadSetting, WorkerFailed
from bitesize.order.order import Shard
from bitesize.training.backend import load_keras
from bitesize.training.padded_steps import leave_out_padding
from bitesize.training.ranks import Ranks

Value = TypeVar("Value")


class JaxRanks(Ranks):
    """Processes of `jax.distributed`.

    Raises
    ------
    BadSetting
        If `jax.distributed` does not connect all of them.
    """

    def __init__(self, shard: Shard) -> None:
        super().__init__(shard)
        import jax

        if jax.process_count() != shard.world_size:
            raise BadSetting(
                f"{shard.world_size} processes train together, and Keras runs on jax: call jax.distributed.initialize before anything else"
            )

    def collect(self, value: Value) -> list[Value]:
        """Return the values of all ranks, by rank."""
        body = np.frombuffer(pickle.dumps(value), np.uint8)
        sizes = self._gather(np.array([body.size], np.int64))[:, 0]
        padded = np.zeros(int(sizes.max()), np.uint8)
        padded[: body.size] = body
        bodies = self._gather(padded)
        return [pickle.loads(each[:size].tobytes()) for each, size in zip(bodies, sizes, strict=True)]  # noqa: S301 - of our own ranks

    def broadcast(self, value: Value) -> Value:
        """Return the value of rank 0."""
        body = np.frombuffer(pickle.dumps(value) if self.is_first else b"", np.uint8)
        size = int(self._of_first(np.array([body.size], np.int64))[0])
        sent = body if self.is_first else np.zeros(size, np.uint8)
        received: Value = pickle.loads(self._of_first(sent).tobytes())  # noqa: S301 - of our own rank 0
        return received

    def sum(self, arrays: Sequence[NDArray[Any]]) -> list[NDArray[Any]]:
        """Return the arrays: variables of all ranks are one, so they have the sums already."""
        return [np.asarray(array) for array in arrays]

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Enable this process to use Keras without the other ranks: new variables are its own."""
        distribution = load_keras().distribution
        common = distribution.distribution()
        distribution.set_distribution(None)
        try:
            yield
        finally:
            distribution.set_distribution(common)

    def distribute(self) -> bool:
        """Spread models over the devices of all ranks that are made from now on: those made before are of this process."""
        distribution = load_keras().distribution
        if distribution.distribution() is None:
            distribution.set_distribution(distribution.DataParallel(auto_shard_dataset=False))
        return True

    def prepare(self, model: Any, padded: bool) -> None:
        """Leave padding out of the loss and the metrics of the model.

        Raises
        ------
        BadSetting
            If the model is not spread over the devices of all ranks.
        """
        if any(variable.value.is_fully_addressable for variable in model.weights):
            raise BadSetting(
                f"{self.shard.world_size} processes train together, but the model is not spread over them: call keras.distribution."
                "set_distribution(keras.distribution.DataParallel(auto_shard_dataset=False)) before the model is made"
            )
        if padded:
            leave_out_padding(model)

    def _gather(self, array: NDArray[Any]) -> NDArray[Any]:
        """Return the arrays of all ranks, of one shape: shape (world_size, ...)."""
        from jax.experimental import multihost_utils

        gathered = self._exchange(multihost_utils.process_allgather, array)
        return gathered.reshape(self.shard.world_size, *array.shape)

    def _of_first(self, array: NDArray[Any]) -> NDArray[Any]:
        """Return the array of rank 0; the others have the same shape."""
        from jax.experimental import multihost_utils

        return self._exchange(multihost_utils.broadcast_one_to_all, array)

    def _exchange(self, function: Callable[[Any], Any], array: NDArray[Any]) -> NDArray[Any]:
        from jax.errors import JaxRuntimeError

        try:
            return np.asarray(function(array))
        except JaxRuntimeError as error:
            reason = str(error).splitlines()[0]
            raise WorkerFailed(
                f"another rank has ended or does not answer; its own messages have the cause ({reason})"
            ) from error
