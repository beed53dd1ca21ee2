"""``fit`` that goes on where a checkpoint stands, within an epoch too.

Keras reads the number of batches once a ``fit``, so a broken epoch is finished by a ``fit`` of its own. All callbacks see
one training: each is told once of its begin and its end, and batches are numbered as if nothing had been broken.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from typing import Any

from bitesize.engine.loader import Loader
from bitesize.errors import BadSetting, without_frames
from bitesize.outputs.keras import to_keras
from bitesize.training.backend import load_keras
from bitesize.training.checkpoint import Checkpoint
from bitesize.training.finite import Lost, explain, watch_loss
from bitesize.training.user_model import refuse_unless_model

_log = logging.getLogger("bitesize")
# The epoch that a phase of training ends before, and what begins it.
Phase = tuple[int, Callable[[], None]]


def fit(
    model: Any,
    loader: Any,
    *,
    epochs: int,
    validation_data: Any = None,
    checkpoint: Checkpoint | None = None,
    resume: bool = True,
    callbacks: Sequence[Any] = (),
    class_weight: dict[int, float] | None = None,
    verbose: int | str = "auto",
    inputs: str | Sequence[str] | None = None,
    targets: str | Sequence[str] | None = None,
) -> Any:
    """Train a Keras model on a loader; with a checkpoint, from where it stands.

    Parameters
    ----------
    model
        Compiled.
    loader
        The data: a `Loader`, or what `to_keras` made of one.
    epochs
        How many in all, those included that a checkpoint has behind it. More than there were to be when it was saved train longer; where
        `EarlyStopping` had ended that training, it counts its patience from the beginning.
    validation_data
        A `Loader`, or what ``fit`` of Keras takes.
    checkpoint
        Where training stands; without, it begins anew.
    resume
        False to begin anew although there are checkpoints; they are removed once this training has an epoch done.
    callbacks
        Keras's own and yours. What they remember is saved with a checkpoint: of Keras's `EarlyStopping`,
        `ReduceLROnPlateau` and `ModelCheckpoint`, and of all that have ``state_dict()`` and ``load_state_dict(state)``.
    class_weight, verbose
        As in ``fit`` of Keras.
    inputs, targets
        As in `to_keras`.

    Returns
    -------
    keras.callbacks.History
        Of the whole training, epochs before a break included.

    Raises
    ------
    BadSetting, BadFile, WrongModel
        As `Checkpoint.restore` says; or if the model is no Keras model.
    NotFinite
        If the loss of a batch or of validation, or weights, become NaN or infinite. It names the rows whose values are, or says that training
        diverged. What was saved before stays, and nothing is saved afterwards.

    Examples
    --------
    >>> import tempfile
    >>> import keras, numpy as np, bitesize as bs
    >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    >>> model.compile(optimizer="sgd", loss="mse")
    >>> folder = tempfile.mkdtemp()
    >>> for epochs in (1, 3):
    ...     with bs.Loader(bs.open(np.ones((8, 3)), np.ones(8)), batch_size=4, memory="16 MiB") as loader:
    ...         checkpoint = bs.Checkpoint(folder, every_batches=1)
    ...         history = bs.fit(model, loader, epochs=epochs, checkpoint=checkpoint, verbose=0)
    >>> history.epoch
    [0, 1, 2]
    """
    if isinstance(epochs, bool) or not isinstance(epochs, int) or epochs < 1:
        raise BadSetting(f"epochs must be a whole number of at least 1, not {epochs!r}")
    refuse_unless_model(model, "the model")
    data = to_keras(loader, inputs=inputs, targets=targets) if isinstance(loader, Loader) else loader
    if isinstance(validation_data, Loader):
        validation_data = to_keras(validation_data, inputs=inputs, targets=targets)
    return fit_phases(
        model,
        data,
        [(epochs, _stay)],
        checkpoint=checkpoint,
        resume=resume,
        callbacks=callbacks,
        verbose=verbose,
        validation_data=validation_data,
        class_weight=class_weight,
    )


def fit_phases(
    model: Any,
    data: Any,
    phases: Sequence[Phase],
    *,
    checkpoint: Checkpoint | None,
    resume: bool,
    callbacks: Sequence[Any],
    verbose: int | str = 0,
    **arguments: Any,
) -> Any:
    """Train in phases, from where a checkpoint stands.

    Parameters
    ----------
    model, data, checkpoint, resume, callbacks, verbose
        As `fit` has them; ``data`` of `to_keras`.
    phases
        For each the epoch that it ends before, and what begins it: a call that freezes layers and compiles the model.
    arguments
        Further ones of ``fit`` of Keras.

    Returns
    -------
    keras.callbacks.History
    """
    epochs, now = phases[-1][0], 0
    if checkpoint is not None and resume and len(phases) > 1 and (place := checkpoint.place()) is not None:
        # The end of a phase was saved before the next one began.
        now = next(i for i, (end, _) in enumerate(phases) if place <= (end, 0) or i == len(phases) - 1)
    phases[now][1]()
    first = 0
    if checkpoint is not None:
        first = 1 + (checkpoint.restore if resume else checkpoint.begin)(model, data)
        checkpoint.extend(epochs)
    begins = (first, 0)
    if checkpoint is not None and checkpoint.broken:
        begins = (checkpoint.broken.epoch, checkpoint.broken.batch)
    start = begins, data.place
    watched = [watch_loss(begins), *callbacks, *([checkpoint] if checkpoint else [])]
    everything = continued(watched, model, epochs, verbose, len(data))
    try:
        _train(everything, data, first, phases[now:], arguments)
    except Lost as lost:
        val_loader = getattr(arguments.get("validation_data"), "loader", None)
        without_frames(lost)  # which hold batches that are to be filled with others
        try:
            error = explain(lost, model, data.loader, start, val_loader)
            if checkpoint is not None and lost.validating and error.rows:
                checkpoint.save()  # the epoch is trained: only its validation is yet to come
        finally:
            if checkpoint is not None:
                checkpoint.close()
    else:
        return model.history
    raise error


def _train(everything: Any, data: Any, first: int, phases: Sequence[Phase], arguments: dict[str, Any]) -> None:
    """Finish the epoch that a checkpoint stands in, and train the others; the first phase has begun."""
    model, checkpoint = everything.model, everything.checkpoint
    if checkpoint is not None and checkpoint.fresh:
        checkpoint.saves_begin = True  # so that an early break goes on with this training, whatever the folder had before
    stopped = checkpoint is not None and checkpoint.stopped
    if checkpoint is not None and checkpoint.broken:
        finish(everything, data, arguments)
        stopped = bool(model.stop_training)
    epochs = phases[-1][0]
    for number, (end, begin) in enumerate(phases):
        if stopped:
            break
        if number:
            begin()
        if first < end:
            everything.ends = end == epochs
            model.fit(data, initial_epoch=first, epochs=end, callbacks=everything, shuffle=False, verbose=0, **arguments)
            first, stopped = end, bool(model.stop_training)
            if checkpoint is not None and not everything.ends and not stopped:
                checkpoint.keep()
    if not everything.ended:
        everything.ends = True
        everything.on_train_begin()
        if checkpoint is not None:
            checkpoint.put_back()
        everything.on_train_end()


def _stay() -> None:
    """Begin the only phase of a model that is compiled already."""


def finish(everything: Any, data: Any, arguments: dict[str, Any]) -> None:
    """Finish the epoch that the checkpoint among these callbacks stands in; they are not told that training ends."""
    model, (epoch, batch, steps) = everything.model, everything.checkpoint.broken
    everything.offset = batch
    everything.set_params(everything.params | {"steps": steps})
    model.test_on_batch(*data.zeros())  # TensorFlow makes metrics with the first batch: too late to set them
    if batch < steps:
        with data.shortened(steps - batch):
            settings = {"shuffle": False, **arguments, "steps_per_epoch": None}
            model.fit(data, initial_epoch=epoch, epochs=epoch + 1, callbacks=everything, verbose=0, **settings)
        if everything.weights is not None:  # Keras ends each fit by putting averages in the place of weights
            for variable, value in zip(model.trainable_variables, everything.weights, strict=True):
                variable.assign(value)
    else:
        _validate(everything, epoch, arguments)
    everything.offset = 0
    everything.checkpoint.keep()


def _validate(everything: Any, epoch: int, arguments: dict[str, Any]) -> None:
    """Do what is left of an epoch whose batches were all trained: Keras has no fit without a batch."""
    model = everything.model
    model.stop_training = False
    everything.on_train_begin()
    everything.on_epoch_begin(epoch)
    everything.checkpoint.validates()
    if load_keras().backend.backend() == "torch":
        import torch

        torch.empty((), dtype=torch.int64).random_()  # what Keras draws on this backend behind the last batch
    logs = {name: float(value) for name, value in model.get_metrics_result().items()}
    if arguments.get("validation_data") is not None:
        names = {"validation_batch_size": "batch_size", "validation_steps": "steps"}
        found = model.evaluate(
            arguments["validation_data"],
            callbacks=everything,
            verbose=0,
            return_dict=True,
            **{name: arguments[key] for key, name in names.items() if key in arguments},
        )
        logs |= {f"val_{name}": float(value) for name, value in found.items()}
    everything.on_epoch_end(epoch, logs)


def continued(callbacks: Sequence[Any], model: Any, epochs: int, verbose: int | str, steps: int | None = None) -> Any:
    """Make a list of callbacks that takes several fits of Keras for one training."""
    keras = load_keras()

    class Continued(keras.callbacks.CallbackList):  # type: ignore[misc, name-defined]
        """Tells its callbacks of one begin and one end, and of batches by their number in the whole epoch."""

        checkpoint = next((each for each in callbacks if isinstance(each, Checkpoint)), None)
        offset = 0
        begun = ends = ended = False
        weights: list[Any] | None = None
        began = 0.0

        def on_train_begin(self, logs: Any = None) -> None:
            """Pass it on the first time."""
            if not self.begun:
                self.begun = True
                super().on_train_begin(logs)

        def on_train_end(self, logs: Any = None) -> None:
            """Pass it on the last time."""
            if self.ends and not self.ended:
                self.ended = True
                super().on_train_end(logs)

        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            """Let callbacks have what they remember before they hear of it."""
            self.began = time.perf_counter()
            if self.checkpoint is not None:
                self.checkpoint.put_back()
            super().on_epoch_begin(epoch, logs)

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            """Keep weights that Keras is about to replace by their averages, where that is not yet the end."""
            super().on_epoch_end(epoch, logs)
            figures = ", ".join(f"{name} {float(value):.4g}" for name, value in (logs or {}).items())
            _log.info("trained epoch %d of %d in %.2f s: %s", epoch + 1, epochs, time.perf_counter() - self.began, figures)
            if not self.ends and getattr(self.model.optimizer, "use_ema", False):
                self.weights = [keras.ops.copy(variable.value) for variable in self.model.trainable_variables]

        def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
            """Number it in the whole epoch."""
            super().on_train_batch_begin(batch + self.offset, logs)

        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            """Number it in the whole epoch."""
            super().on_train_batch_end(batch + self.offset, logs)

    return Continued(
        list(callbacks), add_history=True, add_progbar=verbose != 0, model=model, epochs=epochs, steps=steps, verbose=verbose
    )
