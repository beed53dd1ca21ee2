"""Results of a task: its trivial answer, columns of a file of predictions, and a count of predictions."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray


class Baseline(NamedTuple):
    """The best answer that ignores the inputs.

    Attributes
    ----------
    metric : str
        Metric in the history of a run, without ``val_``.
    value : float
        Its value for this answer.
    answer : str
        The answer, as in "no better than {answer}".
    higher_is_better : bool
    """

    metric: str
    value: float
    answer: str
    higher_is_better: bool


class Column(NamedTuple):
    """A column of a file of predictions.

    Attributes
    ----------
    name : str
    values : list of str, or ndarray of float, shape (rows,)
        One cell per row; empty, or NaN, for rows without a prediction.
    """

    name: str
    values: list[str] | NDArray[Any]


class Tally(ABC):
    """Counter of predictions."""

    @abstractmethod
    def add(self, predictions: NDArray[np.float32], known: NDArray[np.bool_]) -> None:
        """Count predictions; rows that are not known have none."""

    @abstractmethod
    def line(self) -> str:
        """Return a line about all predictions."""
