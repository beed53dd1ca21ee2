"""Train a prepared job into a run's folder."""

from __future__ import annotations

import time
from functools import partial
from typing import Any

from bitesize.errors import NotFinite
from bitesize.memory.sizes import six_digits
from bitesize.training.backend import load_keras
from bitesize.training.early_stopping import early_stopping
from bitesize.training.fit import fit_phases
from bitesize.training.prepare import Job
from bitesize.training.progress_listener import ProgressListener
from bitesize.training.record import now
from bitesize.training.run_log.recorder import RunLog


def train(job: Job, listener: ProgressListener) -> dict[str, Any]:
    """Train, resuming from the job's checkpoint if any; save the model and the history after each epoch.

    Returns
    -------
    dict
        ``epochs`` (one dict per epoch), ``rows_per_second``, ``peak_bytes`` and ``budget`` in bytes, ``seconds``, and
        ``largest_class`` of the validation data with its share of the rows.
    """
    with RunLog(job, listener, job.ranks) as log:
        return _train(job, log)


def _train(job: Job, log: RunLog) -> dict[str, Any]:
    settings, steps = job.settings, len(job.loader)
    log.planned(job)
    began = time.perf_counter()
    records = Records(job, log)
    callbacks = [_callback(records)]
    stopping = None
    if settings.early_stopping:
        assert settings.early_stopping != "auto"
        stopping = early_stopping(settings.early_stopping, frozen=sum(each.end for each in job.phases if each.frozen))
        callbacks.append(stopping)
    try:
        fit_phases(
            job.model,
            job.data,
            [(phase.end, partial(phase.begin, job.model, steps)) for phase in job.phases],
            validation_data=job.val_data,
            checkpoint=job.checkpoint,
            resume=job.resuming,
            callbacks=callbacks,
            class_weight=job.class_weight,
        )
    except NotFinite as error:
        if error.rows and job.checkpoint is None:
            records.keep_trained(job.model)
        raise
    if stopping is not None:
        with job.ranks.alone():
            job.run.save_model(job.model)  # weights of the best epoch
    bad = records.bad_rows()
    result = {
        "run": job.config["run"],
        "planned_epochs": settings.epochs,
        "epochs": records.epochs,
        "rows_per_second": round(records.trained / max(records.seconds, 1e-9), 1),
        "peak_bytes": job.budget.peak,
        "budget": job.budget.total,
        "seconds": round(time.perf_counter() - began + records.earlier, 3),
        "bad_rows": len(bad),
        "best_epoch": None if stopping is None else int(stopping.best_epoch) + 1,
        **job.task.summary(job.split.val),
    }
    log.finish(result)
    job.run.write_config(job.config | {"ended": now()}, job.classes)
    job.run.write_summary(result)
    return result


class Records:
    """Record of the epochs of a run; saved with each checkpoint.

    Attributes
    ----------
    epochs : list of dict
        One dict per epoch.
    trained, seconds
        Number of trained rows, and the training time without validation.
    earlier
        Seconds of the run before it was resumed.
    """

    def __init__(self, job: Job, listener: ProgressListener) -> None:
        self._job, self._listener = job, listener
        self._began = self._last = self._made = time.perf_counter()
        self._batches = 0
        self._noted = False  # whether config.json has this session
        self.epochs: list[dict[str, Any]] = []
        self._bad: list[list[Any]] = []
        self.trained, self.seconds, self.earlier = 0, 0.0, 0.0

    def bad_rows(self) -> list[list[Any]]:
        """Return the skipped rows: data, row, path, reason."""
        loaders = (("training", self._job.loader), ("validation", self._job.val_loader))
        found = [[name, *bad] for name, part in loaders if part is not None for bad in part.bad]
        return self._bad + [each for each in found if each not in self._bad]

    def state_dict(self) -> dict[str, Any]:
        """Return the state that a resumed run needs."""
        return {
            "epochs": self.epochs,
            "bad": self.bad_rows(),
            "trained": self.trained,
            "seconds": self.seconds,
            "earlier": self.earlier + time.perf_counter() - self._made,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the state of an earlier run."""
        self.epochs, self._bad = list(state["epochs"]), list(state["bad"])
        self.trained, self.seconds, self.earlier = state["trained"], state["seconds"], state["earlier"]

    def begin_epoch(self) -> None:
        """Start the timer."""
        self._began = self._last = time.perf_counter()
        self._batches = 0

    def batch(self, epoch: int, batch: int, logs: dict[str, float]) -> None:
        """Record a batch (from 0)."""
        self._batches += 1
        self._last = time.perf_counter()  # validation does not count
        self._listener.batch(epoch=epoch, batch=batch + 1, logs=self._job.task.in_units(logs))

    def end_epoch(self, model: Any, epoch: int, logs: dict[str, float]) -> None:
        """Record an epoch, and save the model."""
        job = self._job
        figures = {name: six_digits(float(value)) for name, value in job.task.in_units(logs).items()}
        rows = min(job.loader.order.length, self._batches * job.loader.batch_size)
        seconds = self._last - self._began
        self.trained, self.seconds = self.trained + rows, self.seconds + seconds
        line = {"epoch": epoch + 1, **figures, "seconds": round(time.perf_counter() - self._began, 3)}
        line["rows_per_second"] = round(rows / max(seconds, 1e-9), 1)
        self.epochs.append(line)
        self._bad = _without_repeats(job.ranks.collect(self.bad_rows()))
        self._save(model, first=len(self.epochs) == 1)
        job.run.write_history(self.epochs)
        job.run.write_bad([tuple(row) for row in self.bad_rows()])
        self._listener.epoch(line)

    def keep_trained(self, model: Any) -> None:
        """Save the model of an epoch whose validation has failed; do nothing if the epoch was not trained to its end."""
        if self._batches == len(self._job.loader):
            self._save(model, first=not self.epochs)

    def _save(self, model: Any, *, first: bool) -> None:
        job = self._job
        if first:
            with job.ranks.alone():
                job.run.begin(model, job.config, job.classes, split=job.split, keeps_checkpoints=job.checkpoint is not None)
        else:
            with job.ranks.alone():
                job.run.save_model(model)
            if not self._noted:
                job.run.write_config(job.config, job.classes)
        self._noted = True


def _without_repeats(of_ranks: list[list[list[Any]]]) -> list[list[Any]]:
    """Return the skipped rows of all ranks: rows that several ranks have read once."""
    found: list[list[Any]] = []
    for each in (bad for of_rank in of_ranks for bad in of_rank):
        if each not in found:
            found.append(each)
    return found


def _callback(records: Records) -> Any:
    """Return a Keras callback that updates the records."""
    keras = load_keras()

    class Recorder(keras.callbacks.Callback):  # type: ignore[misc, name-defined]
        """Callback that forwards Keras's hooks to the records."""

        state_dict, load_state_dict = records.state_dict, records.load_state_dict

        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            """Pass it on."""
            records.begin_epoch()

        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            """Pass it on."""
            records.batch(len(records.epochs), batch, dict(logs or {}))

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            """Pass it on."""
            records.end_epoch(self.model, epoch, dict(logs or {}))

    return Recorder()
