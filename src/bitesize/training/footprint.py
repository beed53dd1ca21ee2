"""What training a model takes in memory: parameters, gradients, optimizer, activations."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from bitesize.errors import WrongModel

# Adam and its kin keep a mean and a squared mean of each parameter's gradient.
ADAM_STATES = 2
# What layers put out is kept for the way back, and gradients and workspaces come to about as much again: PyTorch and JAX
# took 0.7 to 1.1 of this on a CPU (measured with a small convnet and MobileNetV2).
_BOTH_WAYS = 2


@dataclass(frozen=True)
class Footprint:
    """Bytes that training takes beside the data.

    Parameters
    ----------
    parameters, gradients, optimizer
        Of the whole model.
    activations
        A row: what all layers put out, and as much again for the way back: an estimate, which fused operations stay
        below.
    row
        A row of input in float32.
    """

    parameters: int
    gradients: int
    optimizer: int
    activations: int
    row: int

    @property
    def fixed(self) -> int:
        """Bytes whatever the batch."""
        return self.parameters + self.gradients + self.optimizer

    def total(self, batch_size: int) -> int:
        """Bytes with batches of so many rows."""
        return self.fixed + batch_size * (self.activations + self.row)

    def largest_batch(self, room: int) -> int:
        """Tell how many rows a batch may have where so many bytes are free; 0 where none fits."""
        return max(0, (room - self.fixed) // max(1, self.activations + self.row))


def footprint(model: Any, shape: Sequence[int]) -> Footprint:
    """Work out what training a model takes, with Adam or its kin.

    Parameters
    ----------
    model
        A Keras model, whose layers tell their shapes; or a PyTorch module, which is run once on one row of zeros while
        hooks look on.
    shape
        Shape of one row.
    """
    if hasattr(model, "trainable_variables"):
        every = sum(_nbytes(variable.shape, str(variable.dtype)) for variable in model.variables)
        trained = sum(_nbytes(variable.shape, str(variable.dtype)) for variable in model.trainable_variables)
        values = [_values_of(layer) for layer in _layers(model)]
    else:
        values = _values_by_hooks(model, shape)  # first: lazy modules have their parameters only then
        every = sum(each.numel() * each.element_size() for each in (*model.parameters(), *model.buffers()))
        trained = sum(each.numel() * each.element_size() for each in model.parameters() if each.requires_grad)
    return Footprint(every, trained, ADAM_STATES * trained, _BOTH_WAYS * 4 * sum(values), 4 * math.prod(shape))


def room_on_device() -> tuple[str, int] | None:
    """Name the accelerator that the backend would train on, with its free bytes; None where training is on the host."""
    import sys

    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        return torch.cuda.get_device_name(), int(torch.cuda.mem_get_info()[0])
    jax = sys.modules.get("jax")
    if jax is not None and (device := jax.devices()[0]).platform != "cpu":
        told = device.memory_stats() or {}
        return str(device), int(told.get("bytes_limit", 0)) - int(told.get("bytes_in_use", 0))
    return None


def _layers(model: Any) -> Iterable[Any]:
    """All layers, those of nested models too."""
    for layer in model.layers:
        yield from _layers(layer) if hasattr(layer, "layers") else (layer,)


def _values_of(layer: Any) -> int:
    """Values of one row that a Keras layer puts out, each time it is called."""
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
    for each in made if isinstance(made, list | tuple) else [made]:
        if isinstance(each, list | tuple | dict):
            yield from _tensors(each)
        elif hasattr(each, "numel"):
            yield each


def _nbytes(shape: Sequence[int], dtype: str) -> int:
    bits = int("".join(filter(str.isdigit, dtype.rsplit(".", 1)[-1])) or 8)
    return math.prod(shape) * bits // 8
