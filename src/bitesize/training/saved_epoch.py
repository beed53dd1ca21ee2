"""Find the epoch of the model in a run folder, and whether the run has finished."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from bitesize.memory.sizes import counted
from bitesize.training.run import RunFolder

# Metrics of the tasks that describe a model best, and their names.
_METRICS = {"accuracy": "accuracy", "auc": "AUC", "mae": "MAE", "mean_iou": "mean IoU"}


@dataclass(frozen=True)
class SavedEpoch:
    """Epoch of a saved model.

    Attributes
    ----------
    epoch : int or None
        Number of the epoch, from 1: the best epoch of a finished run with early stopping, else the last. None without history.
    trained : int
        Number of finished epochs.
    planned : int or None
        Number of planned epochs.
    finished : bool
        Whether training has finished.
    best : int or None
        Epoch of the lowest validation loss so far.
    figures : dict of str to str
        Line of the history.
    """

    epoch: int | None
    trained: int
    planned: int | None
    finished: bool
    best: int | None = None
    figures: Mapping[str, str] = field(default_factory=dict)

    @property
    def unfinished(self) -> str | None:
        """A line if the run has not finished, or None."""
        if self.finished:
            return None
        if self.epoch is None:
            return "the run is not finished"
        of = "" if self.planned is None else f" of {self.planned:,}"
        line = f"the run is not finished: epoch {self.trained:,}{of}, its model is that of epoch {self.epoch:,}"
        return line if self.best in (None, self.epoch) else f"{line}, and epoch {self.best} has the lowest validation loss"

    @property
    def score(self) -> str | None:
        """Text with the main validation metric of the saved model; None without validation."""
        metric = next((name for name in _METRICS if self.figures.get(f"val_{name}")), None)
        if metric is None:
            return None
        value = float(self.figures[f"val_{metric}"])
        figure = f"validation {metric} {value:.3f}" if metric == "accuracy" else f"validation {_METRICS[metric]} {value:.4g}"
        if self.epoch == self.trained:
            return f"{figure} after {counted(self.trained, 'epoch')}"
        return f"{figure}, of epoch {self.epoch:,} of {self.trained:,}"


def read_saved_epoch(run: RunFolder) -> SavedEpoch:
    """Read the epoch of a run's model.

    A run whose training is extended keeps its first summary until its second end; its settings, which are written with the first
    model of the second training, distinguish the two.
    """
    settings, summary = run.config()["settings"], read_summary(run)
    lines = _history(run)
    planned = settings.get("epochs")
    planned = planned if isinstance(planned, int) else None
    finished = bool(summary) and summary.get("planned_epochs", planned) == planned
    losses = {number: float(line["val_loss"]) for number, line in enumerate(lines, 1) if line.get("val_loss")}
    best = min(losses, key=lambda number: losses[number]) if losses else None
    last = len(lines) or None
    epoch = (summary.get("best_epoch") or last) if finished else last
    if epoch is None or epoch > len(lines):
        return SavedEpoch(None, len(lines), planned, finished)
    return SavedEpoch(epoch, len(lines), planned, finished, best, lines[epoch - 1])


def _history(run: RunFolder) -> list[dict[str, str]]:
    try:
        with (run.path / "history.csv").open(encoding="utf-8-sig", newline="") as file:
            return list(csv.DictReader(file))
    except OSError:  # a run without history can still be used
        return []


def read_summary(run: RunFolder) -> dict[str, Any]:
    """Read ``summary.json``: the figures of a finished run; empty before its end."""
    try:
        summary = json.loads((run.path / "summary.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):  # missing before the end of a run
        return {}
    return summary if isinstance(summary, dict) else {}
