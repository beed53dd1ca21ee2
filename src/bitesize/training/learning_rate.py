"""The learning rate of a run: it rises, then falls to 0; where training is made longer, once more over what was added."""

from __future__ import annotations

from typing import Any

from bitesize.training.backend import load_keras
from bitesize.training.models import outputs_probabilities

# The share of a cycle's steps in which the learning rate rises from 0; then it falls along a cosine to 0.
_WARM_UP = 0.1
_WEIGHT_DECAY = 0.05


def compile_model(model: Any, peak: float, total: int, start: int = 0) -> None:
    """Choose optimizer, loss and metrics, unless the user's function has done so.

    Parameters
    ----------
    model
        Of Keras.
    peak
        The learning rate at its highest.
    total
        Steps of the whole training.
    start
        The step at which the last cycle of the learning rate begins: 0, or where training was made longer.
    """
    if getattr(model, "compiled", False):
        return
    keras = load_keras()
    model.compile(
        optimizer=keras.optimizers.AdamW(schedule(peak, total, start), weight_decay=_WEIGHT_DECAY, clipnorm=1.0),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=not outputs_probabilities(model)),
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
