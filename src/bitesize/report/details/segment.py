"""Details of masks: the rows with the most wrong pixels, and a sample of all rows."""

from __future__ import annotations

from typing import Any

import numpy as np

from bitesize.report.details.base import Details, Example, Worst
from bitesize.training.score import Scored
from bitesize.training.tasks.segment import Segment

_WORST, _SAMPLE = 6, 6


class MaskDetails(Details):
    """Details of one class per pixel.

    Parameters
    ----------
    task
        The task, with the number of each class in masks.
    rows
        Number of rows, of which a few are shown whatever their error.
    """

    def __init__(self, task: Segment, rows: int) -> None:
        self._task = task
        self._worst = Worst(_WORST)
        self._sampled = set(np.linspace(0, rows - 1, min(rows, _SAMPLE)).astype(int).tolist())
        self._sample: list[Example] = []

    def add(self, scored: Scored) -> None:
        """Add a batch; scores are logarithms of probabilities of each class, shape (rows, ..., classes)."""
        assert scored.labels is not None
        numbers = np.asarray(self._task.numbers)
        for i in np.flatnonzero(scored.mask).tolist():
            found = numbers[scored.scores[i].argmax(axis=-1)]
            true = scored.labels[i].reshape(found.shape)
            counts = np.isin(true, numbers)
            wrong = float((found != true)[counts].mean()) if counts.any() else 0.0
            example = Example(wrong, int(scored.rows[i]), {"wrong": wrong})
            self._worst.add(example)
            if example.row in self._sampled:
                self._sample.append(example)

    def as_dict(self) -> dict[str, Any]:
        """Return the numbers of the classes in masks."""
        return {"numbers": list(self._task.numbers)}

    def examples(self) -> list[Example]:
        """Return the rows with most wrong pixels first, then a sample of the others."""
        worst = self._worst.examples()
        shown = {example.row for example in worst}
        return [*worst, *(example for example in self._sample if example.row not in shown)]
