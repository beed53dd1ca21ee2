"""Predictions of a trained model: probabilities, classes, and adaptations of the data."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple, overload

import numpy as np
from numpy.typing import NDArray

_SHOWN = 5


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


class Predictions(Sequence[Prediction]):
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

    def __init__(
        self,
        probabilities: NDArray[np.float32],
        classes: tuple[str, ...],
        describe: Callable[[int], str],
        errors: Mapping[int, str] | None = None,
        said: Sequence[str] = (),
    ) -> None:
        self.probabilities = probabilities
        self.classes = classes
        self.errors = dict(errors or {})
        self.said = tuple(said)
        self._describe = describe

    @property
    def labels(self) -> list[str | None]:
        """Most probable class of each row; None if the row could not be read."""
        best, known = self.probabilities.argmax(axis=1).tolist(), self._known.tolist()
        return [self.classes[i] if there else None for i, there in zip(best, known, strict=True)]

    @property
    def paths(self) -> list[str]:
        """File of each row, or its name within a file."""
        return [self._describe(row) for row in range(len(self))]

    @property
    def _known(self) -> NDArray[np.bool_]:
        return np.asarray(~np.isnan(self.probabilities).any(axis=1))

    def __len__(self) -> int:
        return len(self.probabilities)

    @overload
    def __getitem__(self, row: int) -> Prediction: ...

    @overload
    def __getitem__(self, row: slice) -> Sequence[Prediction]: ...

    def __getitem__(self, row: int | slice) -> Prediction | Sequence[Prediction]:
        if isinstance(row, slice):
            return [self[i] for i in range(*row.indices(len(self)))]
        number = range(len(self))[row]  # raises IndexError for a row out of range
        values = self.probabilities[number]
        if np.isnan(values).any():
            return Prediction(self._describe(number), None, float("nan"))
        best = int(values.argmax())
        return Prediction(self._describe(number), self.classes[best], float(values[best]))

    def __iter__(self) -> Iterator[Prediction]:
        return (self[row] for row in range(len(self)))

    def __repr__(self) -> str:
        lines = [f"Predictions({len(self):,} rows, classes {', '.join(self.classes[:_SHOWN])}"]
        lines[0] += (", ...)" if len(self.classes) > _SHOWN else ")") + (":" if len(self) else "")
        for row in range(min(_SHOWN, len(self))):
            path, label, probability = self[row]
            lines.append(
                f"  {path}: {f'no prediction: {self.errors.get(row)}' if label is None else f'{label} {probability:.3f}'}"
            )
        return "\n".join(lines + (["  ..."] if len(self) > _SHOWN else []))
