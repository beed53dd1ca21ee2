"""One training that consists of several fits of Keras.

Keras reads the number of batches once per ``fit``, so an interrupted epoch is finished by a separate ``fit``. Callbacks see
one training: ``on_train_begin`` and ``on_train_end`` are called once, and batches are numbered as without interruption.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

from bitesize.training.backend import load_keras
from bitesize.training.history import keras_history

_log = logging.getLogger("bitesize")
_CallbackList: Any = object  # the base class of sessions is Keras's, which is loaded with the first session


class PartialEpoch(NamedTuple):
    """An epoch of Keras, its number of trained batches, and its number of batches."""

    epoch: int
    batch: int
    steps: int


class ResumedTraining(Protocol):
    """The part of a checkpoint that a session needs: what it has restored, and the state that Keras resets with each fit."""

    @property
    def partial_epoch(self) -> PartialEpoch | None:
        """Epoch that the restored training was in."""
        ...

    def restore_reset_state(self) -> None:
        """Restore the state that Keras resets at the start of a fit."""
        ...

    def keep_reset_state(self) -> None:
        """Keep the state that the next fit resets."""
        ...

    def begin_validation(self) -> None:
        """Record that all batches of an epoch are trained."""
        ...


def make_session(
    callbacks: Sequence[Any],
    checkpoint: ResumedTraining | None,
    model: Any,
    epochs: int,
    verbose: int | str,
    steps: int | None = None,
) -> Any:
    """Return a list of callbacks that treats several fits of Keras as one training.

    Parameters
    ----------
    callbacks
        Callbacks of the training, with the checkpoint, if any, as the last.
    checkpoint
        The checkpoint among them, or None.
    model, epochs, verbose
        As in ``fit`` of Keras.
    steps
        Number of batches in an epoch, if it is known.
    """

    class KerasSession(_Session, load_keras().callbacks.CallbackList):  # type: ignore[misc]
        """Session of the Keras that is loaded."""

    params = {"epochs": epochs, "steps": steps, "verbose": verbose}
    if not any(isinstance(callback, load_keras().callbacks.History) for callback in callbacks):
        callbacks = [*callbacks, keras_history()]
    return KerasSession(list(callbacks), checkpoint, add_history=True, add_progbar=verbose != 0, model=model, **params)


class _Session(_CallbackList):  # type: ignore[misc]
    """List of callbacks with one start and one end of training, and batch numbers within the whole epoch.

    Attributes
    ----------
    checkpoint : ResumedTraining or None
    offset : int
        Batches of the epoch that were trained before this fit.
    last_fit : bool
        Whether training ends with this fit.
    ended : bool
        Whether ``on_train_end`` was called.
    weights : list or None
        Weights at the end of a fit, if the optimizer replaces them by their averages.
    """

    model: Any
    params: dict[str, Any]

    def __init__(self, callbacks: list[Any], checkpoint: ResumedTraining | None, **settings: Any) -> None:
        self.checkpoint = checkpoint
        self.offset = 0
        self.last_fit = self.ended = False
        self.weights: list[Any] | None = None
        self._started = False
        self._epoch_start = 0.0
        super().__init__(callbacks, **settings)

    def on_train_begin(self, logs: Any = None) -> None:
        """Call the callbacks the first time only."""
        if not self._started:
            self._started = True
            super().on_train_begin(logs)

    def on_train_end(self, logs: Any = None) -> None:
        """Call the callbacks the last time only."""
        if self.last_fit and not self.ended:
            self.ended = True
            super().on_train_end(logs)

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Restore the state of callbacks before they are called."""
        self._epoch_start = time.perf_counter()
        if self.checkpoint is not None:
            self.checkpoint.restore_reset_state()
        super().on_epoch_begin(epoch, logs)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Keep the weights that Keras replaces by their averages, if training has not ended."""
        super().on_epoch_end(epoch, logs)
        figures = ", ".join(f"{name} {float(value):.4g}" for name, value in (logs or {}).items())
        seconds = time.perf_counter() - self._epoch_start
        _log.info("trained epoch %d of %d in %.2f s: %s", epoch + 1, self.params["epochs"], seconds, figures)
        if not self.last_fit and getattr(self.model.optimizer, "use_ema", False):
            copy = load_keras().ops.copy
            self.weights = [copy(variable.value) for variable in self.model.trainable_variables]

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        """Number the batch in the whole epoch."""
        super().on_train_batch_begin(batch + self.offset, logs)

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Number the batch in the whole epoch."""
        super().on_train_batch_end(batch + self.offset, logs)


def finish_epoch(session: Any, data: Any, arguments: dict[str, Any]) -> None:
    """Finish the epoch of the session's checkpoint, without a call of ``on_train_end``.

    Parameters
    ----------
    session
        Result of `make_session`.
    data
        Result of `to_keras`.
    arguments
        Further arguments of ``fit`` of Keras.
    """
    model, (epoch, batch, steps) = session.model, session.checkpoint.partial_epoch
    session.offset = batch
    session.set_params(session.params | {"steps": steps})
    model.test_on_batch(*data.zeros())  # TensorFlow creates metrics with the first batch: too late to restore them
    if batch < steps:
        with data.shortened(steps - batch):
            settings = {"shuffle": False, **arguments, "steps_per_epoch": None}
            model.fit(data, initial_epoch=epoch, epochs=epoch + 1, callbacks=session, verbose=0, **settings)
        if session.weights is not None:  # Keras replaces weights by their averages at the end of each fit
            for variable, value in zip(model.trainable_variables, session.weights, strict=True):
                variable.assign(value)
    else:
        _validate(session, epoch, arguments)
    session.offset = 0
    session.checkpoint.keep_reset_state()


def _validate(session: Any, epoch: int, arguments: dict[str, Any]) -> None:
    """Finish an epoch whose batches were all trained: Keras has no fit without a batch."""
    model = session.model
    model.stop_training = False
    session.on_train_begin()
    session.on_epoch_begin(epoch)
    session.checkpoint.begin_validation()
    if load_keras().backend.backend() == "torch":
        import torch

        torch.empty((), dtype=torch.int64).random_()  # random numbers that Keras uses on this backend after the last batch
    logs = {name: float(value) for name, value in model.get_metrics_result().items()}
    if arguments.get("validation_data") is not None:
        names = {"validation_batch_size": "batch_size", "validation_steps": "steps"}
        results = model.evaluate(
            arguments["validation_data"],
            callbacks=session,
            verbose=0,
            return_dict=True,
            **{name: arguments[key] for key, name in names.items() if key in arguments},
        )
        logs |= {f"val_{name}": float(value) for name, value in results.items()}
    session.on_epoch_end(epoch, logs)
