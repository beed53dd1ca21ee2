"""Scores of tags: joined from batches, with the area under the ROC curve from rounded log-odds."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bitesize.errors import BadSetting
from bitesize.training.tasks.tag_counts import LIMIT, PER_UNIT, STEPS, TagCounts

_EDGE = 1e-7


class TagScore(NamedTuple):
    """Score of one batch.

    Attributes
    ----------
    true : ndarray of bool, shape (rows, tags)
        Tags of the rows that have a prediction.
    steps : ndarray of uint16, shape (rows, tags)
        Their rounded log-odds, from 0.
    loss : float
        Sum over rows of their mean binary cross-entropies in nats.
    bad : int
        Number of rows without a prediction.
    """

    true: NDArray[np.bool_]
    steps: NDArray[np.uint16]
    loss: float
    bad: int

    @classmethod
    def of(cls, labels: NDArray[Any], odds: NDArray[np.float64], bad: int) -> TagScore:
        """Return the score of rows by their labels and log-odds."""
        loss = float((np.logaddexp(0, odds) - labels * odds).mean(axis=1).sum()) if len(odds) else 0.0
        return cls(labels != 0, steps_of(odds), loss, bad)


def log_odds(probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return ``log(p / (1 - p))``, for probabilities of at least 1e-7 and at most 1 - 1e-7.

    Examples
    --------
    >>> import numpy as np
    >>> log_odds(np.array([0.5, 0.731058578])).round(6).tolist()
    [0.0, 1.0]
    """
    p = np.clip(probabilities, _EDGE, 1 - _EDGE)
    return np.asarray(np.log(p) - np.log1p(-p))


def steps_of(odds: NDArray[np.float64]) -> NDArray[np.uint16]:
    """Return log-odds rounded down to steps, from 0."""
    return np.clip(np.floor((odds + LIMIT) * PER_UNIT), 0, STEPS - 1).astype(np.uint16)


def join_scores(
    tags: Sequence[str], threshold: float, shares: Sequence[float], batches: Iterable[TagScore], most: int
) -> dict[str, Any]:
    """Join the scores of batches.

    Parameters
    ----------
    tags
        Names of the tags.
    threshold
        Least probability of the tags that are predicted.
    shares
        Share of the training rows with each tag, for the baseline.
    batches
        Scores of all batches.
    most
        Most rows that the batches have.

    Returns
    -------
    dict
        ``loss`` (mean binary cross-entropy in nats), ``f1_macro`` and ``auc`` (means over the tags where they are defined), ``f1_micro`` (of
        all tags together), ``exact_match`` (share of rows whose tags are all right), ``rows``, ``bad_rows``, ``tags``, ``threshold``,
        ``per_tag`` (``precision``, ``recall``, ``f1``, ``auc``, ``rows``; None where undefined), and ``baseline``: the tags whose
        constant answer has the highest F1 on the training data, and its ``f1_micro`` on these rows.
    """
    counts = TagCounts(len(tags), most)
    edge = int(np.ceil((log_odds(np.asarray([threshold])) + LIMIT) * PER_UNIT)[0])
    loss, bad, rows, exact = 0.0, 0, 0, 0
    for batch in batches:
        loss += batch.loss
        bad += batch.bad
        rows += len(batch.true)
        exact += int(((batch.steps >= edge) == batch.true).all(axis=1).sum())
        counts.add(batch.true, batch.steps)
    if not rows:
        raise BadSetting("no row could be read")
    true, hits, predicted = np.zeros((3, len(tags)), np.int64)
    per_tag: list[dict[str, Any]] = []
    for i, name in enumerate(tags):
        found = counts.of(i)
        true[i], hits[i], predicted[i] = found[1].sum(), found[1, edge:].sum(), found[:, edge:].sum()
        figures = _figures(int(hits[i]), int(true[i]), int(predicted[i]))
        per_tag.append({"tag": name, **figures, "auc": _area(found), "rows": int(true[i])})
    return {
        "loss": loss / rows,
        "f1_macro": _mean(tag["f1"] for tag in per_tag),
        "f1_micro": _figures(int(hits.sum()), int(true.sum()), int(predicted.sum()))["f1"],
        "auc": _mean(tag["auc"] for tag in per_tag),
        "exact_match": exact / rows,
        "rows": rows,
        "bad_rows": bad,
        "tags": list(tags),
        "threshold": threshold,
        "per_tag": per_tag,
        "baseline": _baseline(tags, shares, true, rows),
    }


def _figures(hit: int, true: int, predicted: int) -> dict[str, float | None]:
    """Return precision, recall and F1; None where they are undefined."""
    return {
        "precision": hit / predicted if predicted else None,
        "recall": hit / true if true else None,
        "f1": 2 * hit / (true + predicted) if true else None,
    }


def _area(counts: NDArray[np.int64]) -> float | None:
    """Return the area under the ROC curve of one tag, from its counts by step of rows without and with it, shape (2, steps)."""
    without, with_it = counts.astype(np.float64)
    pairs = without.sum() * with_it.sum()
    if not pairs:
        return None
    below = np.cumsum(without) - without
    return float((with_it * (below + 0.5 * without)).sum() / pairs)


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def _baseline(tags: Sequence[str], shares: Sequence[float], true: NDArray[np.int64], rows: int) -> dict[str, Any] | None:
    """Return the constant answer with the highest F1 on the training data, and its F1 on rows with these counts of tags."""
    if not len(shares):
        return None
    order = np.argsort(-np.asarray(shares), kind="stable")
    hits = np.cumsum(np.asarray(shares)[order])
    best = int(np.argmax(2 * hits / (np.arange(1, len(order) + 1) + hits[-1]))) + 1
    answer = sorted(order[:best].tolist())
    found = _figures(int(true[answer].sum()), int(true.sum()), best * rows)["f1"]
    return {"tags": [tags[i] for i in answer], "f1_micro": found}
