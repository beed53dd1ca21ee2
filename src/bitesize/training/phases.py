"""Phases of training: their weights, epochs and learning rates."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from bitesize.memory.sizes import counted
from bitesize.training.backend import load_keras
from bitesize.training.learning_rate import compile_model
from bitesize.training.settings import TrainSettings
from bitesize.training.tasks.base import Output, Task
from bitesize.training.tasks.classify import Classify

# Share of epochs with frozen pretrained weights: the gradients of a new head are large and wrong at first.
_FROZEN = 1 / 3
# Pretrained weights are tuned at this fraction of the learning rate, to preserve their knowledge.
_TUNING = 0.1
_CLASSIFY = Classify(())


@dataclass(frozen=True)
class Phase:
    """Epochs in which the same weights are trained.

    Attributes
    ----------
    first, end
        First epoch, from 0, and end (exclusive).
    learning_rate
        Highest learning rate.
    output
        Type of the model's output, for the loss.
    base
        Pretrained model below the head; None if the whole model is trained from the start.
    frozen
        Whether only the head is trained, and the pretrained weights are frozen.
    cycle
        Step at which the last cycle of the learning rate starts: 0, or the step at which training was extended.
    task
        What the model learns.
    """

    first: int
    end: int
    learning_rate: float
    output: Output = "logits"
    base: Any = None
    frozen: bool = False
    cycle: int = 0
    task: Task = _CLASSIFY

    def begin(self, model: Any, steps: int) -> None:
        """Freeze or unfreeze the pretrained weights, and compile the model.

        Parameters
        ----------
        model
            A compiled model keeps its optimizer and loss.
        steps
            Batches per epoch.
        """
        if self.base is not None:
            self.base.trainable = not self.frozen
            for layer in _layers(self.base):
                if type(layer).__name__ == "BatchNormalization":
                    layer.trainable = (
                        False  # it then runs in inference mode: averages of a few rows would replace averages of millions
                    )
        elif getattr(model, "compiled", False):
            return  # the user's function has chosen loss and optimizer
        compile_model(model, self.task, self.output, self.learning_rate, (self.end - self.first) * steps, self.cycle)


def choose_phases(
    settings: TrainSettings, model: Any, output: Output, cycle: int, steps: int, task: Task = _CLASSIFY
) -> tuple[TrainSettings, list[Phase], list[str]]:
    """Choose the phases of a training: one, or two if pretrained weights are first frozen and then tuned.

    Parameters
    ----------
    settings
        Settings with the number of epochs.
    model
        Result of `build_model`.
    output
        Type of its output, from `choose_output`.
    cycle
        Step of the whole training at which the last cycle of the learning rate starts.
    steps
        Batches per epoch.
    task
        What the model learns.

    Returns
    -------
    settings : TrainSettings
        Settings with the number of frozen epochs, which stays when training is extended.
    phases : list of Phase
    said : list of str
        A line about the phases, if there are two.
    """
    epochs, rate = settings.epochs, settings.learning_rate
    assert epochs != "auto"
    if not settings.tunes:
        return settings, [Phase(0, epochs, rate, output, cycle=cycle, task=task)], []
    base = next(layer for layer in model.layers if isinstance(layer, load_keras().Model))
    chosen = settings.frozen_epochs
    frozen = max(1, round(_FROZEN * epochs)) if chosen == "auto" else min(chosen, epochs)
    phases = [Phase(0, frozen, rate, output, base, frozen=True, task=task)]
    said = f"pretrained: {counted(frozen, 'epoch')} with the weights of {settings.model} frozen, learning rate {rate:g}"
    if frozen < epochs:
        again = max(0, cycle - frozen * steps)
        phases.append(Phase(frozen, epochs, _TUNING * rate, output, base, cycle=again, task=task))
        said += f", then {counted(epochs - frozen, 'epoch')} of all weights, {_TUNING * rate:g}"
    return (
        replace(settings, frozen_epochs=frozen),
        phases,
        [f"{said}; batch normalization stays frozen (--frozen-epochs changes this)"],
    )


def _layers(model: Any) -> Iterator[Any]:
    for layer in model.layers:
        yield from _layers(layer) if hasattr(layer, "layers") else (layer,)
