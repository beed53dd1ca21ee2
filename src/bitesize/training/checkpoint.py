"""Checkpoint: a Keras callback that saves where training stands, to the batch, and goes on from there."""

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

# At most so much work is lost, and saving takes a small part of the time: a copy of the model, and a write beside training.
_MINUTES = 5.0


class PartialEpoch(NamedTuple):
    """An epoch of Keras, how many of its batches are trained, and how many it has."""

    epoch: int
    batch: int
    steps: int


class Checkpoint:
    """A Keras callback that saves everything training consists of, so that it goes on as if it had never stopped.

    Weights, optimizer, metrics, random generators, history, what the other callbacks remember, and how many batches were
    trained, which the callback counts itself. A checkpoint is whole or not there, and every byte of it has a checksum. Put
    it last among the callbacks.

    `bitesize.fit` does all of what follows by itself. In a script of your own::

        e = checkpoint.restore(model, loader)        # -1 where there is nothing yet
        checkpoint.finish_epoch(model, data)         # the rest of a broken epoch, with the arguments of fit
        model.fit(data, initial_epoch=e + 1, epochs=10, callbacks=[checkpoint])

    Parameters
    ----------
    folder
        Where checkpoints lie; it is made where it does not exist.
    every_batches
        Save after so many trained batches.
    every_minutes
        Save after so many minutes, at the next batch; 5 where neither is given.
    keep
        How many checkpoints stay, at least 1: the last ones.
    extra
        What JSON can hold, to be saved with each.

    Raises
    ------
    BadSetting
        If both intervals are given, or one is not above 0.

    Notes
    -----
    The copy of the model is made at once; it is written in the background, and the next checkpoint waits for that. A disk
    that is full is one warning, and training goes on.
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
        self.saves_begin = False  # whether the very begin is saved, too
        self._batches = every_batches
        self._seconds = None if every_batches else 60 * (every_minutes or _MINUTES)
        self.model: Any = None
        self.params: Mapping[str, Any] = {}
        self._beside: Any = None  # Keras's list of callbacks, this one among them
        self._loader: Loader | None = None
        self._start = (0, 0)  # the place in the data at which counting began
        self._before = self._epoch = self._done = 0  # batches before this epoch; Keras's epoch; batches of it
        self._fitting = False
        self._restored: tuple[dict[str, Any], capture.Arrays] | None = None  # to be put back at the next epoch's begin
        self._random: tuple[dict[str, Any], capture.Arrays] | None = None
        self._ended: capture.Arrays | None = None  # weights at the end of an epoch, until all callbacks know of it
        self._metrics: capture.Arrays = {}  # of an epoch whose validation is running
        self._since = (0, time.monotonic())  # when the last was saved: batches, and the clock
        self._stop: BaseException | None = None

    # --- for a script --------------------------------------------------------------------------------------------------

    def restore(self, model: Any, loader: Any) -> int:
        """Put the newest whole checkpoint back, and the loader to where it stood.

        Parameters
        ----------
        model
            Compiled, as it was.
        loader
            A `Loader` of the same data, order and batch size, or what `bitesize.to_keras` made of it;
            `Loader.load_state_dict` says what may differ.

        Returns
        -------
        int
            The last epoch of Keras that is done, or will be after `finish_epoch`; -1 where nothing was saved.

        Raises
        ------
        BadFile
            If there are checkpoints and none is whole. Of each that is damaged and passed over, a warning tells.
        WrongModel
            If the model is another one.
        BadSetting
            If the loader's data or order are others.
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
        self._before = -self._done  # what was trained of this epoch lies before the place where counting begins
        self.extra = state["extra"] | dict(self.extra)
        return self._epoch if self.broken else self._epoch - 1

    def begin(self, model: Any, loader: Any) -> int:
        """Begin to count; checkpoints that are in the folder go once an epoch is done.

        Returns
        -------
        int
            -1, as `restore` where nothing was saved.
        """
        loader = self._loader = self._build(model, loader)
        self._start = (loader.epoch, 0)
        self._before = self._epoch = self._done = 0
        self._restored = None
        self._shelf.replace_existing(replaces=True)
        return -1

    def peek(self) -> dict[str, Any] | None:
        """Read what was given as ``extra`` when the newest checkpoint was saved; None where nothing was saved."""
        found = self._shelf.newest()
        return None if found is None else found[0]["extra"]

    def place(self) -> tuple[int, int] | None:
        """Read where the newest checkpoint stands: epoch, and batches of it that are trained; None where nothing was saved."""
        found = self._shelf.newest()
        return None if found is None else (found[0]["epoch"], found[0]["batch"])

    @property
    def newest_path(self) -> Path | None:
        """Where the last checkpoint is."""
        return self._shelf.newest_path

    @property
    def waits(self) -> bool:
        """Whether `stop` was called and saving has not begun."""
        return self._stop is not None and not self._shelf.writes

    @property
    def fresh(self) -> bool:
        """Whether nothing was restored."""
        return self._restored is None

    @property
    def broken(self) -> PartialEpoch | None:
        """The epoch within which what was restored stands, or before whose validation."""
        state = self._restored[0] if self._restored is not None else {"batch": 0}
        return PartialEpoch(state["epoch"], state["batch"], state["steps"]) if state["batch"] else None

    @property
    def stopped(self) -> bool:
        """Whether training had ended early in what was restored: a callback had asked for it."""
        return self._restored is not None and bool(self._restored[0]["stopped"])

    def extend(self, epochs: int) -> None:
        """Train longer than an early end that was restored, where there are to be more epochs than when it was saved."""
        if self._restored is not None and epochs > (self._restored[0].get("epochs") or epochs):
            capture.extend(self._restored[0])

    def close(self) -> None:
        """Wait for what is being saved, and end the thread that saves."""
        self._shelf.close()

    def finish_epoch(self, model: Any, data: Any, **arguments: Any) -> None:
        """Train what is left of a broken epoch, validate, and tell the callbacks; nothing where none is broken.

        Parameters
        ----------
        model, data
            As `restore` and ``fit`` have them; ``data`` of `bitesize.to_keras`.
        arguments
            Further ones of ``fit``, as in the call that was broken: ``validation_data``, ``callbacks``, ``verbose`` ...
        """
        from bitesize.training.fit import continued, finish

        if self.broken:
            callbacks = [each for each in arguments.pop("callbacks", None) or () if each is not self]
            everything = continued([*callbacks, self], model, self.broken.epoch + 1, arguments.pop("verbose", "auto"))
            finish(everything, data, arguments)

    def stop(self, error: BaseException | None = None) -> None:
        """Ask for a checkpoint after the batch that is under way, and for an end of training there; signal handlers may call it.

        Parameters
        ----------
        error
            What is raised then, out of ``fit``; KeyboardInterrupt by default.
        """
        self._stop = error or KeyboardInterrupt()

    def validates(self) -> None:
        """Note that all batches of an epoch are trained, and the sums of the metrics are still those of training."""
        self._metrics = capture.capture_metrics(self.model)

    def save(self) -> None:
        """Save now, and return when it is on the disk; within ``fit``, after a batch."""
        self._save(self._done, self._metrics or None)
        self.wait()

    def wait(self) -> None:
        """Wait until what is being saved is on the disk."""
        self._shelf.wait()

    # --- what Keras calls

    def __getattr__(self, name: str) -> Any:
        # Keras is loaded only when it trains, so this is no subclass of its callback; hooks without a part in this do nothing.
        if name.startswith("on_"):
            return _nothing
        raise AttributeError(name)

    def set_model(self, model: Any) -> None:
        """Take the model, and note which callbacks stand beside."""
        self.model = model
        owner = _getframe(1).f_locals.get("self")  # Keras does not tell a callback of the others
        self._beside = owner if hasattr(owner, "callbacks") else None

    def set_params(self, params: Mapping[str, Any]) -> None:
        """Take the number of epochs and steps."""
        self.params = params

    def on_train_begin(self, logs: Any = None) -> None:
        """Begin to count."""
        if self._loader is None:
            raise BadSetting("call checkpoint.restore(model, loader) before fit: it goes on, or begins to count")
        if not self.broken:
            self._done = 0  # of an epoch that an error has ended: Keras begins it again
        self._fitting = True
        self._since = (self._trained, time.monotonic())

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Put back what Keras has reset, and save an epoch that is done."""
        self.put_back()
        if self._ended is not None or self.saves_begin:
            self._epoch, self._done, self.saves_begin = epoch, 0, False
            self._save(0)
        if epoch != self._epoch or not self._done:
            self._epoch, self._done, self._metrics = epoch, 0, {}

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        """Set the random generators, where training goes on within an epoch."""
        self._put_random()

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Count, and save when it is time."""
        steps = self.params.get("steps") or batch + 1
        self._done = min(batch + 1, steps)  # the last execution of several steps may have fewer
        ends = self._done == steps
        if ends:
            self.validates()
        if self._stop is not None or (self._due and not ends):
            self._save(self._done)
        self._stop_if_asked()

    def on_test_batch_end(self, batch: int, logs: Any = None) -> None:
        """Stop within a validation too, where that is asked for."""
        if self._stop is not None and self._fitting and self._metrics:
            self._save(self._done, self._metrics)
            self._stop_if_asked()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Copy the model; it is saved once all callbacks know that the epoch is done."""
        self._before += self._done
        self._done, self._metrics = 0, {}
        self._epoch = epoch + 1
        last = self._epoch == self.params.get("epochs") or getattr(self.model, "stop_training", False)
        if self._due or last or self._stop is not None:
            self._ended = capture.capture_variables(self.model)

    def on_train_end(self, logs: Any = None) -> None:
        """Save the end, and wait until it is on the disk."""
        if self._ended is not None:
            self._save(0)
        self._fitting = False
        self._shelf.close()

    def put_back(self) -> None:
        """Give metrics and callbacks what they had, once after `restore`: Keras resets them before an epoch's begin."""
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
        """Set the random generators, at the same moment as they were noted: making iterators and metrics draws numbers, too."""
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
        """Keep what the next ``fit`` disturbs when it begins: callbacks, which Keras resets, and random numbers, which it draws."""
        arrays: capture.Arrays = {}
        callbacks = capture.capture_callbacks(self._others, arrays)
        random = capture.capture_random(arrays)
        self._restored = {"callbacks": callbacks, "random": random, "batch": 0, "stopped": False}, arrays

    def _build(self, model: Any, loader: Any) -> Loader:
        """Make the variables that a checkpoint is of, and give the loader itself."""
        if not getattr(model, "compiled", False):
            raise BadSetting("the model must be compiled before a checkpoint is restored: its optimizer is part of it")
        data = to_keras(loader) if isinstance(loader, Loader) else loader
        if not model.built:
            model.test_on_batch(*data.zeros())
        if not model.optimizer.built:
            model.optimizer.build(model.trainable_variables)
        found: Loader = data.loader
        return found

    def _save(self, batch: int, metrics: capture.Arrays | None = None) -> None:
        assert self._loader is not None
        self._shelf.wait()  # before another copy of the model is made
        arrays = self._ended or capture.capture_variables(self.model)
        self._ended = None
        if name := not_finite(arrays):
            raise NotFinite(
                f"{name} of the model has values that are NaN or infinite: training diverged, and no checkpoint is saved. Try a lower "
                f"learning rate; the last good checkpoint is {self.newest_path}"
            )
        arrays |= capture.capture_metrics(self.model) if metrics is None else metrics
        place = self._loader.steps.advance(self._start, self._trained)
        if batch and not place[1]:  # all of an epoch is trained, and its end is yet to come
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
    """Do nothing, as the hooks of Keras's own callback do."""
