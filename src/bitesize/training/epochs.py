"""Choose the length of training if it is not given: epochs follow from steps, patience from epochs."""

from __future__ import annotations

import math
from dataclasses import replace

from bitesize.memory.sizes import counted
from bitesize.training.settings import TrainSettings

# Steps after which small models on a thousand images stopped improving. A pretrained model needs fewer, and a linear model of
# scikit-learn has little to learn.
_STEPS, _STEPS_SHORT = 1000, 600
# Below 3 epochs, neither a falling learning rate nor a validation loss is meaningful; after 50, the same few rows add little.
_FEWEST, _MOST = 3, 50
# Share of all epochs without a new lowest validation loss: the loss is noisy on few rows, and falls late, with the learning rate.
_PATIENCE, _LEAST_PATIENCE = 1 / 2, 5


def choose_epochs(settings: TrainSettings, batches: int, validates: bool) -> tuple[TrainSettings, list[str]]:
    """Choose the number of epochs and the patience of early stopping, if they are ``"auto"``.

    Parameters
    ----------
    settings
        Settings of the run; ``epochs`` and ``early_stopping`` may be ``"auto"``.
    batches
        Batches per epoch.
    validates
        Whether there is validation data.

    Returns
    -------
    settings : TrainSettings
        Settings with numbers.
    said : list of str
        A line for each choice.
    """
    said = []
    if settings.epochs == "auto":
        steps = _STEPS if settings.weights is None and not settings.model.startswith("sklearn:") else _STEPS_SHORT
        settings = replace(settings, epochs=min(_MOST, max(_FEWEST, math.ceil(steps / batches))))
        assert settings.epochs != "auto"
        each = "1 batch" if batches == 1 else f"{batches:,} batches"
        said.append(f"epochs: {settings.epochs}, for {settings.epochs * batches:,} steps of {each} each; --epochs sets it")
    if settings.early_stopping == "auto":
        patience = max(_LEAST_PATIENCE, math.ceil(_PATIENCE * settings.epochs)) if validates else 0
        settings = replace(settings, early_stopping=patience)
        if patience:
            said.append(
                f"early stopping: after {counted(patience, 'epoch')} without a lower validation loss; the weights of the best epoch are kept "
                "(--early-stopping 0: train all epochs and keep the last)"
            )
    return settings, said
