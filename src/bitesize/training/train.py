"""Training, from a prepared job to a run's folder."""

from __future__ import annotations

import time
from typing import Any, Protocol

import numpy as np

from bitesize.errors import BadSetting
from bitesize.training.backend import load_keras
from bitesize.training.prepare import Job


class Watcher(Protocol):
    """Who is told how training goes; the command line draws its progress from it."""

    def planned(self, job: Job) -> None:
        """Everything is ready; nothing has run."""
        ...

    def batch(self, epoch: int, batch: int, logs: dict[str, float]) -> None:
        """Report that a batch was trained on (from 1)."""
        ...

    def epoch(self, line: dict[str, Any]) -> None:
        """Report that an epoch is done and saved."""
        ...


def fit(job: Job, watcher: Watcher) -> dict[str, Any]:
    """Train; after each epoch the model and the history are saved.

    Returns
    -------
    dict
        ``epochs`` (one dict each), ``rows_per_second``, ``peak_bytes`` and ``budget`` in bytes, ``seconds``.
    """
    keras = load_keras()
    settings, loader = job.settings, job.loader
    watcher.planned(job)
    epochs: list[dict[str, Any]] = []
    began = time.perf_counter()
    trained, training = 0, 0.0  # rows, seconds

    def bad_rows() -> list[tuple[Any, ...]]:
        loaders = (("training", loader), ("validation", job.val_loader))
        return [(name, *bad) for name, part in loaders if part is not None for bad in part.bad]

    class Progress(keras.callbacks.Callback):  # type: ignore[misc, name-defined]
        """Tells the watcher, and saves."""

        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            self.began = time.perf_counter()
            self.seconds = 0.0

        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            self.seconds = time.perf_counter() - self.began  # validation does not count
            watcher.batch(epoch=len(epochs), batch=batch + 1, logs=dict(logs or {}))

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            """Note an epoch."""
            figures = {name: round(float(value), 6) for name, value in (logs or {}).items()}
            rows = min(loader.order.length, len(loader) * loader.batch_size)
            nonlocal trained, training
            trained, training = trained + rows, training + self.seconds
            line = {"epoch": epoch + 1, **figures, "seconds": round(time.perf_counter() - self.began, 3)}
            line["rows_per_second"] = round(rows / max(self.seconds, 1e-9), 1)
            epochs.append(line)
            if len(epochs) == 1:
                job.run.begin(self.model, job.config, job.classes)
            else:
                job.run.save_model(self.model)
            job.run.write_history(epochs)
            job.run.write_bad(bad_rows())
            watcher.epoch(line)

    callbacks = [Progress()]
    stopping = None
    if settings.early_stopping:
        stopping = keras.callbacks.EarlyStopping("val_loss", patience=settings.early_stopping, restore_best_weights=True)
        callbacks.append(stopping)
    job.model.fit(
        job.data,
        validation_data=job.val_data,
        epochs=settings.epochs,
        callbacks=callbacks,
        class_weight=_class_weights(job) if settings.class_weights else None,
        verbose=0,
    )
    if stopping is not None:
        job.run.save_model(job.model)  # the best epoch's weights
    result = {
        "epochs": epochs,
        "rows_per_second": round(trained / max(training, 1e-9), 1),
        "peak_bytes": job.budget.peak,
        "budget": job.budget.total,
        "seconds": round(time.perf_counter() - began, 3),
        "bad_rows": len(bad_rows()),
        "best_epoch": None if stopping is None else int(stopping.best_epoch) + 1,
    }
    job.run.write_summary(result)
    return result


def _class_weights(job: Job) -> dict[int, float]:
    labels = job.train.labels
    assert labels is not None
    counts = np.bincount(labels, minlength=len(job.classes))
    if not counts.all():
        name = job.classes[int(np.argmin(counts))]
        raise BadSetting(f"--class-weights: the class {name!r} has no row to train on")
    return {i: float(len(labels) / (len(counts) * count)) for i, count in enumerate(counts)}
