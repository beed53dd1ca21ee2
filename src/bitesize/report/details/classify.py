"""Details of classes: the most confident mistakes, calibration, and how often the true class is among the first five."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitesize.report.details.base import Calibration, Details, Example, Worst
from bitesize.training.score import Scored

# Number of classes from which a figure for the five most probable classes is worth showing.
_MANY = 11


class ClassDetails(Details):
    """Details of one class per row.

    Parameters
    ----------
    names
        Names of the classes.
    """

    def __init__(self, names: tuple[str, ...]) -> None:
        self._names = names
        self._calibration, self._worst = Calibration(), Worst()
        self._among_five, self._rows = 0, 0

    def add(self, scored: Scored) -> None:
        """Add a batch; scores are logarithms of probabilities."""
        assert scored.labels is not None
        mask = scored.mask
        rows, labels, logs = scored.rows[mask], scored.labels[mask], scored.scores[mask]
        predicted, each = logs.argmax(axis=1), np.arange(len(labels))
        best, true = np.exp(logs[each, predicted]), np.exp(logs[each, labels])
        right = predicted == labels
        self._calibration.add(best, right)
        self._rows += len(labels)
        self._among_five += int((_places(logs, labels) < 5).sum())
        least = self._worst.least()
        for i in np.flatnonzero(~right & (best >= least)).tolist():
            facts = {
                "true": self._names[labels[i]], "predicted": self._names[predicted[i]], "probability": float(best[i]), "of_true": float(true[i]),
            }  # fmt: skip
            self._worst.add(Example(float(best[i]), int(rows[i]), facts))

    def as_dict(self) -> dict[str, Any]:
        """Return calibration and the share of rows with the true class among the five most probable."""
        five = self._among_five / self._rows if self._rows and len(self._names) >= _MANY else None
        return {"calibration": self._calibration.as_dict(), "top5": five}

    def examples(self) -> list[Example]:
        """Return the most confident mistakes."""
        return self._worst.examples()


def _places(logs: NDArray[Any], labels: NDArray[Any]) -> NDArray[np.int64]:
    """Return the place of the true class of each row among the classes, from 0; of equal ones the first is first, as for the answer."""
    true = logs[np.arange(len(labels)), labels][:, None]
    before = np.arange(logs.shape[1]) < labels[:, None]
    return np.asarray(((logs > true) | ((logs == true) & before)).sum(axis=1))
