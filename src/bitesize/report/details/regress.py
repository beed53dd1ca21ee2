"""Details of numbers: predicted against true values, residuals, and the largest errors."""

from __future__ import annotations

from typing import Any

import numpy as np

from bitesize.report.details.base import Details, Example, Worst
from bitesize.training.score import Scored
from bitesize.training.tasks.regress import Regress

# Most points of a chart: more would overlap.
_MOST_POINTS = 1000
# Targets whose points are kept.
_MOST_TARGETS = 12


class NumberDetails(Details):
    """Details of one or several numbers per row.

    Parameters
    ----------
    task
        The task, with the deviation of each target.
    rows
        Number of rows; of many rows, evenly spaced ones are shown.
    """

    def __init__(self, task: Regress, rows: int) -> None:
        self._task, self._step = task, max(1, -(-rows // _MOST_POINTS))
        self._scale = np.asarray(task.std or (1.0,) * len(task.names))
        self._worst = Worst(12)
        self._points: list[tuple[list[float], list[float]]] = []

    def add(self, scored: Scored) -> None:
        """Add a batch; scores are predictions in units of the data."""
        assert scored.labels is not None
        mask, width = scored.mask, len(self._task.names)
        rows, true = scored.rows[mask], scored.labels[mask].reshape(-1, width).astype(np.float64)
        found = scored.scores[mask].reshape(-1, width)
        for i in np.flatnonzero(rows % self._step == 0).tolist():
            self._points.append((true[i, :_MOST_TARGETS].tolist(), found[i, :_MOST_TARGETS].tolist()))
        errors = np.abs(found - true) / self._scale
        for i, target in enumerate(errors.argmax(axis=1).tolist()):
            if errors[i, target] > max(0.0, self._worst.least()):
                facts = {
                    "target": self._task.names[target],
                    "true": float(true[i, target]),
                    "predicted": float(found[i, target]),
                }
                self._worst.add(Example(float(errors[i, target]), int(rows[i]), facts))

    def as_dict(self) -> dict[str, Any]:
        """Return the true and predicted values of some rows, for each target, and which rows they are."""
        names = self._task.names[:_MOST_TARGETS]
        points = {
            name: {"true": [true[i] for true, _ in self._points], "predicted": [found[i] for _, found in self._points]}
            for i, name in enumerate(names)
        }
        return {"points": points, "every": self._step}

    def examples(self) -> list[Example]:
        """Return the rows with the largest errors, in deviations of the target."""
        return self._worst.examples()
