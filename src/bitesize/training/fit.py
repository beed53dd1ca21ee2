"""``fit`` that resumes from a checkpoint, also within an epoch.

Keras reads the number of batches once per ``fit``, so an interrupted epoch is finished by a separate ``fit``. Callbacks see
one training: ``on_train_begin`` and ``on_train_end`` are called once, and batches are numbered as without interruption.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from typing import Any

from bitesize.checks import is_whole
from bitesize.engine.loader import Loader
from bitesize.errors import BadSetting, without_frames
from bitesize.outputs.keras import to_keras
from bitesize.training.backend import load_keras
from bitesize.training.checkpoint import Checkpoint
from bitesize.training.finite import Lost, explain, watch_loss
from bitesize.training.user_model import refuse_unless_model

_log = logging.getLogger("bitesize")
# The end of a phase of training (exclusive), and the function that starts it.
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
    """Train a Keras model on a loader; with a checkpoint, resume from it.

    Parameters
    ----------
    model
        Compiled Keras model.
    loader
        The data: a `Loader`, or the result of `to_keras` for a loader.
    epochs
        Total number of epochs, including those trained before the checkpoint. More epochs than at the time of the checkpoint
        extend the training; if `EarlyStopping` had ended it, its patience restarts.
    validation_data
        A `Loader`, or validation data for ``fit`` of Keras.
    checkpoint
        Checkpoint to resume from and to save to. Without it, training starts from the model's current weights.
    resume
        If False, start a new training even if there are checkpoints; they are removed after its first epoch.
    callbacks
        Keras callbacks. A checkpoint includes the state of Keras's `EarlyStopping`, `ReduceLROnPlateau` and
        `ModelCheckpoint`, and of all callbacks with ``state_dict()`` and ``load_state_dict(state)``.
    class_weight, verbose
        As in ``fit`` of Keras.
    inputs, targets
        As in `to_keras`.

    Returns
    -------
    keras.callbacks.History
        History of the whole training, including epochs before an interruption.

    Raises
    ------
    BadSetting, BadFile, WrongModel
        As in `Checkpoint.restore`; or if the model is not a Keras model.
    NotFinite
        If a training or validation loss, or weights, become NaN or infinite. The message names the rows with NaN or infinite
        values, or reports that training diverged. Earlier checkpoints stay, and nothing is saved afterwards.

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
    if not is_whole(epochs, least=1):
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
    """Train in phases, and resume from a checkpoint.

    Parameters
    ----------
    model, data, checkpoint, resume, callbacks, verbose
        As in `fit`; ``data`` is a result of `to_keras`.
    phases
        For each phase its end (exclusive), and a function that starts it: it freezes layers and compiles the model.
    arguments
        Further arguments of ``fit`` of Keras.

    Returns
    -------
    keras.callbacks.History
    """
    epochs, now = phases[-1][0], 0
    if checkpoint is not None and resume and len(phases) > 1 and (place := checkpoint.place()) is not None:
        # The end of a phase was saved before the next phase started.
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
        without_frames(lost)  # they hold batches whose slots will be refilled
        try:
            error = explain(lost, model, data.loader, start, val_loader)
            if checkpoint is not None and lost.validating and error.rows:
                checkpoint.save()  # the epoch is trained: only its validation is pending
        finally:
            if checkpoint is not None:
                checkpoint.close()
    else:
        return model.history
    raise error


def _train(everything: Any, data: Any, first: int, phases: Sequence[Phase], arguments: dict[str, Any]) -> None:
    """Finish the epoch of a checkpoint, and train the remaining epochs; the first phase has started."""
    model, checkpoint = everything.model, everything.checkpoint
    if checkpoint is not None and checkpoint.fresh:
        checkpoint.saves_begin = (
            True  # so that an early interruption resumes this training, not an earlier one in the folder
        )
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
    """Start the only phase of a model that is compiled already."""


def finish(everything: Any, data: Any, arguments: dict[str, Any]) -> None:
    """Finish the epoch of the checkpoint among these callbacks, without a call of ``on_train_end``."""
    model, (epoch, batch, steps) = everything.model, everything.checkpoint.broken
    everything.offset = batch
    everything.set_params(everything.params | {"steps": steps})
    model.test_on_batch(*data.zeros())  # TensorFlow creates metrics with the first batch: too late to restore them
    if batch < steps:
        with data.shortened(steps - batch):
            settings = {"shuffle": False, **arguments, "steps_per_epoch": None}
            model.fit(data, initial_epoch=epoch, epochs=epoch + 1, callbacks=everything, verbose=0, **settings)
        if everything.weights is not None:  # Keras replaces weights by their averages at the end of each fit
            for variable, value in zip(model.trainable_variables, everything.weights, strict=True):
                variable.assign(value)
    else:
        _validate(everything, epoch, arguments)
    everything.offset = 0
    everything.checkpoint.keep()


def _validate(everything: Any, epoch: int, arguments: dict[str, Any]) -> None:
    """Finish an epoch whose batches were all trained: Keras has no fit without a batch."""
    model = everything.model
    model.stop_training = False
    everything.on_train_begin()
    everything.on_epoch_begin(epoch)
    everything.checkpoint.validates()
    if load_keras().backend.backend() == "torch":
        import torch

        torch.empty((), dtype=torch.int64).random_()  # random numbers that Keras uses on this backend after the last batch
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
    """Return a list of callbacks that treats several fits of Keras as one training."""
    keras = load_keras()

    class Continued(keras.callbacks.CallbackList):  # type: ignore[misc, name-defined]
        """List of callbacks with one start and one end of training, and batch numbers within the whole epoch."""

        checkpoint = next((each for each in callbacks if isinstance(each, Checkpoint)), None)
        offset = 0
        begun = ends = ended = False
        weights: list[Any] | None = None
        began = 0.0

        def on_train_begin(self, logs: Any = None) -> None:
            """Call the callbacks the first time only."""
            if not self.begun:
                self.begun = True
                super().on_train_begin(logs)

        def on_train_end(self, logs: Any = None) -> None:
            """Call the callbacks the last time only."""
            if self.ends and not self.ended:
                self.ended = True
                super().on_train_end(logs)

        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            """Restore the state of callbacks before they are called."""
            self.began = time.perf_counter()
            if self.checkpoint is not None:
                self.checkpoint.put_back()
            super().on_epoch_begin(epoch, logs)

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            """Keep the weights that Keras replaces by their averages, if training has not ended."""
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
