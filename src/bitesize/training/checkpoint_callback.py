"""The Keras callback that counts trained batches, and saves the state of training when a checkpoint is due."""

from __future__ import annotations

from collections.abc import Mapping
from sys import _getframe
from typing import Any

from bitesize.engine.loader import Loader, driver_of
from bitesize.errors import BadSetting, NotFinite
from bitesize.training import capture
from bitesize.training.batch_counter import BatchCounter, SaveInterval
from bitesize.training.checkpoint_store import CheckpointStore
from bitesize.training.finite import not_finite
from bitesize.training.keras_session import PartialEpoch
from bitesize.training.meeting import Meeting
from bitesize.training.ranks import OneProcess, Ranks
from bitesize.training.shared_store import SharedStore


class CheckpointCallback:
    """The hooks of `Checkpoint` that Keras calls.

    Keras is loaded only for training, so this is not a subclass of its callback.

    Parameters
    ----------
    store
        Folder of the checkpoints.
    interval
        When a checkpoint is due.
    extra
        Data that JSON can hold, to save with each checkpoint.
    """

    def __init__(self, store: CheckpointStore, interval: SaveInterval, extra: Mapping[str, Any] | None) -> None:
        self.extra: Mapping[str, Any] = extra or {}
        self.saves_initial_state = False
        self.model: Any = None
        self.params: Mapping[str, Any] = {}
        self._store, self._interval, self._counter = store, interval, BatchCounter()
        self._callback_list: Any = None  # Keras's list of callbacks, with this callback
        self._loader: Loader | None = None
        self._fitting = False
        self._restored: tuple[dict[str, Any], capture.Arrays] | None = None  # to restore at the start of the next epoch
        self._random: tuple[dict[str, Any], capture.Arrays] | None = None
        self._epoch_end: capture.Arrays | None = None  # weights at the end of an epoch, until all callbacks have been called
        self._metrics: capture.Arrays = {}  # state of an epoch whose validation is running
        self._random_before: tuple[dict[str, Any], capture.Arrays] = (
            {},
            {},
        )  # of the random generators, before this validation
        self._stop: BaseException | None = None
        self._ranks: Ranks = OneProcess()
        self._meeting = Meeting(self._ranks)

    def share(self, ranks: Ranks) -> None:
        """Share the checkpoints with other ranks: rank 0 writes and reads them.

        Parameters
        ----------
        ranks
            The processes that train together.

        Examples
        --------
        >>> import tempfile, bitesize as bs
        >>> from bitesize.training.ranks import OneProcess
        >>> bs.keras.Checkpoint(tempfile.mkdtemp()).share(OneProcess())  # one process shares with no other
        """
        if ranks.several and not self._ranks.several:
            self._ranks, self._meeting, self._store = ranks, Meeting(ranks), SharedStore(self._store, ranks)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("on_"):
            return _do_nothing
        raise AttributeError(name)

    def set_model(self, model: Any) -> None:
        """Set the model, and find the other callbacks."""
        self.model = model
        owner = _getframe(1).f_locals.get("self")  # Keras gives a callback no reference to the others
        self._callback_list = owner if hasattr(owner, "callbacks") else None

    def set_params(self, params: Mapping[str, Any]) -> None:
        """Set the number of epochs and steps."""
        self.params = params

    def on_train_begin(self, logs: Any = None) -> None:
        """Start to count."""
        if self._loader is None:
            raise BadSetting("call checkpoint.restore(model, loader) before fit: it resumes a training, or starts a new one")
        if not self.partial_epoch:
            self._counter.done = 0  # left by an epoch that an error has ended: Keras starts it again
        self._fitting = True
        self._interval.restart(self._counter.trained)

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Restore what Keras has reset, and save a finished epoch."""
        self.restore_reset_state()
        counter = self._counter
        if self._epoch_end is not None or self.saves_initial_state:
            counter.epoch, counter.done, self.saves_initial_state = epoch, 0, False
            self._save(0)
        if epoch != counter.epoch or not counter.done:
            counter.epoch, counter.done, self._metrics = epoch, 0, {}

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        """Restore the random generators if training resumes within an epoch."""
        self._restore_random()

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Count the batch, and save if a checkpoint is due."""
        steps = self.params.get("steps") or batch + 1
        self._counter.done = min(batch + 1, steps)  # the last execution of several steps may have fewer
        ends = self._counter.done == steps
        if ends:
            self.begin_validation()
        stop, due = self._agreed(now=ends)
        if stop or (due and not ends):
            self._save(self._counter.done)
        self._end_if(stop)

    def on_test_batch_end(self, batch: int, logs: Any = None) -> None:
        """Stop within a validation, too, if requested."""
        if self._stop is not None and self._fitting and self._metrics and not self._ranks.several:
            self._save(self._counter.done, self._metrics)
            self._end_if(True)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Copy the model; it is saved after all callbacks have been called for the epoch."""
        self._counter.end_epoch(epoch)
        self._metrics = {}
        last = self._counter.epoch == self.params.get("epochs") or getattr(self.model, "stop_training", False)
        stop, due = self._agreed(now=True)
        if due or last or stop:
            self._epoch_end = capture.capture_variables(self.model)

    def on_train_end(self, logs: Any = None) -> None:
        """Save the final state, and wait until it is on disk."""
        if self._epoch_end is not None:
            self._save(0)
        self._fitting = False
        self._store.close()

    def forget_stop(self) -> None:
        """Withdraw the request of `Checkpoint.stop`, if training has ended otherwise."""
        self._stop = None

    def begin_validation(self) -> None:
        """Record that all batches of an epoch are trained, while the metrics still have the sums of training.

        A checkpoint within the validation repeats all of it: so it has the random generators of now, of which PyTorch's is used
        by each reader of data.
        """
        self._metrics = capture.capture_metrics(self.model)
        arrays: capture.Arrays = {}
        self._random_before = capture.capture_random(arrays), arrays

    @property
    def partial_epoch(self) -> PartialEpoch | None:
        """Epoch that the restored training was in, or whose validation was pending."""
        state = self._restored[0] if self._restored is not None else {"batch": 0}
        return PartialEpoch(state["epoch"], state["batch"], state["steps"]) if state["batch"] else None

    def restore_reset_state(self) -> None:
        """Restore metrics and callbacks, once after `Checkpoint.restore`: Keras resets them before the start of an epoch."""
        if self._restored is None:
            return
        state, arrays = self._restored
        self._restored = None
        capture.restore_callbacks(self._others, state["callbacks"], arrays)
        self._random = state["random"], arrays
        if not 0 < state["batch"] < state["steps"]:
            self._restore_random()
        if state["batch"]:
            capture.restore_metrics(self.model, self._own_part(state, arrays))

    def keep_reset_state(self) -> None:
        """Keep the state that the next ``fit`` changes at its start: callbacks, which Keras resets, and random generators."""
        arrays: capture.Arrays = {}
        callbacks = capture.capture_callbacks(self._others, arrays)
        random = capture.capture_random(arrays)
        self._restored = {"callbacks": callbacks, "random": random, "batch": 0, "stopped": False}, arrays

    def _restore_random(self) -> None:
        """Restore the random generators at the moment at which they were captured: iterators and metrics use random numbers, too."""
        if self._random is not None:
            capture.restore_random(*self._random)
            self._random = None

    @property
    def _others(self) -> list[Any]:
        if self._callback_list is None:
            return []
        return [callback for callback in self._callback_list.callbacks if callback is not self]

    def _save(self, batch: int, metrics: capture.Arrays | None = None) -> None:
        assert self._loader is not None
        self._store.wait()  # before the model is copied again
        arrays = self._epoch_end or capture.capture_variables(self.model)
        self._epoch_end = None
        if name := not_finite(arrays):
            raise NotFinite(
                f"{name} of the model has values that are NaN or infinite: training diverged, and no checkpoint is saved. Try a lower "
                f"learning rate; the last good checkpoint is {self._store.newest_path}"
            )
        arrays |= self._metrics_of_all(batch) if metrics is None else metrics
        random, random_arrays = self._random_before
        if metrics is None:
            random = capture.capture_random(random_arrays := {})
        arrays |= random_arrays
        state = {
            "loader": driver_of(self._loader).position.cursor(self._counter.position(self._loader, batch)).as_dict(),
            "epoch": self._counter.epoch,
            "batch": batch,
            "steps": self.params.get("steps"),
            "epochs": self.params.get("epochs"),
            "stopped": bool(getattr(self.model, "stop_training", False)),
            "random": random,
            "callbacks": capture.capture_callbacks(self._others, arrays),
            "extra": dict(self.extra),
        }
        self._interval.restart(self._counter.trained)
        self._store.put(state, arrays)

    def _metrics_of_all(self, batch: int) -> capture.Arrays:
        """Copy the running sums of the metrics, over all ranks. At the end of an epoch they have them already."""
        found = capture.capture_metrics(self.model)
        if not 0 < batch < (self.params.get("steps") or batch + 1):
            return found
        return dict(zip(found, self._ranks.sum(list(found.values())), strict=True))

    def _own_part(self, state: Mapping[str, Any], arrays: capture.Arrays) -> capture.Arrays:
        """Return arrays whose running sums of metrics, within an epoch, are this rank's part."""
        names = [name for name in arrays if name.startswith("metrics/")]
        if state["batch"] >= state["steps"]:
            return arrays
        return arrays | dict(zip(names, self._ranks.part_of_sums([arrays[name] for name in names]), strict=True))

    def _agreed(self, *, now: bool) -> tuple[bool, bool]:
        """Return whether to stop, and whether a checkpoint is due, as all ranks agree."""
        trained = self._counter.trained
        due = self._interval.is_due(trained)
        stop, timed = self._meeting.agree(trained, self._stop is not None, due and self._interval.by_time, now=now)
        return stop, timed or (due and not self._interval.by_time)

    def _end_if(self, stop: bool) -> None:
        """End training with the error of `stop`, when the checkpoint is on disk."""
        if stop:
            self._store.wait()
            error, self._stop, self._fitting = self._stop, None, False
            raise error or KeyboardInterrupt()


def _do_nothing(*arguments: Any, **named: Any) -> None:
    """Do nothing, as the hooks of Keras's callback."""
