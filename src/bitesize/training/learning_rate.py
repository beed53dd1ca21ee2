"""The learning rate of a run: it rises, then falls to 0; where training is made longer, once more over what was added."""

from __future__ import annotations

from typing import Any

from bitesize.training.backend import load_keras
from bitesize.training.interrupted import InterruptedRun
from bitesize.training.model_output import Output
from bitesize.training.settings import TrainSettings

# The share of a cycle's steps in which the learning rate rises from 0; then it falls along a cosine to 0.
_WARM_UP = 0.1
_WEIGHT_DECAY = 0.05


def compile_model(model: Any, output: Output, peak: float, total: int, start: int = 0) -> None:
    """Choose optimizer, loss and metrics.

    Parameters
    ----------
    model
        Of Keras.
    output
        What it returns, as `choose_output` finds it.
    peak
        The learning rate at its highest.
    total
        Steps of the whole training, or of one of its phases.
    start
        The step of these at which the last cycle of the learning rate begins: 0, or where training was made longer.
    """
    keras = load_keras()
    model.compile(
        optimizer=keras.optimizers.AdamW(schedule(peak, total, start), weight_decay=_WEIGHT_DECAY, clipnorm=1.0),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=output == "logits"),
        metrics=["accuracy"],
    )


def schedule(peak: float, total: int, start: int = 0) -> Any:
    """Return the learning rate by step: from ``start`` on it rises from 0 over a tenth of the steps, then falls to 0 at ``total``.

    Parameters
    ----------
    peak, total, start
        As `compile_model` takes them.

    Returns
    -------
    keras.optimizers.schedules.CosineDecay
        One of Keras's own, so that a saved model loads without this package. It counts from step 0; for a later start, the line on which it
        rises is drawn back to step 0, below 0 where no step is left to be trained.

    Examples
    --------
    >>> rate = schedule(1e-3, total=400, start=200)
    >>> [round(float(rate(step)), 5) for step in (200, 210, 220, 310, 400)]
    [0.0, 0.0005, 0.001, 0.0005, 0.0]
    """
    keras = load_keras()
    steps = total - start
    rising = int(_WARM_UP * steps)
    return keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=-peak * start / rising if rising else 0.0,
        decay_steps=max(1, steps - rising),
        warmup_target=peak,
        warmup_steps=start + rising,
    )


def choose_cycle(broken: InterruptedRun | None, model: Any, settings: TrainSettings, steps: int) -> tuple[int, list[str]]:
    """Choose the step at which the last cycle of the learning rate begins.

    Parameters
    ----------
    broken
        What is continued; None for training from the beginning.
    model
        As it was built.
    settings
        With the number of epochs.
    steps
        Batches an epoch.

    Returns
    -------
    start : int
        The step, counted from the beginning of the whole training.
    said : list of str
        What to say where a cycle begins now.
    """
    if broken is None or not broken.extends:
        return (0 if broken is None else broken.extra.get("learning_rate_from_step", 0)), []
    assert settings.epochs != "auto"
    here = broken.standing
    start = here.epoch * steps + here.batch
    said = [f"epochs: {settings.epochs}, were {broken.extra['settings']['epochs']}; {here.epoch} are trained"]
    if getattr(model, "compiled", False):
        said.append("learning rate: that of the model's own optimizer, continued")
    else:
        left = settings.epochs * steps - start
        said.append(
            f"learning rate: rises again to {settings.learning_rate:g} over a tenth of the {left:,} steps that are left, then falls to 0"
        )
    if here.stopped:
        said.append("early stopping: keeps the best epoch so far, and counts its patience from the beginning")
    return start, said
