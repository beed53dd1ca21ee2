"""Phases of training: what is trained, from which epoch, and how the learning rate moves."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from bitesize.memory.sizes import counted
from bitesize.training.backend import load_keras
from bitesize.training.learning_rate import compile_model
from bitesize.training.model_output import Output
from bitesize.training.settings import TrainSettings

# The share of epochs in which pretrained weights are frozen: a new head's gradients are large and wrong at first.
_FROZEN = 1 / 3
# Pretrained weights are tuned at this part of the learning rate: what they know is to be kept.
_TUNING = 0.1


@dataclass(frozen=True)
class Phase:
    """Epochs in which the same weights are trained.

    Attributes
    ----------
    first, end
        Its first epoch, from 0, and the one after its last.
    learning_rate
        At its highest.
    output
        What the model returns, which its loss takes.
    base
        The pretrained model below the head; None where all of the model is trained from the start.
    frozen
        Whether only the head is trained, and the pretrained weights stay.
    cycle
        Its step at which the last cycle of the learning rate begins: 0, or where training was made longer.
    """

    first: int
    end: int
    learning_rate: float
    output: Output = "logits"
    base: Any = None
    frozen: bool = False
    cycle: int = 0

    def begin(self, model: Any, steps: int) -> None:
        """Freeze or free the pretrained weights, and compile the model.

        Parameters
        ----------
        model
            One that comes compiled keeps its optimizer and loss.
        steps
            Batches an epoch.
        """
        if self.base is not None:
            self.base.trainable = not self.frozen
            for layer in _layers(self.base):
                if type(layer).__name__ == "BatchNormalization":
                    layer.trainable = (
                        False  # it runs in inference mode then: averages of a few rows would replace those of millions
                    )
        elif getattr(model, "compiled", False):
            return  # the user's function chose loss and optimizer itself
        compile_model(model, self.output, self.learning_rate, (self.end - self.first) * steps, self.cycle)


def choose_phases(
    settings: TrainSettings, model: Any, output: Output, cycle: int, steps: int
) -> tuple[TrainSettings, list[Phase], list[str]]:
    """Choose the phases of a training: one, or two where pretrained weights are first frozen and then tuned.

    Parameters
    ----------
    settings
        With the number of epochs.
    model
        As `build_model` returns it.
    output
        What it returns, as `choose_output` finds it.
    cycle
        The step of the whole training at which the last cycle of the learning rate begins.
    steps
        Batches an epoch.

    Returns
    -------
    settings : TrainSettings
        With the number of frozen epochs: it stays when training is made longer.
    phases : list of Phase
    said : list of str
        A line about them where there is more to say than their one length.
    """
    epochs, rate = settings.epochs, settings.learning_rate
    assert epochs != "auto"
    if not settings.tunes:
        return settings, [Phase(0, epochs, rate, output, cycle=cycle)], []
    base = next(layer for layer in model.layers if isinstance(layer, load_keras().Model))
    chosen = settings.frozen_epochs
    frozen = max(1, round(_FROZEN * epochs)) if chosen == "auto" else min(chosen, epochs)
    phases = [Phase(0, frozen, rate, output, base, frozen=True)]
    said = f"pretrained: {counted(frozen, 'epoch')} with the weights of {settings.model} frozen, learning rate {rate:g}"
    if frozen < epochs:
        phases.append(Phase(frozen, epochs, _TUNING * rate, output, base, cycle=max(0, cycle - frozen * steps)))
        said += f", then {counted(epochs - frozen, 'epoch')} of all weights, {_TUNING * rate:g}"
    return (
        replace(settings, frozen_epochs=frozen),
        phases,
        [f"{said}; batch normalization stays frozen (--frozen-epochs decides otherwise)"],
    )


def _layers(model: Any) -> Iterator[Any]:
    for layer in model.layers:
        yield from _layers(layer) if hasattr(layer, "layers") else (layer,)
