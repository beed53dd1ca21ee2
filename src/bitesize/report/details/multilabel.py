"""Details of tags: the most confident mistakes, and calibration."""

from __future__ import annotations

from typing import Any

import numpy as np

from bitesize.report.details.base import MOST_SHOWN, Calibration, Details, Example, Worst
from bitesize.training.score import Scored
from bitesize.training.tasks.multilabel import Multilabel


class TagDetails(Details):
    """Details of several tags per row.

    Parameters
    ----------
    task
        The task, with its threshold.
    """

    def __init__(self, task: Multilabel) -> None:
        self._task = task
        self._calibration, self._worst = Calibration(), Worst()

    def add(self, scored: Scored) -> None:
        """Add a batch; scores are logarithms of odds."""
        assert scored.labels is not None
        rows, there = scored.rows[scored.mask], scored.labels[scored.mask] > 0.5
        probabilities = self._task.predicted(scored.scores[scored.mask]).astype(np.float64)
        self._calibration.add(probabilities.ravel(), there.ravel())
        wrong = np.where((probabilities >= self._task.threshold) != there, np.abs(probabilities - there), -1.0)
        candidates = np.argsort(-wrong, axis=None, kind="stable")[:MOST_SHOWN]
        for place in candidates.tolist():
            row, tag = divmod(place, wrong.shape[1])
            if wrong[row, tag] <= 0:
                break
            facts = {
                "tag": self._task.names[tag],
                "there": bool(there[row, tag]),
                "probability": float(probabilities[row, tag]),
            }
            self._worst.add(Example(float(wrong[row, tag]), int(rows[row]), facts))

    def as_dict(self) -> dict[str, Any]:
        """Return calibration, and the threshold of the figures."""
        return {"calibration": self._calibration.as_dict(), "threshold": self._task.threshold}

    def examples(self) -> list[Example]:
        """Return the most confident mistakes: each is one tag of one row."""
        return self._worst.examples()
