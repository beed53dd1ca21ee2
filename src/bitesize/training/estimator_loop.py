"""Train a prepared estimator into a run's folder; see `loop` for Keras models."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from bitesize.errors import NotFinite
from bitesize.memory.sizes import six_digits
from bitesize.outputs.finite import refusal
from bitesize.outputs.sklearn import Progress, partial_fit
from bitesize.training.estimator_model import EstimatorModel
from bitesize.training.estimator_prepare import EstimatorJob
from bitesize.training.progress_listener import ProgressListener
from bitesize.training.record import now
from bitesize.training.run_log.recorder import RunLog


def train_estimator(job: EstimatorJob, listener: ProgressListener) -> dict[str, Any]:
    """Train, and save the model and the history after each epoch; return the same as `training.loop.train`."""
    with RunLog(job, listener) as log:
        return _train(job, log)


def _train(job: EstimatorJob, log: RunLog) -> dict[str, Any]:
    log.planned(job)
    began = time.perf_counter()
    epochs: list[dict[str, Any]] = []
    learning = 0.0
    assert job.settings.epochs != "auto"
    for epoch in range(job.settings.epochs):
        begun = time.perf_counter()

        def batch(done: Progress, epoch: int = epoch) -> None:
            log.batch(epoch, done.batch, {})

        partial_fit(job.model, job.loader, epochs=1, callback=batch, classes=np.arange(len(job.classes)))
        seconds = time.perf_counter() - begun
        learning += seconds
        line: dict[str, Any] = {"epoch": epoch + 1}
        if job.val_loader is not None:
            try:
                line |= _validated(job)
            except NotFinite as error:
                if error.rows:  # the epoch is done: the error is in the validation data
                    _save(job, epoch)
                raise
        _refuse_not_finite(job.model, line)
        line["seconds"] = round(time.perf_counter() - begun, 3)
        line["rows_per_second"] = round(job.loader.order.length / max(seconds, 1e-9), 1)
        epochs.append(line)
        _save(job, epoch)
        job.run.write_history(epochs)
        job.run.write_bad(_bad_rows(job))
        log.epoch(line)
    result = {
        "run": job.config["run"],
        "planned_epochs": job.settings.epochs,
        "epochs": epochs,
        "rows_per_second": round(job.loader.order.length * len(epochs) / max(learning, 1e-9), 1),
        "peak_bytes": job.budget.peak,
        "budget": job.budget.total,
        "seconds": round(time.perf_counter() - began, 3),
        "bad_rows": len(_bad_rows(job)),
        "best_epoch": None,
        **job.task.summary(job.split.val),
    }
    log.finish(result)
    job.run.write_config(job.config | {"ended": now()}, job.classes)
    job.run.write_summary(result)
    return result


def _save(job: EstimatorJob, epoch: int) -> None:
    """Save the model after an epoch, from 0."""
    if epoch:
        job.run.save_model(job.model)
    else:
        job.run.begin(job.model, job.config, job.classes, split=job.split)


def _refuse_not_finite(model: Any, line: dict[str, Any]) -> None:
    """Raise if an estimator has NaN weights, or its validation loss is not finite."""
    for name, value in vars(model).items():
        arrays = value if isinstance(value, list) else [value]
        if any(isinstance(each, np.ndarray) and each.dtype.kind == "f" and np.isnan(each).any() for each in arrays):
            raise NotFinite(
                f"{name} of {type(model).__name__} has values that are NaN after epoch {line['epoch']}: training diverged"
            )
    loss = line.get("val_loss", 0.0)
    if not np.isfinite(loss):
        raise NotFinite(
            f"val_loss is {loss:g} after epoch {line['epoch']}: use bitesize check to find NaN in the validation data"
        )


def _validated(job: EstimatorJob) -> dict[str, float]:
    """Measure loss and accuracy on the validation data."""
    assert job.val_loader is not None
    model = EstimatorModel(job.model)

    def batches() -> Any:
        """Yield the score of each batch."""
        assert job.val_loader is not None
        for batch in job.val_loader:
            real = int((batch.rows >= 0).sum())
            mask = batch.mask[:real]
            scores = job.task.decode(model.predict_on_batch(batch["x"])[:real], "probabilities")
            yield job.task.score(batch["y"][:real][mask], scores[mask], int((~mask).sum()))

    try:
        figures = job.task.joined(batches(), len(job.val_loader.source))
    except ValueError as error:
        if (odd := refusal(job.val_loader, (0, 0), len(job.val_loader), error)) is not None:
            raise odd from error
        raise
    return {"val_loss": six_digits(figures["loss"]), "val_accuracy": six_digits(figures["accuracy"])}


def _bad_rows(job: EstimatorJob) -> list[tuple[Any, ...]]:
    parts = (("training", job.loader), ("validation", job.val_loader))
    return [(name, *bad) for name, loader in parts if loader is not None for bad in loader.bad]
