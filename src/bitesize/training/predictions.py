"""Predictions of a trained model: classes, tags or numbers, and adaptations of the data."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bitesize.memory.sizes import rounded
from bitesize.training.prediction_rows import PredictionRows, Row


class Prediction(NamedTuple):
    """Prediction of one row.

    Attributes
    ----------
    path : str
        File of the row, or its name within a file.
    label : str or None
        Most probable class; None if the row could not be read.
    probability : float
        Probability of that class; NaN if the row could not be read.
    """

    path: str
    label: str | None
    probability: float


class Predictions(PredictionRows[Prediction]):
    """Predictions in the order of the data: a sequence of (path, label, probability).

    Parameters
    ----------
    probabilities
        Array of float32, shape (rows, classes); NaN for rows that could not be read.
    classes
        Names of the classes, in the order of the columns.
    describe
        Function that returns the file of a row by its number.
    errors
        Reasons why rows have no prediction, by row number.
    said
        Lines about the layout of the data, and adaptations that the training data did not need.

    Attributes
    ----------
    probabilities : ndarray of float32, shape (rows, classes)
        NaN for rows that could not be read.
    classes : tuple of str
        Names of the classes, in the order of the columns.
    errors : dict of int to str
        Reasons why rows have no prediction, by row number.
    said : tuple of str
        Lines about the layout of the data, and adaptations that the training data did not need.

    Examples
    --------
    >>> names = ["a.jpg", "b.jpg"]
    >>> found = Predictions(np.array([[0.9, 0.1], [0.2, 0.8]], np.float32), ("cat", "dog"), names.__getitem__)
    >>> found.labels, found[1].path
    (['cat', 'dog'], 'b.jpg')
    >>> for path, label, probability in found:
    ...     print(path, label, f"{probability:.2f}")
    a.jpg cat 0.90
    b.jpg dog 0.80
    """

    _joined = ", classes"

    def __init__(
        self,
        probabilities: NDArray[np.float32],
        classes: tuple[str, ...],
        describe: Callable[[int], str],
        errors: Mapping[int, str] | None = None,
        said: Sequence[str] = (),
    ) -> None:
        super().__init__(probabilities, classes, describe, errors, said)
        self.probabilities, self.classes = probabilities, classes

    @property
    def labels(self) -> list[str | None]:
        """Most probable class of each row; None if the row could not be read."""
        best, known = self.probabilities.argmax(axis=1).tolist(), self._known.tolist()
        return [self.classes[i] if there else None for i, there in zip(best, known, strict=True)]

    @property
    def _known(self) -> NDArray[np.bool_]:
        return np.asarray(~np.isnan(self.probabilities).any(axis=1))

    def _row(self, row: int) -> Prediction:
        values = self.probabilities[row]
        if np.isnan(values).any():
            return Prediction(self._describe(row), None, float("nan"))
        best = int(values.argmax())
        return Prediction(self._describe(row), self.classes[best], float(values[best]))

    def _shown(self, row: int) -> str:
        _, label, probability = self[row]
        return f"no prediction: {self.errors.get(row)}" if label is None else f"{label} {probability:.3f}"

    _html_heads, _html_numbers = ("class", "probability"), (2,)

    def _html_cells(self, row: int) -> tuple[object, ...]:
        _, label, probability = self[row]
        return ("no prediction", "") if label is None else (label, f"{probability:.3f}")


class TaggedRow(NamedTuple):
    """Predicted tags of one row.

    Attributes
    ----------
    path : str
        File of the row, or its name within a file.
    tags : tuple of str or None
        Tags whose probability is at least the threshold; None if the row could not be read.
    probabilities : dict of str to float
        Probability of each tag; NaN if the row could not be read.
    """

    path: str
    tags: tuple[str, ...] | None
    probabilities: dict[str, float]


class NumbersOfRow(NamedTuple):
    """Predicted numbers of one row.

    Attributes
    ----------
    path : str
        File of the row, or its name within a file.
    values : dict of str to float
        Value of each target, in units of the data; NaN if the row could not be read.
    """

    path: str
    values: dict[str, float]


class _NamedNumbers(PredictionRows[Row]):
    """Predictions of several numbers per row."""

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the numbers, in the order of the columns."""
        return self._names

    def _values(self, row: int) -> dict[str, float]:
        return dict(zip(self.names, self._predictions[row].tolist(), strict=True))


class TagPredictions(_NamedNumbers[TaggedRow]):
    """Predicted tags in the order of the data: a sequence of (path, tags, probabilities).

    Parameters
    ----------
    probabilities
        Array of float32, shape (rows, tags); NaN for rows that could not be read.
    names, describe, errors, said
        Names of the tags, and the others as for `Predictions`.
    threshold
        Least probability of a tag that is predicted.

    Attributes
    ----------
    probabilities : ndarray of float32, shape (rows, tags)
        NaN for rows that could not be read.
    names : tuple of str
        Names of the tags, in the order of the columns.
    threshold : float
    errors : dict of int to str
        Reasons why rows have no prediction, by row number.
    said : tuple of str
        Lines about the layout of the data, and adaptations that the training data did not need.

    Examples
    --------
    >>> found = TagPredictions(np.array([[0.9, 0.6], [0.2, 0.1]], np.float32), ("round", "red"), ["a.jpg", "b.jpg"].__getitem__)
    >>> [(path, tags) for path, tags, _ in found]
    [('a.jpg', ('round', 'red')), ('b.jpg', ())]
    >>> found.tags(0.8)
    [('round',), ()]
    """

    def __init__(
        self,
        probabilities: NDArray[np.float32],
        names: tuple[str, ...],
        describe: Callable[[int], str],
        errors: Mapping[int, str] | None = None,
        said: Sequence[str] = (),
        threshold: float = 0.5,
    ) -> None:
        super().__init__(probabilities, names, describe, errors, said)
        self.threshold = threshold

    @property
    def probabilities(self) -> NDArray[np.float32]:
        """Probability of each tag."""
        return self._predictions

    def tags(self, threshold: float | None = None) -> list[tuple[str, ...] | None]:
        """Return the tags of each row whose probability is at least a threshold; None if the row could not be read."""
        return [self._tags(row, self.threshold if threshold is None else threshold) for row in range(len(self))]

    def _tags(self, row: int, threshold: float) -> tuple[str, ...] | None:
        values = self._predictions[row]
        if np.isnan(values).any():
            return None
        return tuple(name for name, value in zip(self.names, values, strict=True) if value >= threshold)

    def _row(self, row: int) -> TaggedRow:
        return TaggedRow(self._describe(row), self._tags(row, self.threshold), self._values(row))

    def _shown(self, row: int) -> str:
        return ", ".join(self._tags(row, self.threshold) or ()) or "no tag"


class NumberPredictions(_NamedNumbers[NumbersOfRow]):
    """Predicted numbers in the order of the data: a sequence of (path, values).

    Parameters
    ----------
    values
        Array of float32, shape (rows, targets), in units of the data; NaN for rows that could not be read.
    names, describe, errors, said
        Names of the targets, and the others as for `Predictions`.

    Attributes
    ----------
    values : ndarray of float32, shape (rows, targets)
        In units of the data; NaN for rows that could not be read.
    names : tuple of str
        Names of the targets, in the order of the columns.
    errors : dict of int to str
        Reasons why rows have no prediction, by row number.
    said : tuple of str
        Lines about the layout of the data, and adaptations that the training data did not need.

    Examples
    --------
    >>> found = NumberPredictions(np.array([[2.5], [4.0]], np.float32), ("price",), ["row 0", "row 1"].__getitem__)
    >>> found.values[:, 0].tolist(), found[1]
    ([2.5, 4.0], NumbersOfRow(path='row 1', values={'price': 4.0}))
    """

    @property
    def values(self) -> NDArray[np.float32]:
        """Value of each target."""
        return self._predictions

    def _row(self, row: int) -> NumbersOfRow:
        return NumbersOfRow(self._describe(row), self._values(row))

    def _shown(self, row: int) -> str:
        return ", ".join(f"{name} {rounded(value)}" for name, value in self._values(row).items())
