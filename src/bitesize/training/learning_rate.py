"""Learning rate of a run: it rises, then falls to 0; if training is extended, it repeats this over the added steps."""

from __future__ import annotations

from typing import Any

from bitesize.training.backend import load_keras
from bitesize.training.interrupted import InterruptedRun
from bitesize.training.settings import TrainSettings
from bitesize.training.tasks.base import Output, Task

# Share of a cycle's steps in which the learning rate rises from 0; then it falls along a cosine to 0.
_WARM_UP = 0.1
_WEIGHT_DECAY = 0.05


def compile_model(model: Any, task: Task, output: Output, peak: float, total: int, start: int = 0) -> None:
    """Compile a model with an optimizer, a loss and metrics.

    Parameters
    ----------
    model
        Keras model.
    task
        What the model learns: it chooses loss and metrics.
    output
        Type of its output, from `choose_output`.
    peak
        Highest learning rate.
    total
        Number of steps of the training, or of one of its phases.
    start
        Step at which the last cycle of the learning rate starts: 0, or the step at which training was extended.
    """
    keras = load_keras()
    model.compile(
        optimizer=keras.optimizers.AdamW(schedule(peak, total, start), weight_decay=_WEIGHT_DECAY, clipnorm=1.0),
        loss=task.keras_loss_of(output),
        metrics=task.metrics(output),
    )


def schedule(peak: float, total: int, start: int = 0) -> Any:
    """Return a schedule that rises from 0 at ``start`` over a tenth of the steps, then falls to 0 at ``total``.

    Parameters
    ----------
    peak, total, start
        As in `compile_model`.

    Returns
    -------
    keras.optimizers.schedules.CosineDecay
        A schedule of Keras, so that a saved model loads without this package. It counts from step 0; for a later start, the
        rising line is extended back to step 0, with values below 0 at steps that are already trained.

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


def choose_cycle(resumed: InterruptedRun | None, model: Any, settings: TrainSettings, steps: int) -> tuple[int, list[str]]:
    """Choose the step at which the last cycle of the learning rate starts.

    Parameters
    ----------
    resumed
        Run to resume; None to train from scratch.
    model
        The built model.
    settings
        Settings with the number of epochs.
    steps
        Batches per epoch.

    Returns
    -------
    start : int
        Step, counted from the start of the whole training.
    said : list of str
        Lines to print if a cycle starts now.
    """
    if resumed is None or not resumed.extends:
        return (0 if resumed is None else resumed.extra.get("learning_rate_from_step", 0)), []
    assert settings.epochs != "auto"
    checkpoint = resumed.checkpoint
    start = checkpoint.epoch * steps + checkpoint.batch
    said = [f"epochs: {settings.epochs} instead of {resumed.extra['settings']['epochs']}; {checkpoint.epoch} are trained"]
    if getattr(model, "compiled", False):
        said.append("learning rate: continued from the model's own optimizer")
    else:
        left = settings.epochs * steps - start
        said.append(
            f"learning rate: rises again to {settings.learning_rate:g} over a tenth of the {left:,} remaining steps, then falls to 0"
        )
    if checkpoint.stopped:
        said.append("early stopping: keeps the best epoch so far, and restarts its patience")
    return start, said
