"""Scores of predicted numbers, joined from sums over batches."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bitesize.errors import BadSetting

# Variance of labels, as a share of their mean square, that is only rounding: all labels are equal.
_ROUNDING = 1e-12


class NumberScore(NamedTuple):
    """Sums over one batch, for each target: float64 of shape (targets,).

    Attributes
    ----------
    absolute, squared
        Of the errors.
    values, squares
        Of the labels minus the mean of the training rows, and their squares.
    baseline
        Of the absolute values of these differences: the errors of predicting that mean.
    rows, bad : int
        Number of rows with a prediction, and without.
    """

    absolute: NDArray[np.float64]
    squared: NDArray[np.float64]
    values: NDArray[np.float64]
    squares: NDArray[np.float64]
    baseline: NDArray[np.float64]
    rows: int
    bad: int

    @classmethod
    def of(cls, labels: NDArray[Any], found: NDArray[np.float64], mean: NDArray[np.float64], bad: int) -> NumberScore:
        """Return the sums of rows by their labels and predictions."""
        error, apart = found - labels, labels - mean
        absolute, squared, values, squares, baseline = (
            each.sum(axis=0) for each in (np.abs(error), error**2, apart, apart**2, np.abs(apart))
        )
        return cls(absolute, squared, values, squares, baseline, len(labels), bad)


def join_scores(
    names: Sequence[str], mean: Sequence[float], std: Sequence[float], batches: Iterable[NumberScore]
) -> dict[str, Any]:
    """Join the scores of batches, in their order: the same figures however batches are shared by workers.

    Parameters
    ----------
    names
        Names of the targets.
    mean, std
        Mean and deviation of the training rows.
    batches
        Scores of all batches.

    Returns
    -------
    dict
        ``loss`` (mean squared error of standardized targets), ``mae``, ``rmse`` and ``r2`` (means over all targets), ``rows``, ``bad_rows``,
        ``targets``, ``per_target`` (``mae``, ``rmse``, ``r2``, in units of the data; ``r2`` is None if all labels are equal), and
        ``baseline``: the ``mae`` of predicting the mean of the training rows, of each target too.
    """
    totals = np.zeros((5, len(names)))
    rows, bad = 0, 0
    for batch in batches:
        totals += np.stack(batch[:5])
        rows, bad = rows + batch.rows, bad + batch.bad
    if not rows:
        raise BadSetting("no row could be read")
    absolute, squared, values, squares, baseline = totals / rows
    spread = squares - values**2
    spread[spread <= _ROUNDING * squares] = 0.0
    per_target: list[dict[str, Any]] = [
        {
            "target": name,
            "mae": float(absolute[i]),
            "rmse": float(np.sqrt(squared[i])),
            "r2": float(1 - squared[i] / spread[i]) if spread[i] > 0 else None,
            "baseline_mae": float(baseline[i]),
        }
        for i, name in enumerate(names)
    ]
    known = [target["r2"] for target in per_target if target["r2"] is not None]
    return {
        "loss": float((squared / np.asarray(std) ** 2).mean()),
        "mae": float(absolute.mean()),
        "rmse": float(np.sqrt(squared).mean()),
        "r2": float(np.mean(known)) if known else None,
        "rows": rows,
        "bad_rows": bad,
        "targets": list(names),
        "per_target": per_target,
        "baseline": {"answer": dict(zip(names, mean, strict=True)), "mae": float(baseline.mean())},
    }
