"""Estimate the memory to train a model: parameters, gradients, optimizer, activations."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from bitesize.errors import DoesNotFit, WrongModel
from bitesize.memory.limits import available
from bitesize.memory.sizes import counted, format_size

# Adam and similar optimizers keep a mean and a squared mean of each parameter's gradient.
ADAM_STATES = 2
# Outputs of layers are kept for the backward pass; gradients and workspaces take about the same again: PyTorch and JAX took
# 0.7 to 1.1 of this estimate on a CPU (measured with a small convnet and MobileNetV2).
_BOTH_WAYS = 2
# The least that was measured: a U-Net of volumes took 0.65 of the estimate with JAX, and 0.95 to 1.25 with PyTorch.
_CERTAIN = 0.6


@dataclass(frozen=True)
class Footprint:
    """Memory of training in addition to the data, in bytes.

    Parameters
    ----------
    parameters, gradients, optimizer
        Bytes of the whole model.
    activations
        Bytes per row: the outputs of all layers, and the same again for the backward pass. An estimate; fused operations
        need less.
    row
        Bytes of one input row in float32.
    """

    parameters: int
    gradients: int
    optimizer: int
    activations: int
    row: int

    @property
    def fixed(self) -> int:
        """Bytes independent of the batch size."""
        return self.parameters + self.gradients + self.optimizer

    def total(self, batch_size: int) -> int:
        """Return the bytes for a batch size."""
        return self.fixed + batch_size * (self.activations + self.row)

    def largest_batch(self, room: int) -> int:
        """Return the largest batch size for a number of free bytes; 0 if no row fits."""
        return max(0, (room - self.fixed) // max(1, self.activations + self.row))


def footprint(model: Any, shape: Sequence[int]) -> Footprint:
    """Compute the memory to train a model with Adam or a similar optimizer.

    Parameters
    ----------
    model
        A Keras model, whose layers have shapes; or a PyTorch module, which is run once with hooks on one row of zeros.
    shape
        Shape of one row.
    """
    if hasattr(model, "trainable_variables"):
        every = sum(_nbytes(variable.shape, str(variable.dtype)) for variable in model.variables)
        trained = sum(_nbytes(variable.shape, str(variable.dtype)) for variable in model.trainable_variables)
        values = [_values_of(layer) for layer in _layers(model)]
    else:
        values = _values_by_hooks(model, shape)  # first, because lazy modules have no parameters before
        every = sum(each.numel() * each.element_size() for each in (*model.parameters(), *model.buffers()))
        trained = sum(each.numel() * each.element_size() for each in model.parameters() if each.requires_grad)
    return Footprint(every, trained, ADAM_STATES * trained, _BOTH_WAYS * 4 * sum(values), 4 * math.prod(shape))


def refuse_too_large(model: Any, shape: Sequence[int], batch_size: int, loading: int) -> None:
    """Raise for a batch of volumes with which training would certainly run out of memory, instead of during the first epoch.

    Parameters
    ----------
    model
        As for `footprint`.
    shape
        Shape of one row.
    batch_size
        Rows of a batch in this process.
    loading
        Bytes that loading needs beside the model, on the host.

    Raises
    ------
    DoesNotFit
        If the machine or the accelerator has less memory than 60 % of the estimate.
    """
    need, device, limit = footprint(model, shape), room_on_device(), available()
    where, room = device if device is not None else (limit.name, limit.room - loading)
    if need.total(batch_size) * _CERTAIN <= room:
        return
    if need.total(1) * _CERTAIN > room:
        ways = "No batch fits: give --image-size N for smaller volumes, or train on patches of them (bs.Patches)"
    else:
        ways = f"Lower --batch-size to {max(1, need.largest_batch(room))}, or give --image-size N for smaller volumes"
    raise DoesNotFit(
        f"Training on rows of shape {tuple(shape)} with batches of {counted(batch_size, 'row')} needs about {format_size(need.total(batch_size))} for the "
        f"model, and {where} has {format_size(max(0, room))} for it. {ways}."
    )


def room_on_device() -> tuple[str, int] | None:
    """Return the name and free bytes of the accelerator that the backend would use, or None on the host."""
    import sys

    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        return torch.cuda.get_device_name(), int(torch.cuda.mem_get_info()[0])
    jax = sys.modules.get("jax")
    if jax is not None and (device := jax.devices()[0]).platform != "cpu":
        stats = device.memory_stats() or {}
        return str(device), int(stats.get("bytes_limit", 0)) - int(stats.get("bytes_in_use", 0))
    return None


def _layers(model: Any) -> Iterable[Any]:
    """Yield all layers, including those of nested models."""
    for layer in model.layers:
        yield from _layers(layer) if hasattr(layer, "layers") else (layer,)


def _values_of(layer: Any) -> int:
    """Return the number of output values of a Keras layer for one row, over all of its calls."""
    if type(layer).__name__ == "InputLayer":
        return 0
    outputs = [output for node in getattr(layer, "_inbound_nodes", ()) for output in node.output_tensors]
    return sum(math.prod(side or 1 for side in output.shape[1:]) for output in outputs)


def _values_by_hooks(model: Any, shape: Sequence[int]) -> list[int]:
    import torch

    values: list[int] = []

    def count(module: Any, given: Any, made: Any) -> None:
        if not list(module.children()):
            values.append(sum(each.numel() for each in _tensors(made)))

    hooks = [module.register_forward_hook(count) for module in model.modules()]
    training = model.training
    try:
        model.eval()
        first = next(model.parameters(), None)
        with torch.no_grad():
            try:
                model(torch.zeros((1, *shape), device=first.device if first is not None else None))
            except (RuntimeError, ValueError, TypeError, IndexError) as error:
                raise WrongModel(f"{type(model).__name__} cannot take one row of shape {tuple(shape)}: {error}") from error
    finally:
        model.train(training)
        for hook in hooks:
            hook.remove()
    return values


def _tensors(made: Any) -> Iterable[Any]:
    if isinstance(made, dict):
        made = list(made.values())
    for value in made if isinstance(made, list | tuple) else [made]:
        if isinstance(value, list | tuple | dict):
            yield from _tensors(value)
        elif hasattr(value, "numel"):
            yield value


def _nbytes(shape: Sequence[int], dtype: str) -> int:
    bits = int("".join(filter(str.isdigit, dtype.rsplit(".", 1)[-1])) or 8)
    return math.prod(shape) * bits // 8
