"""Checkpoint: a Keras callback that saves the full state of training, and resumes at the exact batch."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from sys import _getframe
from typing import TYPE_CHECKING, Any, NamedTuple

from bitesize.engine.loader import Loader
from bitesize.errors import BadSetting, NotFinite
from bitesize.outputs.keras import to_keras
from bitesize.training import capture
from bitesize.training.checkpoint_store import CheckpointStore, check_intervals
from bitesize.training.finite import not_finite

if TYPE_CHECKING:
    import os

# At most this many minutes are lost. Saving is cheap: a copy of the model, and a write in the background.
_MINUTES = 5.0


class PartialEpoch(NamedTuple):
    """An epoch of Keras, its number of trained batches, and its number of batches."""

    epoch: int
    batch: int
    steps: int


class Checkpoint:
    """Keras callback that saves the full state of training, so that a resumed training equals an uninterrupted one.

    It saves weights, optimizer, metrics, random generators, history, the state of the other callbacks, and the number of
    trained batches, which it counts itself. Checkpoints are written atomically, and every byte is covered by a checksum.
    Put the callback last in the list of callbacks.

    `bitesize.fit` does the following steps itself. In your own script::

        e = checkpoint.restore(model, loader)        # -1 if there is no checkpoint yet
        checkpoint.finish_epoch(model, data)         # the rest of an interrupted epoch, with the arguments of fit
        model.fit(data, initial_epoch=e + 1, epochs=10, callbacks=[checkpoint])

    Parameters
    ----------
    folder
        Folder of the checkpoints. It is created if it does not exist.
    every_batches
        Save after this number of trained batches.
    every_minutes
        Save at the first batch after this number of minutes. Default: 5, if ``every_batches`` is not given.
    keep
        Number of most recent checkpoints to keep, at least 1.
    extra
        Data that JSON can hold, to save with each checkpoint.

    Raises
    ------
    BadSetting
        If both intervals are given, or an interval is not above 0.

    Notes
    -----
    The model is copied immediately and written in the background; the next checkpoint waits for that write. If the disk is
    full, a warning is logged once, and training continues.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        *,
        every_batches: int | None = None,
        every_minutes: float | None = None,
        keep: int = 3,
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        check_intervals(every_batches, every_minutes, keep)
        self._shelf = CheckpointStore(Path(folder), keep)
        self.extra: Mapping[str, Any] = extra or {}
        self.saves_begin = False  # whether the initial state is saved, too
        self._batches = every_batches
        self._seconds = None if every_batches else 60 * (every_minutes or _MINUTES)
        self.model: Any = None
        self.params: Mapping[str, Any] = {}
        self._beside: Any = None  # Keras's list of callbacks, with this callback
        self._loader: Loader | None = None
        self._start = (0, 0)  # position in the data at which counting started
        self._before = self._epoch = self._done = 0  # batches before this epoch; Keras's epoch; batches of it
        self._fitting = False
        self._restored: tuple[dict[str, Any], capture.Arrays] | None = None  # to restore at the start of the next epoch
        self._random: tuple[dict[str, Any], capture.Arrays] | None = None
        self._ended: capture.Arrays | None = None  # weights at the end of an epoch, until all callbacks have been called
        self._metrics: capture.Arrays = {}  # state of an epoch whose validation is running
        self._since = (0, time.monotonic())  # time of the last checkpoint: batches, and the clock
        self._stop: BaseException | None = None

    # --- for a script --------------------------------------------------------------------------------------------------

    def restore(self, model: Any, loader: Any) -> int:
        """Restore the newest intact checkpoint, and the position of the loader.

        Parameters
        ----------
        model
            The model, compiled as when the checkpoint was saved.
        loader
            A `Loader` of the same data, order and batch size, or the result of `bitesize.to_keras` for it.
            `Loader.load_state_dict` describes what may differ.

        Returns
        -------
        int
            Index of the last finished epoch of Keras, including the epoch that `finish_epoch` will finish; -1 if there is
            no checkpoint.

        Raises
        ------
        BadFile
            If there are checkpoints, but none is intact. A warning is logged for each damaged checkpoint that is skipped.
        WrongModel
            If the model does not match the checkpoint.
        BadSetting
            If the data or the order of the loader differ.
        """
        self.begin(model, loader)
        loader = self._loader
        self._shelf.replace_existing(replaces=False)
        found = self._shelf.newest()
        if found is None:
            return -1
        state, arrays = found
        loader.load_state_dict(state["loader"])
        capture.restore_variables(model, arrays)
        self._restored = found
        self._start = (state["loader"]["epoch"], state["loader"]["position"])
        self._epoch, self._done = state["epoch"], state["batch"]
        self._before = -self._done  # the trained batches of this epoch are before the position at which counting starts
        self.extra = state["extra"] | dict(self.extra)
        return self._epoch if self.broken else self._epoch - 1

    def begin(self, model: Any, loader: Any) -> int:
        """Start a new training; existing checkpoints in the folder are removed after the first epoch.

        Returns
        -------
        int
            -1, as `restore` without a checkpoint.
        """
        loader = self._loader = self._build(model, loader)
        self._start = (loader.epoch, 0)
        self._before = self._epoch = self._done = 0
        self._restored = None
        self._shelf.replace_existing(replaces=True)
        return -1

    def peek(self) -> dict[str, Any] | None:
        """Return the ``extra`` data of the newest checkpoint, or None if there is no checkpoint."""
        found = self._shelf.newest()
        return None if found is None else found[0]["extra"]

    def place(self) -> tuple[int, int] | None:
        """Return the position of the newest checkpoint: epoch, and its trained batches; None if there is no checkpoint."""
        found = self._shelf.newest()
        return None if found is None else (found[0]["epoch"], found[0]["batch"])

    @property
    def newest_path(self) -> Path | None:
        """Path of the newest checkpoint."""
        return self._shelf.newest_path

    @property
    def waits(self) -> bool:
        """Return whether `stop` was called and saving has not started yet."""
        return self._stop is not None and not self._shelf.writes

    @property
    def fresh(self) -> bool:
        """Return whether nothing was restored."""
        return self._restored is None

    @property
    def broken(self) -> PartialEpoch | None:
        """Epoch that the restored training was in, or whose validation was pending."""
        state = self._restored[0] if self._restored is not None else {"batch": 0}
        return PartialEpoch(state["epoch"], state["batch"], state["steps"]) if state["batch"] else None

    @property
    def stopped(self) -> bool:
        """Return whether a callback had stopped the restored training early."""
        return self._restored is not None and bool(self._restored[0]["stopped"])

    def extend(self, epochs: int) -> None:
        """Continue a restored training that had stopped early, if more epochs are planned than when it was saved."""
        if self._restored is not None and epochs > (self._restored[0].get("epochs") or epochs):
            capture.extend(self._restored[0])

    def close(self) -> None:
        """Wait until the current checkpoint is saved, and end the saving thread."""
        self._shelf.close()

    def finish_epoch(self, model: Any, data: Any, **arguments: Any) -> None:
        """Train the rest of an interrupted epoch, validate, and call the callbacks; do nothing if no epoch is interrupted.

        Parameters
        ----------
        model, data
            As for `restore` and ``fit``; ``data`` is a result of `bitesize.to_keras`.
        arguments
            Further arguments of ``fit``, as in the interrupted call: ``validation_data``, ``callbacks``, ``verbose`` ...
        """
        from bitesize.training.fit import continued, finish

        if self.broken:
            callbacks = [each for each in arguments.pop("callbacks", None) or () if each is not self]
            everything = continued([*callbacks, self], model, self.broken.epoch + 1, arguments.pop("verbose", "auto"))
            finish(everything, data, arguments)

    def stop(self, error: BaseException | None = None) -> None:
        """Request a checkpoint, and the end of training, after the current batch; safe to call from signal handlers.

        Parameters
        ----------
        error
            Exception that ``fit`` then raises. Default: KeyboardInterrupt.
        """
        self._stop = error or KeyboardInterrupt()

    def validates(self) -> None:
        """Record that all batches of an epoch are trained, while the metrics still have the sums of training."""
        self._metrics = capture.capture_metrics(self.model)

    def save(self) -> None:
        """Save a checkpoint now, and return when it is on disk; within ``fit``, after a batch."""
        self._save(self._done, self._metrics or None)
        self.wait()

    def wait(self) -> None:
        """Wait until the current checkpoint is on disk."""
        self._shelf.wait()

    # --- what Keras calls

    def __getattr__(self, name: str) -> Any:
        # Keras is loaded only for training, so this is not a subclass of its callback; unused hooks do nothing.
        if name.startswith("on_"):
            return _nothing
        raise AttributeError(name)

    def set_model(self, model: Any) -> None:
        """Set the model, and find the other callbacks."""
        self.model = model
        owner = _getframe(1).f_locals.get("self")  # Keras gives a callback no reference to the others
        self._beside = owner if hasattr(owner, "callbacks") else None

    def set_params(self, params: Mapping[str, Any]) -> None:
        """Set the number of epochs and steps."""
        self.params = params

    def on_train_begin(self, logs: Any = None) -> None:
        """Start to count."""
        if self._loader is None:
            raise BadSetting("call checkpoint.restore(model, loader) before fit: it resumes a training, or starts a new one")
        if not self.broken:
            self._done = 0  # left by an epoch that an error has ended: Keras starts it again
        self._fitting = True
        self._since = (self._trained, time.monotonic())

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Restore what Keras has reset, and save a finished epoch."""
        self.put_back()
        if self._ended is not None or self.saves_begin:
            self._epoch, self._done, self.saves_begin = epoch, 0, False
            self._save(0)
        if epoch != self._epoch or not self._done:
            self._epoch, self._done, self._metrics = epoch, 0, {}

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        """Restore the random generators if training resumes within an epoch."""
        self._put_random()

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Count the batch, and save if a checkpoint is due."""
        steps = self.params.get("steps") or batch + 1
        self._done = min(batch + 1, steps)  # the last execution of several steps may have fewer
        ends = self._done == steps
        if ends:
            self.validates()
        if self._stop is not None or (self._due and not ends):
            self._save(self._done)
        self._stop_if_asked()

    def on_test_batch_end(self, batch: int, logs: Any = None) -> None:
        """Stop within a validation, too, if requested."""
        if self._stop is not None and self._fitting and self._metrics:
            self._save(self._done, self._metrics)
            self._stop_if_asked()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Copy the model; it is saved after all callbacks have been called for the epoch."""
        self._before += self._done
        self._done, self._metrics = 0, {}
        self._epoch = epoch + 1
        last = self._epoch == self.params.get("epochs") or getattr(self.model, "stop_training", False)
        if self._due or last or self._stop is not None:
            self._ended = capture.capture_variables(self.model)

    def on_train_end(self, logs: Any = None) -> None:
        """Save the final state, and wait until it is on disk."""
        if self._ended is not None:
            self._save(0)
        self._fitting = False
        self._shelf.close()

    def put_back(self) -> None:
        """Restore metrics and callbacks, once after `restore`: Keras resets them before the start of an epoch."""
        if self._restored is None:
            return
        state, arrays = self._restored
        self._restored = None
        capture.restore_callbacks(self._others, state["callbacks"], arrays)
        self._random = state["random"], arrays
        if not 0 < state["batch"] < state["steps"]:
            self._put_random()
        if state["batch"]:
            capture.restore_metrics(self.model, arrays)

    def _put_random(self) -> None:
        """Restore the random generators at the moment at which they were captured: iterators and metrics use random numbers, too."""
        if self._random is not None:
            capture.restore_random(*self._random)
            self._random = None

    @property
    def _others(self) -> list[Any]:
        return [] if self._beside is None else [each for each in self._beside.callbacks if each is not self]

    @property
    def _trained(self) -> int:
        return self._before + self._done

    @property
    def _due(self) -> bool:
        batches, clock = self._since
        if self._batches is not None:
            return self._trained - batches >= self._batches
        return time.monotonic() - clock >= (self._seconds or 0)

    def keep(self) -> None:
        """Keep the state that the next ``fit`` changes at its start: callbacks, which Keras resets, and random generators."""
        arrays: capture.Arrays = {}
        callbacks = capture.capture_callbacks(self._others, arrays)
        random = capture.capture_random(arrays)
        self._restored = {"callbacks": callbacks, "random": random, "batch": 0, "stopped": False}, arrays

    def _build(self, model: Any, loader: Any) -> Loader:
        """Create the variables that a checkpoint contains, and return the loader."""
        if not getattr(model, "compiled", False):
            raise BadSetting("compile the model before restoring a checkpoint: the checkpoint contains its optimizer")
        data = to_keras(loader) if isinstance(loader, Loader) else loader
        if not model.built:
            model.test_on_batch(*data.zeros())
        if not model.optimizer.built:
            model.optimizer.build(model.trainable_variables)
        found: Loader = data.loader
        return found

    def _save(self, batch: int, metrics: capture.Arrays | None = None) -> None:
        assert self._loader is not None
        self._shelf.wait()  # before the model is copied again
        arrays = self._ended or capture.capture_variables(self.model)
        self._ended = None
        if name := not_finite(arrays):
            raise NotFinite(
                f"{name} of the model has values that are NaN or infinite: training diverged, and no checkpoint is saved. Try a lower "
                f"learning rate; the last good checkpoint is {self.newest_path}"
            )
        arrays |= capture.capture_metrics(self.model) if metrics is None else metrics
        place = self._loader.steps.advance(self._start, self._trained)
        if batch and not place[1]:  # all batches of an epoch are trained, and its end is still to come
            place = (place[0] - 1, len(self._loader) * self._loader.batch_size)
        state = {
            "loader": self._loader.cursor(place).as_dict(),
            "epoch": self._epoch,
            "batch": batch,
            "steps": self.params.get("steps"),
            "epochs": self.params.get("epochs"),
            "stopped": bool(getattr(self.model, "stop_training", False)),
            "random": capture.capture_random(arrays),
            "callbacks": capture.capture_callbacks(self._others, arrays),
            "extra": dict(self.extra),
        }
        self._since = (self._trained, time.monotonic())
        self._shelf.put(state, arrays)

    def _stop_if_asked(self) -> None:
        if self._stop is not None:
            self.wait()
            error, self._stop, self._fitting = self._stop, None, False
            raise error


def _nothing(*arguments: Any, **named: Any) -> None:
    """Do nothing, as the hooks of Keras's callback."""
