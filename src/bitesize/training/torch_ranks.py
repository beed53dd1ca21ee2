"""Ranks of PyTorch: gradients are averaged over all rows of a global batch before each step of the optimizer."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from datetime import timedelta
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from bitesize.errors import BadSetting, WorkerFailed
from bitesize.order.order import Shard
from bitesize.outputs.keras_format import Padded
from bitesize.training.padded_steps import leave_out_padding
from bitesize.training.ranks import Ranks
from bitesize.training.timeout import rank_timeout

Value = TypeVar("Value")
# How long ranks wait for work that only rank 0 does, such as a pass over all data before training.
_PATIENCE = timedelta(days=1)
_groups: weakref.WeakKeyDictionary[Any, tuple[Any, Any]] = weakref.WeakKeyDictionary()


class TorchRanks(Ranks):
    """Processes of `torch.distributed`.

    Raises
    ------
    BadSetting
        If `torch.distributed` is not initialized.
    """

    def __init__(self, shard: Shard) -> None:
        super().__init__(shard)
        import torch.distributed as dist

        if not dist.is_initialized():
            raise BadSetting(
                f"{shard.world_size} processes train together, and Keras runs on torch: call torch.distributed.init_process_group first"
            )
        self._dist = dist
        self._control, self._patient = _control_groups(dist)
        self._rows = 0  # of the batch that is trained
        self._attached: weakref.WeakSet[Any] = weakref.WeakSet()

    def collect(self, value: Value) -> list[Value]:
        """Return the values of all ranks, by rank."""
        values: list[Any] = [None] * self.shard.world_size
        try:
            self._dist.all_gather_object(values, value, group=self._control)
        except RuntimeError as error:
            raise _lost(error) from error
        return values

    def broadcast(self, value: Value) -> Value:
        """Return the value of rank 0."""
        values = [value]
        try:
            self._dist.broadcast_object_list(values, src=0, group=self._patient)
        except RuntimeError as error:
            raise _lost(error) from error
        return values[0]

    def sum(self, arrays: Sequence[NDArray[Any]]) -> list[NDArray[Any]]:
        """Return the sums of arrays over all ranks, in float64 or int64."""
        import torch

        if not arrays:
            return []
        parts = [np.asarray(array) for array in arrays]
        wide = np.concatenate([part.astype(np.float64).ravel() for part in parts])
        tensor = torch.from_numpy(wide)
        try:
            self._dist.all_reduce(tensor, group=self._control)
        except RuntimeError as error:
            raise _lost(error) from error
        total, sums, start = tensor.numpy(), [], 0
        for part in parts:
            sums.append(total[start : start + part.size].reshape(part.shape).astype(part.dtype))
            start += part.size
        return sums

    def part_of_sums(self, arrays: list[NDArray[Any]]) -> list[NDArray[Any]]:
        """Return the sums on rank 0, and zeros on the others."""
        return arrays if self.is_first else [np.zeros_like(array) for array in arrays]

    def prepare(self, model: Any, padded: bool) -> None:
        """Average the gradients over the rows of all ranks in each step."""
        if padded:
            leave_out_padding(model)
        optimizer = model.optimizer
        if optimizer in self._attached:
            return
        self._attached.add(optimizer)
        apply, step = optimizer.apply, type(model).train_step

        def train_step(data: Any) -> Any:
            """Count the rows of the batch, and train on it."""
            self._rows = _rows_of(data)
            return step(model, data)

        def apply_average(grads: Any, trainable_variables: Any = None) -> Any:
            """Apply the mean of the gradients over all rows of the global batch."""
            return apply(self._average(grads), trainable_variables)

        model.train_step, optimizer.apply = train_step, apply_average

    def close(self) -> None:
        """End the connections to the other ranks."""
        _groups.pop(self._dist.group.WORLD, None)
        self._dist.destroy_process_group()

    def sum_metrics(self, model: Any) -> None:
        """Make the running sums of metrics those of all ranks, and running averages of layers their mean."""
        metrics = list(model.metrics_variables)
        state = [variable for variable in model.non_trainable_variables if "float" in str(variable.dtype)]
        sums = self.sum([variable.numpy() for variable in (*metrics, *state)])
        for variable, value in zip(metrics, sums, strict=False):
            variable.assign(value)
        for variable, value in zip(state, sums[len(metrics) :], strict=True):
            variable.assign(value / self.shard.world_size)

    def _average(self, grads: Sequence[Any]) -> list[Any]:
        """Return the mean over rows of gradients that are means over the rows of each rank. One exchange sends all of them."""
        import torch

        given = [grad for grad in grads if grad is not None]
        if not given:
            return list(grads)
        flat = torch.cat(
            [grad.reshape(-1).to(torch.float32) * self._rows for grad in given]
            + [given[0].new_tensor([self._rows], dtype=torch.float32)]
        )
        try:
            self._dist.all_reduce(flat)
        except RuntimeError as error:
            raise _lost(error) from error
        flat = flat[:-1] / flat[-1].clamp(min=1)
        self.diverged = not bool(torch.isfinite(flat).all())
        parts = iter(flat.split([grad.numel() for grad in given]))
        return [None if grad is None else next(parts).reshape(grad.shape).to(grad.dtype) for grad in grads]


def _control_groups(dist: Any) -> tuple[Any, Any]:
    """Return the groups of processes for what is not on a device: one for short waits, one for work of rank 0 that takes long.

    They are made once, because all ranks must make them together.
    """
    world = dist.group.WORLD
    if world not in _groups:
        _groups[world] = (
            dist.new_group(backend="gloo", timeout=rank_timeout()),
            dist.new_group(backend="gloo", timeout=_PATIENCE),
        )
    return _groups[world]


def _rows_of(data: Any) -> int:
    """Return the number of rows of a batch as Keras has it, without padding."""
    if len(data) > 2 and isinstance(data[2], Padded):
        return int(data[2].mask.sum())
    first = data[0]
    while isinstance(first, dict | list | tuple):
        first = next(iter(first.values())) if isinstance(first, dict) else first[0]
    return int(first.shape[0])


def _lost(error: RuntimeError) -> WorkerFailed:
    line = str(error).strip().splitlines()[0] if str(error).strip() else "no reason"
    return WorkerFailed(f"another rank has ended or does not answer; its own messages have the cause ({line})")
