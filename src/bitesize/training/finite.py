"""A loss that becomes NaN or infinite ends training: the rows are named, and nothing that it has spoiled is saved."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitesize.engine.loader import Loader
from bitesize.errors import NotFinite
from bitesize.outputs.finite import Findings, look_back
from bitesize.training.backend import load_keras

Place = tuple[int, int]  # an epoch of Keras, and batches of it that are trained


class Lost(Exception):
    """A loss, or weights, became NaN or infinite; ends ``fit``, and never reaches the user.

    Parameters
    ----------
    what
        For people, such as ``"the loss is nan"``.
    first, last
        The last place where all was well, and that where it is not.
    validating
        Whether it is a loss of validation.
    """

    def __init__(self, what: str, first: Place, last: Place, validating: bool = False) -> None:
        super().__init__(what)
        self.what, self.first, self.last, self.validating = what, first, last, validating


def not_finite(arrays: Mapping[str, NDArray[Any]]) -> str | None:
    """Return the name of the first array that no training can go on with, or None.

    Weights must be finite. What is not trained, such as averages, may hold infinite values by design, and no NaN.
    """
    for name, array in arrays.items():
        kind = name.partition("/")[0]
        if kind not in ("weights", "state") or array.dtype.kind in "biu":
            continue
        values = array.astype(np.float32, copy=False) if array.dtype.kind != "f" else array  # kinds of ml_dtypes
        if not np.isfinite(values).all() if kind == "weights" else np.isnan(values).any():
            return name
    return None


def watch_loss(first: Place) -> Any:
    """Make a callback that raises `Lost`: it looks at the loss of each batch, and at weights and all losses after each epoch.

    Keras gives it the loss as a number of the host, which it has made for any callback: looking at it costs nothing more.

    Parameters
    ----------
    first
        Where training starts.
    """
    keras = load_keras()

    class LossWatch(keras.callbacks.Callback):  # type: ignore[misc, name-defined]
        """Raises once a loss is not finite."""

        good = first

        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            """Note the epoch."""
            self.good = max(self.good, (epoch, 0))

        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            """Look at the mean loss of the epoch so far, which stays NaN or infinite once it is."""
            here = (self.good[0], batch + 1)
            loss = (logs or {}).get("loss")
            if loss is not None and not math.isfinite(loss):
                raise Lost(f"the loss is {float(loss):g}", self.good, here)
            self.good = here

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            """Look at weights, which the last batch may have spoiled, and at the losses of validation."""
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


def explain(lost: Lost, model: Any, loader: Loader, start: tuple[Place, Place], val_loader: Loader | None) -> NotFinite:
    """Look for the rows that a loss is NaN or infinite by, and return the error that names them, or says that there are none.

    Parameters
    ----------
    lost
        What ended training.
    model
        What was trained.
    loader, val_loader
        Of training, and of validation where it is one of ours.
    start
        A place of Keras, and the place of the loader that is the same.
    """
    when = f"{lost.what} after epoch {lost.last[0] + 1}"
    if lost.validating:
        if val_loader is None:
            return NotFinite(f"{when}, measured on the validation data. {_ways(model, None)}")
        found = look_back(val_loader, (0, 0), len(val_loader))
        data = "the validation data"
    else:
        (epoch, batch), place = start
        steps = len(loader)
        before = (lost.first[0] - epoch) * steps + lost.first[1] - batch
        count = max(1, (lost.last[0] - lost.first[0]) * steps + lost.last[1] - lost.first[1])
        found = look_back(loader, loader.steps.advance(place, before), count)
        which = f"batch {lost.last[1]}" if count == 1 else f"batches {lost.last[1] - count + 1} to {lost.last[1]}"
        when, data = f"{lost.what} after {which} of epoch {lost.last[0] + 1}", "the batch"
    if found.odd:
        return NotFinite(
            f"{when}: rows of {data} have values that are NaN or infinite: {found}. Mend these rows or leave them out",
            tuple(each.row for each in found.odd),
        )
    return NotFinite(f"{when}, and all values of {data} are finite: training diverged. {_ways(model, found)}")


def _ways(model: Any, found: Findings | None) -> str:
    try:
        rate = f" (it was {float(load_keras().ops.convert_to_numpy(model.optimizer.learning_rate)):g})"
    except (AttributeError, TypeError, ValueError):  # an optimizer of the user's need not have one
        rate = ""
    values = f", which went from {found.least:g} to {found.greatest:g}" if found is not None else ""
    return f"Try a lower learning rate{rate}, or scale the values{values}"
