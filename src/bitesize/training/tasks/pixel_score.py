"""Scores of masks: counts of pixels by true and predicted class, which are joined exactly."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bitesize.errors import BadSetting


class PixelScore(NamedTuple):
    """Score of one batch.

    Attributes
    ----------
    confusion : ndarray of int64, shape (classes, classes)
        Number of pixels by true class and predicted class.
    loss : float
        Sum over rows of the mean cross-entropy of their pixels, in nats.
    rows, bad : int
        Number of rows with and without a prediction.
    """

    confusion: NDArray[np.int64]
    loss: float
    rows: int
    bad: int

    @classmethod
    def of(cls, classes: NDArray[np.int64], scores: NDArray[np.floating[Any]], bad: int) -> PixelScore:
        """Return the score of rows.

        Parameters
        ----------
        classes
            Class of each pixel, -1 for ignored ones, shape (rows, height, width), or with a depth.
        scores
            Logarithms of probabilities, with a last axis of classes.
        bad
            Number of rows without a prediction.
        """
        count = scores.shape[-1]
        there = classes >= 0
        pairs = classes[there] * count + scores.argmax(axis=-1)[there]
        confusion = np.bincount(pairs, minlength=count * count).reshape(count, count)
        true = np.take_along_axis(scores, np.maximum(classes, 0)[..., None], axis=-1)[..., 0]
        space = tuple(range(1, classes.ndim))
        sums = -np.where(there, true, 0).sum(axis=space, dtype=np.float64)
        return cls(confusion, float((sums / np.maximum(there.sum(axis=space), 1)).sum()), len(classes), bad)


def overlap(hits: NDArray[Any], true: NDArray[Any], predicted: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return intersection over union and Dice of each class; NaN for classes without pixels.

    Examples
    --------
    >>> iou, dice = overlap(np.array([6, 0]), np.array([8, 2]), np.array([8, 2]))
    >>> iou.tolist(), dice.tolist()
    ([0.6, 0.0], [0.75, 0.0])
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        return hits / (true + predicted - hits), 2 * hits / (true + predicted)


def of_constant(true: NDArray[Any], number: int) -> float:
    """Return the mean IoU of predicting one class everywhere, for pixels with these counts by class."""
    hits, predicted = np.zeros(len(true)), np.zeros(len(true))
    hits[number], predicted[number] = true[number], true.sum()
    return float(np.nanmean(overlap(hits, true, predicted)[0]))


def join_scores(classes: Sequence[str], most_frequent: int | None, batches: Iterable[PixelScore]) -> dict[str, Any]:
    """Join the scores of batches.

    Parameters
    ----------
    classes
        Names of the classes.
    most_frequent
        The class with most pixels in the masks of the training data, for the baseline; None if it is unknown.
    batches
        Scores of all batches.

    Returns
    -------
    dict
        ``loss`` (mean over rows of the mean cross-entropy of their pixels, in nats), ``mean_iou`` and ``mean_dice`` (means over the classes that are in
        the masks or predicted), ``pixel_accuracy``, ``rows``, ``bad_rows``, ``classes``, ``per_class`` (``iou``, ``dice``, ``precision``, ``recall``, ``pixels``; None where
        undefined), ``confusion`` in pixels ([true class][predicted class]), and ``baseline``: the class, and the ``mean_iou`` of predicting it
        everywhere.
    """
    confusion = np.zeros((len(classes), len(classes)), np.int64)
    loss, rows, bad = 0.0, 0, 0
    for batch in batches:
        confusion += batch.confusion
        loss, rows, bad = loss + batch.loss, rows + batch.rows, bad + batch.bad
    if not rows:
        raise BadSetting("no row could be read")
    hits, true, predicted = np.diag(confusion), confusion.sum(axis=1), confusion.sum(axis=0)
    if not true.any():
        raise BadSetting("all pixels of the masks are ignored: there is nothing to score (--ignore-class of the run)")
    iou, dice = overlap(hits, true, predicted)
    with np.errstate(invalid="ignore", divide="ignore"):
        columns = {"iou": iou, "dice": dice, "precision": hits / predicted, "recall": hits / true}
    constant = (
        {} if most_frequent is None else {"class": classes[most_frequent], "mean_iou": of_constant(true, most_frequent)}
    )
    return {
        "loss": loss / rows,
        "mean_iou": float(np.nanmean(iou)),
        "mean_dice": float(np.nanmean(dice)),
        "pixel_accuracy": float(hits.sum() / true.sum()),
        "rows": rows,
        "bad_rows": bad,
        "classes": list(classes),
        "per_class": [
            {"class": name, **{key: _known(values[i]) for key, values in columns.items()}, "pixels": int(true[i])}
            for i, name in enumerate(classes)
        ],
        "confusion": confusion.tolist(),
        "baseline": constant or None,
    }


def _known(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
