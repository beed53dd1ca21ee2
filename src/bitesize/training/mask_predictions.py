"""Predicted masks, in the sizes of the images or volumes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bitesize.pictures.overlay import blended
from bitesize.pictures.picture import middle, thinned
from bitesize.pictures.thumbnails import SIDE, encoded
from bitesize.training.prediction_rows import PredictionRows

# Height and width, or depth, height and width.
Size = tuple[int, ...]
_SHOWN = 5


class PredictedMask(NamedTuple):
    """Predicted mask of one row.

    Attributes
    ----------
    path : str
        File of the row, or its name within a file.
    mask : ndarray of uint8 or uint16, shape (height, width), or (depth, height, width) for volumes, or None
        Number of the class of each pixel or voxel, in the size of the image or volume; None if the row could not be read.
    """

    path: str
    mask: NDArray[Any] | None


class MaskPredictions(PredictionRows[PredictedMask]):
    """Predicted masks in the order of the data: a sequence of (path, mask).

    Parameters
    ----------
    masks
        Numbers of classes, uint8 or uint16, shape (rows, height, width) or (rows, depth, height, width), in the size of the
        model's input.
    classes
        Names of the classes.
    numbers
        Number of each class in masks.
    describe
        Function that returns the file of a row by its number.
    errors
        Reasons why rows have no prediction, by row number.
    said
        Lines about the layout of the data, and adaptations that the training data did not need.
    size
        Function that returns the size of the image or volume of a row, or None if it is that of the masks.

    Attributes
    ----------
    masks : ndarray of uint8 or uint16, shape (rows, height, width) or (rows, depth, height, width)
        In the size of the model's input; 0 for rows that could not be read. Items of the sequence have the sizes of the images or volumes.
    classes : tuple of str
    numbers : tuple of int
    errors : dict of int to str
    said : tuple of str

    Examples
    --------
    >>> masks = np.array([[[0, 1], [1, 1]]], np.uint8)
    >>> found = MaskPredictions(masks, ("sky", "tree"), (0, 1), ["a.png"].__getitem__, size=lambda row: (2, 4))
    >>> found[0].path, found[0].mask.tolist()
    ('a.png', [[0, 0, 1, 1], [1, 1, 1, 1]])
    """

    def __init__(
        self,
        masks: NDArray[Any],
        classes: tuple[str, ...],
        numbers: tuple[int, ...],
        describe: Callable[[int], str],
        errors: Mapping[int, str] | None = None,
        said: Sequence[str] = (),
        size: Callable[[int], Size | None] = lambda row: None,
    ) -> None:
        super().__init__(masks, classes, describe, errors, said)
        self.masks, self.classes, self.numbers, self.size = masks, classes, numbers, size

    def _row(self, row: int) -> PredictedMask:
        if row in self.errors:
            return PredictedMask(self._describe(row), None)
        return PredictedMask(self._describe(row), resized(self.masks[row], self.size(row)))

    _html_heads = ("mask", "share of each class")

    def _html_cells(self, row: int) -> tuple[object, ...]:
        mask = middle(self.masks[row], "D" * (self.masks.ndim == 4))
        black = np.zeros((*thinned(mask, SIDE).shape, 3), np.uint8)
        said = self._shown(row)
        return encoded(blended(black, thinned(mask, SIDE)), f"mask of {self._describe(row)}: {said}"), said

    def _shown(self, row: int) -> str:
        return ", ".join(
            f"{name} {100 * (self.masks[row] == number).mean():.0f} %"
            for name, number in list(zip(self.classes, self.numbers, strict=True))[:_SHOWN]
        )


def resized(mask: NDArray[Any], size: Size | None) -> NDArray[Any]:
    """Return a mask in another size: each pixel or voxel gets the number at its center.

    Examples
    --------
    >>> resized(np.array([[1, 2]]), (2, 3)).tolist()
    [[1, 2, 2], [1, 2, 2]]
    """
    if size is None or size == mask.shape:
        return mask
    nearest = [((2 * np.arange(new) + 1) * old) // (2 * new) for new, old in zip(size, mask.shape, strict=True)]
    return np.asarray(mask[np.ix_(*nearest)])
