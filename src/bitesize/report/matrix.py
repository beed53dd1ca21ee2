"""Confusion matrices: a table for a few classes, a picture for many, and the most frequent confusions."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# Number of classes up to which a table is readable.
MOST_CELLS = 20
_MOST_CONFUSIONS = 20
# Color of the picture: seen on a light and on a dark page, because few rows are transparent.
_COLOR = (45, 130, 220)


@dataclass(frozen=True)
class Cell:
    """A cell of a table.

    Attributes
    ----------
    count : int
        Number of rows.
    heat : float
        Strength of its color, from 0 to 1: its share of the true class.
    own : bool
        Whether it is on the diagonal.
    """

    count: int
    heat: float
    own: bool


@dataclass(frozen=True)
class Confusion:
    """A confusion matrix to show.

    Attributes
    ----------
    names : tuple of str
        Class names.
    cells : list of list of Cell
        Cells by true and predicted class; empty for many classes.
    picture : str
        Address of a picture for many classes; else empty.
    frequent : list of (str, str, int, float)
        The most frequent confusions: true class, predicted class, rows, and their share of the true class.
    """

    names: tuple[str, ...]
    cells: list[list[Cell]]
    picture: str
    frequent: list[tuple[str, str, int, float]]


def confusion_of(names: Sequence[str], pairs: Sequence[Sequence[int]]) -> Confusion:
    """Return the confusion matrix to show.

    Parameters
    ----------
    names
        Class names.
    pairs
        Cells that are not 0: true class, predicted class, rows.
    """
    matrix = np.zeros((len(names), len(names)), np.int64)
    for true, predicted, count in pairs:
        matrix[true, predicted] = count
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    wrong = sorted(
        ((true, predicted) for true, predicted, _ in pairs if true != predicted), key=lambda cell: (-matrix[cell], cell)
    )
    frequent = [(names[i], names[j], int(matrix[i, j]), float(shares[i, j])) for i, j in wrong[:_MOST_CONFUSIONS]]
    if len(names) > MOST_CELLS:
        return Confusion(tuple(names), [], _picture(shares), frequent)
    cells = [
        [Cell(int(matrix[i, j]), round(0.5 * float(shares[i, j]) ** 0.7, 3), i == j) for j in range(len(names))]
        for i in range(len(names))
    ]
    return Confusion(tuple(names), cells, "", frequent)


def _picture(shares: NDArray[np.float64]) -> str:
    """Return a PNG with one pixel per cell; many small cells are seen because weak ones are strengthened."""
    from PIL import Image

    pixels = np.empty((*shares.shape, 4), np.uint8)
    pixels[..., :3] = _COLOR
    pixels[..., 3] = np.round(255 * shares**0.5)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode("ascii")
