"""Of which epoch the model in a run's folder is, and whether the run has come to its end."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from bitesize.memory.sizes import counted
from bitesize.training.run import RunFolder


@dataclass(frozen=True)
class SavedEpoch:
    """The epoch that a saved model is of.

    Attributes
    ----------
    epoch : int or None
        Its number, from 1: the best of a finished run that stops early, else the last. None where there is no history.
    trained : int
        Epochs that are done.
    planned : int or None
        Epochs that there were to be.
    finished : bool
        Whether training has come to its end.
    best : int or None
        The epoch of the lowest validation loss so far.
    figures : dict of str to str
        The line of the history.
    """

    epoch: int | None
    trained: int
    planned: int | None
    finished: bool
    best: int | None = None
    figures: Mapping[str, str] = field(default_factory=dict)

    @property
    def unfinished(self) -> str | None:
        """A line where the run has not come to its end, or None."""
        if self.finished:
            return None
        if self.epoch is None:
            return "the run is not finished"
        of = "" if self.planned is None else f" of {self.planned:,}"
        line = f"the run is not finished: epoch {self.trained:,}{of}, its model is that of epoch {self.epoch:,}"
        return line if self.best in (None, self.epoch) else f"{line}, and epoch {self.best} has the lowest validation loss"

    @property
    def score(self) -> str | None:
        """The validation accuracy of the saved model, for people; None where there was none."""
        accuracy = self.figures.get("val_accuracy")
        if not accuracy:
            return None
        figure = f"validation accuracy {float(accuracy):.3f}"
        if self.epoch == self.trained:
            return f"{figure} after {counted(self.trained, 'epoch')}"
        return f"{figure}, of epoch {self.epoch:,} of {self.trained:,}"


def read_saved_epoch(run: RunFolder) -> SavedEpoch:
    """Read of which epoch the model of a run is.

    A run that is trained longer has the summary of its first end until its second; its settings tell, which are written with the first
    model of the second training.
    """
    settings, summary = run.config()["settings"], _summary(run)
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
    except OSError:  # a run without one can be used all the same
        return []


def _summary(run: RunFolder) -> dict[str, int | None]:
    try:
        found = json.loads((run.path / "summary.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):  # not there before a run's end
        return {}
    return found if isinstance(found, dict) else {}
