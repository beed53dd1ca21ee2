"""End training when a loss becomes NaN or infinite: name the rows, and save nothing of the damaged state."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitesize.engine.loader import Loader, driver_of
from bitesize.errors import NotFinite
from bitesize.outputs.finite import Findings, look_back
from bitesize.training.backend import load_keras

EpochBatch = tuple[int, int]  # an epoch of Keras, and its number of trained batches


class Lost(Exception):
    """Internal error that ends ``fit`` when a loss or weights become NaN or infinite; it never reaches the user.

    Parameters
    ----------
    description
        Description, such as ``"the loss is nan"``.
    first, last
        Last position with finite values, and first position without.
    validating
        Whether the loss is a validation loss.
    """

    def __init__(self, description: str, first: EpochBatch, last: EpochBatch, validating: bool = False) -> None:
        super().__init__(description)
        self.description, self.first, self.last, self.validating = description, first, last, validating


def not_finite(arrays: Mapping[str, NDArray[Any]]) -> str | None:
    """Return the name of the first array that makes further training impossible, or None.

    Weights must be finite. Variables that are not trained, such as averages, may be infinite by design, but not NaN.
    """
    for name, array in arrays.items():
        kind = name.partition("/")[0]
        if kind not in ("weights", "state") or array.dtype.kind in "biu":
            continue
        values = array.astype(np.float32, copy=False) if array.dtype.kind != "f" else array  # types of ml_dtypes
        if not np.isfinite(values).all() if kind == "weights" else np.isnan(values).any():
            return name
    return None


def watch_loss(first: EpochBatch) -> Any:
    """Return a callback that raises `Lost`: it checks the loss of each batch, and the weights and all losses after each epoch.

    Keras passes the loss to callbacks as a number on the host, so the check costs nothing extra.

    Parameters
    ----------
    first
        Position at which training starts.
    """
    keras = load_keras()

    class LossWatch(keras.callbacks.Callback):  # type: ignore[misc, name-defined]
        """Callback that raises when a loss is not finite."""

        good = first

        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            """Record the epoch."""
            self.good = max(self.good, (epoch, 0))

        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            """Check the mean loss of the epoch so far, which stays NaN or infinite once it is."""
            here = (self.good[0], batch + 1)
            loss = (logs or {}).get("loss")
            if loss is not None and not math.isfinite(loss):
                raise Lost(f"the loss is {float(loss):g}", self.good, here)
            self.good = here

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            """Check the weights, which the last batch may have damaged, and the validation losses."""
            before = (self.good[0], max(0, self.good[1] - 1))
            if hasattr(self.model, "jax_state_sync"):
                self.model.jax_state_sync()
            for variable in self.model.trainable_variables:
                if not bool(keras.ops.all(keras.ops.isfinite(variable))):
                    raise Lost(f"the weights {variable.path} are NaN or infinite", before, self.good)
            for name, loss in (logs or {}).items():
                if name.endswith("loss") and not math.isfinite(loss):
                    raise Lost(f"{name} is {float(loss):g}", before, self.good, validating=name.startswith("val_"))

    return LossWatch()


def explain(
    lost: Lost, model: Any, loader: Loader, start: tuple[EpochBatch, EpochBatch], val_loader: Loader | None
) -> NotFinite:
    """Find the rows that make a loss NaN or infinite; return an error that names them, or reports divergence.

    Parameters
    ----------
    lost
        Error that ended training.
    model
        The trained model.
    loader, val_loader
        Loader of training; loader of validation, if it is a `Loader`.
    start
        A position in Keras, and the matching position of the loader.
    """
    when = f"{lost.description} after epoch {lost.last[0] + 1}"
    if lost.validating:
        if val_loader is None:
            return NotFinite(f"{when}, measured on the validation data. {_ways(model, None)}")
        findings = look_back(val_loader, (0, 0), len(val_loader))
        data = "the validation data"
    else:
        (epoch, batch), place = start
        steps = len(loader)
        before = (lost.first[0] - epoch) * steps + lost.first[1] - batch
        count = max(1, (lost.last[0] - lost.first[0]) * steps + lost.last[1] - lost.first[1])
        findings = look_back(loader, driver_of(loader).batching.advance(place, before), count)
        which = f"batch {lost.last[1]}" if count == 1 else f"batches {lost.last[1] - count + 1} to {lost.last[1]}"
        when, data = f"{lost.description} after {which} of epoch {lost.last[0] + 1}", "the batch"
    if findings.odd:
        return NotFinite(
            f"{when}: rows of {data} have values that are NaN or infinite: {findings}. Fix or remove these rows",
            tuple(each.row for each in findings.odd),
        )
    return NotFinite(f"{when}, and all values of {data} are finite: training diverged. {_ways(model, findings)}")


def _ways(model: Any, findings: Findings | None) -> str:
    try:
        rate = f" (it was {float(load_keras().ops.convert_to_numpy(model.optimizer.learning_rate)):g})"
    except (AttributeError, TypeError, ValueError):  # a user's optimizer may have no learning rate
        rate = ""
    values = f", which went from {findings.least:g} to {findings.greatest:g}" if findings is not None else ""
    return f"Try a lower learning rate{rate}, or scale the values{values}"
