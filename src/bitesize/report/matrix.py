"""Confusion matrices: a table for a few classes, a picture for many, and the most frequent confusions."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from bitesize.html.notebook import data_address

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
    rows = np.zeros(len(names), np.int64)
    for true, _, count in pairs:
        rows[true] += count
    shares = {(true, predicted): (count, count / int(rows[true])) for true, predicted, count in pairs}
    wrong = sorted((cell for cell in shares if cell[0] != cell[1]), key=lambda cell: (-shares[cell][0], cell))
    frequent = [(names[i], names[j], *shares[i, j]) for i, j in wrong[:_MOST_CONFUSIONS]]
    if len(names) > MOST_CELLS:
        return Confusion(tuple(names), [], _picture(len(names), shares), frequent)
    cells = [[_cell(*shares.get((i, j), (0, 0.0)), i == j) for j in range(len(names))] for i in range(len(names))]
    return Confusion(tuple(names), cells, "", frequent)


def _cell(count: int, share: float, own: bool) -> Cell:
    return Cell(count, round(0.5 * share**0.7, 3), own)


def _picture(classes: int, shares: Mapping[tuple[int, int], tuple[int, float]]) -> str:
    """Return a PNG with one pixel per cell; many small cells are seen because weak ones are strengthened."""
    from PIL import Image

    # A palette of one color with 256 opacities: one byte per cell, of which thousands of classes have many.
    pixels = np.zeros((classes, classes), np.uint8)
    for cell, (_, share) in shares.items():
        pixels[cell] = max(1, round(255 * share**0.5))
    image = Image.fromarray(pixels)
    image.putpalette(_COLOR * 256)
    file = io.BytesIO()
    image.save(file, "PNG", optimize=True, transparency=bytes(range(256)))
    return data_address(file.getvalue(), "png")
