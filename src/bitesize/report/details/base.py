"""`Details`: what a report shows of single rows, gathered while a run is evaluated."""

from __future__ import annotations

import heapq
from abc import ABC, abstractmethod
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bitesize.training.score import Scored

# Number of mistakes with a picture: a screen or two.
MOST_SHOWN = 24
# Number of bins of a calibration.
BINS = 10


class Example(NamedTuple):
    """A row to show.

    Attributes
    ----------
    badness : float
        How much it is worth showing: the largest are shown.
    row : int
    facts : dict
        Values for JSON.
    """

    badness: float
    row: int
    facts: dict[str, Any]


class Worst:
    """The worst rows of those that were added; of equal ones those with lower row numbers.

    Parameters
    ----------
    most
        Number of rows that are kept.
    """

    def __init__(self, most: int = MOST_SHOWN) -> None:
        self._most = most
        self._heap: list[tuple[tuple[float, int, int], Example]] = []
        self._added = 0

    def least(self) -> float:
        """Return the badness that a row must exceed to be kept."""
        return self._heap[0][0][0] if len(self._heap) == self._most else float("-inf")

    def add(self, example: Example) -> None:
        """Add a row."""
        self._added += 1
        item = (example.badness, -example.row, -self._added), example
        if len(self._heap) < self._most:
            heapq.heappush(self._heap, item)
        elif item[0] > self._heap[0][0]:
            heapq.heapreplace(self._heap, item)

    def examples(self) -> list[Example]:
        """Return the rows, the worst first."""
        return [example for _, example in sorted(self._heap, key=lambda item: item[0], reverse=True)]


class Calibration:
    """Predicted probabilities against how often they are right, in bins of equal width."""

    def __init__(self) -> None:
        self._rows, self._predicted, self._right = np.zeros((3, BINS))

    def add(self, probabilities: NDArray[Any], right: NDArray[np.bool_]) -> None:
        """Add predictions, shape (n,), and whether each is right."""
        bins = np.minimum((probabilities * BINS).astype(np.int64), BINS - 1)
        self._rows += np.bincount(bins, minlength=BINS)
        self._predicted += np.bincount(bins, probabilities, BINS)
        self._right += np.bincount(bins, right.astype(np.float64), BINS)

    def as_dict(self) -> dict[str, Any]:
        """Return for each bin with predictions their number, mean probability and share that is right; and the expected calibration error.

        The error is the mean difference between probability and share, weighted by the number of predictions (Naeini et al., "Obtaining
        well calibrated probabilities using Bayesian binning", AAAI 2015).
        """
        there = self._rows > 0
        rows = self._rows[there]
        predicted, right = self._predicted[there] / rows, self._right[there] / rows
        total = rows.sum()
        error = float((np.abs(predicted - right) * rows).sum() / total) if total else None
        bins = [
            {"predictions": int(n), "probability": float(p), "right": float(r)}
            for n, p, r in zip(rows, predicted, right, strict=True)
        ]
        return {"bins": bins, "error": error}


class Details(ABC):
    """Details of single rows that a report shows; `add` is called with each batch of an evaluation."""

    @abstractmethod
    def add(self, scored: Scored) -> None:
        """Add a batch."""

    @abstractmethod
    def as_dict(self) -> dict[str, Any]:
        """Return the details, for JSON."""

    @abstractmethod
    def examples(self) -> list[Example]:
        """Return the rows to show, in order."""
