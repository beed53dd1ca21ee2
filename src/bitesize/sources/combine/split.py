"""Partitioning the rows of a source: into training, validation and test parts, or folds."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bitesize.checks import is_whole
from bitesize.errors import BadSetting, first_few
from bitesize.sources.base import Source
from bitesize.sources.choices import Choice
from bitesize.sources.combine.time_split import CROSSING, NOWHERE, overlap_hint, parts_by_time
from bitesize.sources.groups import choice_of, groups_of, suggested_groups
from bitesize.sources.labels import split_classes, split_groups

# Separates the random numbers of splits and folds.
_SPLIT, _FOLDS = 0x5F117, 0xF01D5
_NAMED = 5
_log = logging.getLogger("bitesize")


def split(
    source: Source, fractions: Sequence[float], seed: int, by: str | ArrayLike | None
) -> tuple[Source, ...]:  # fmt: skip
    """Split the rows of a source; see `Source.split`."""
    shares = _shares(fractions)
    if _by_time(source, by):
        return _parts_by_time(source, shares)
    random = _random(seed, _SPLIT)
    rows, groups = len(source), None if by is None else groups_of(source, by)
    if len(shares) == 2:
        if groups is not None:
            first = split_groups(groups, rows, shares[0], random)
        else:
            first = split_classes(source.labels, rows, shares[0], random)
        part_of = (~first).astype(np.int64)
    elif groups is not None:
        part_of = _groups_to_parts(groups, shares, random)
    else:
        part_of = _classes_to_parts(source.labels, rows, shares, random)
    _refuse_empty(part_of, shares, groups)
    _report_missing_classes(source, part_of, len(shares), "part")
    choices = _choices(source, by, groups)
    return tuple(_part(source, part_of == number, choices) for number in range(len(shares)))


def folds(source: Source, k: int, seed: int, by: str | ArrayLike | None) -> list[tuple[Source, Source]]:
    """Return the folds of a source; see `Source.folds`."""
    if not is_whole(k, least=2):
        raise BadSetting(f"folds needs a whole number of at least 2, such as 5, not {k!r}")
    if _by_time(source, by):
        return _folds_by_time(source, int(k))
    random = _random(seed, _FOLDS)
    groups = None if by is None else groups_of(source, by)
    if k > len(source):
        raise BadSetting(f"{len(source)} rows cannot make {k} folds: set k to at most {len(source)}")
    if groups is None:
        fold_of = _classes_to_folds(source.labels, len(source), int(k), random)
    else:
        fold_of = _groups_to_folds(groups, source.labels, int(k), random)
    _report_missing_classes(source, fold_of, int(k), "fold")
    choices = _choices(source, by, groups)
    return [(_part(source, fold_of != fold, choices), _part(source, fold_of == fold, choices)) for fold in range(k)]


def _by_time(source: Source, by: str | ArrayLike | None) -> bool:
    """Return whether windows are split by time, not by a column of this name."""
    return isinstance(by, str) and by == "time" and "time" not in source.column_names


def _parts_by_time(source: Source, shares: Sequence[float]) -> tuple[Source, ...]:
    """Split windows by time: the first part is the earliest."""
    part_of = parts_by_time(source, shares)
    _refuse_empty(part_of[part_of != NOWHERE], shares, None)
    return tuple(_without_crossing(source, part_of == number, part_of) for number in range(len(shares)))


def _folds_by_time(source: Source, k: int) -> list[tuple[Source, Source]]:
    """Return folds whose validation rows are k periods one after another."""
    part_of = parts_by_time(source, [1 / k] * k)
    _refuse_empty(part_of[part_of != NOWHERE], [1 / k] * k, None)
    return [
        (
            _without_crossing(source, (part_of != fold) & (part_of != NOWHERE), part_of),
            _without_crossing(source, part_of == fold, part_of),
        )
        for fold in range(k)
    ]


def _without_crossing(source: Source, rows: NDArray[np.bool_], part_of: NDArray[np.int64]) -> Source:
    """Return a part, which says how many windows are in no part."""
    part = source.subset(rows)
    crossing = int((part_of == NOWHERE).sum())
    if crossing:
        part.left_out = {**part.left_out, CROSSING: crossing}
    return part


def _shares(fractions: Sequence[Any]) -> list[float]:
    """Return the fractions of all parts, including the last."""
    if not fractions:
        raise BadSetting("split needs the fraction of the first part, split(0.9), or of all parts, split(0.7, 0.15, 0.15)")
    if len(fractions) == 1 and isinstance(fractions[0], list | tuple):
        inside = ", ".join(map(str, fractions[0]))
        raise BadSetting(f"split takes fractions one by one: split({inside})")
    for fraction in fractions:
        if not (isinstance(fraction, Real) and 0 < float(fraction) < 1):
            raise BadSetting(f"each fraction must be between 0 and 1, such as 0.9, not {fraction!r}")
    if len(fractions) == 1:
        return [fractions[0], 1 - fractions[0]]
    rest = 1 - sum(map(float, fractions))
    if abs(rest) <= 1e-9:
        return list(fractions)
    listed = ", ".join(f"{fraction:g}" for fraction in fractions)
    if rest < 0:
        raise BadSetting(f"the fractions {listed} sum to {1 - rest:g}, which is more than 1")
    raise BadSetting(
        f"the fractions {listed} sum to {1 - rest:g}, which would drop rows: add a part, split({listed}, {rest:g}), and use the parts you need"
    )


def _random(seed: int, purpose: int) -> np.random.Generator:
    if not is_whole(seed):
        raise BadSetting(f"seed must be a whole number, not {seed!r}")
    return np.random.default_rng(np.random.SeedSequence((int(seed) & (2**64 - 1), purpose)))


def _classes_to_parts(
    labels: NDArray[np.int64] | None, rows: int, shares: Sequence[float], random: np.random.Generator
) -> NDArray[np.int64]:
    """Return the part of each row, shape (rows,); the first is that of a split in two."""
    labels = np.zeros(rows, np.int64) if labels is None else labels
    part_of = np.zeros(rows, np.int64)
    ends = np.cumsum(shares)[:-1]
    for label in np.unique(labels):
        members = random.permutation(np.flatnonzero(labels == label))
        count, parts = len(members), len(shares)
        stops = [round(end * count) for end in ends]
        if count >= parts:  # each part gets rows of each class that has enough
            for i in range(len(stops)):
                stops[i] = min(max(stops[i], (stops[i - 1] if i else 0) + 1), count - (parts - 1 - i))
        part_of[members] = np.searchsorted(stops, np.arange(count), side="right")
    return part_of


def _groups_to_parts(groups: NDArray[Any], shares: Sequence[float], random: np.random.Generator) -> NDArray[np.int64]:
    """Return the part of each row, by groups in random order: a group belongs where its middle lies, as in a split in two."""
    _, member_of, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    order = random.permutation(len(sizes))
    middle = np.cumsum(sizes[order]) - sizes[order] / 2
    part = np.empty(len(sizes), np.int64)
    part[order] = np.searchsorted(np.cumsum(shares)[:-1] * len(groups), middle, side="left")
    return part[member_of]


def _classes_to_folds(
    labels: NDArray[np.int64] | None, rows: int, k: int, random: np.random.Generator
) -> NDArray[np.int64]:  # fmt: skip
    """Return the fold of each row: rows sorted by class, at random within each, are dealt out in turn."""
    order = random.permutation(rows)
    if labels is not None:
        order = order[np.argsort(labels[order], kind="stable")]
    fold_of = np.empty(rows, np.int64)
    fold_of[order] = np.arange(rows) % k
    return fold_of


def _groups_to_folds(
    groups: NDArray[Any], labels: NDArray[np.int64] | None, k: int, random: np.random.Generator
) -> NDArray[np.int64]:
    """Return the fold of each row, where groups stay whole: the method of scikit-learn's ``StratifiedGroupKFold``.

    Groups of the most uneven classes come first. Each goes to the fold in which it leaves the rows of each class most evenly spread
    over folds; of equal ones to the smallest.
    """
    _, member_of, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    if len(sizes) < k:
        raise BadSetting(f"{len(sizes)} groups cannot make {k} folds: set k to at most {len(sizes)}")
    classes, class_of = np.unique(np.zeros(len(groups)) if labels is None else labels, return_inverse=True)
    # Which classes a group has, and how many rows of each; most groups have few of many classes.
    pairs, counts = np.unique(member_of * len(classes) + class_of, return_counts=True)
    group, label = np.divmod(pairs, len(classes))
    starts = np.append(np.searchsorted(group, np.arange(len(sizes))), len(pairs))
    spread = np.bincount(group, counts.astype(float) ** 2) / len(classes) - (sizes / len(classes)) ** 2
    order = random.permutation(len(sizes))
    order = order[np.lexsort((-sizes[order], -spread[order].round(9)))]
    totals = np.bincount(class_of)
    shares = np.zeros((k, len(classes)))  # shares of the rows of each class
    filled = np.zeros(k, np.int64)
    fold = np.empty(len(sizes), np.int64)
    for number in order.tolist():
        own = slice(starts[number], starts[number + 1])
        columns = label[own]
        added = counts[own] / totals[columns]
        before = shares[:, columns]
        # With the same sum for every choice, the least variance is the least sum of squares.
        squares = (before**2).sum(axis=0) + 2 * before * added + added**2
        mean = (before.sum(axis=0) + added) / k
        uneven = np.sqrt(np.maximum(squares / k - mean**2, 0)).sum(axis=1)
        best = np.flatnonzero(uneven <= uneven.min() + 1e-12)
        chosen = best[np.argmin(filled[best])]
        shares[chosen, columns] += added
        filled[chosen] += sizes[number]
        fold[number] = chosen
    return fold[member_of]


def _part(source: Source, rows: NDArray[np.bool_], choices: tuple[Choice, ...]) -> Source:
    part = source.subset(rows)
    part.choices = tuple(dict.fromkeys((*part.choices, *choices)))
    return part


def _choices(source: Source, by: str | ArrayLike | None, groups: NDArray[Any] | None) -> tuple[Choice, ...]:
    """Return choices that describe the groups, or suggest groups."""
    if isinstance(by, str) and groups is not None:
        return (choice_of(by, groups),)
    if groups is not None:
        return ()
    suggestion = overlap_hint(source) or suggested_groups(source)
    if suggestion is None:
        return ()
    if suggestion not in source.choices:
        _log.warning("%s; %s keeps them together", suggestion.chosen, suggestion.setting)
    return (suggestion,)


def _refuse_empty(part_of: NDArray[np.int64], shares: Sequence[float], groups: NDArray[Any] | None) -> None:
    """Raise `BadSetting` if a part has no rows."""
    counts = np.bincount(part_of, minlength=len(shares))
    if counts.all():
        return
    wanted = " to ".join(f"{share:g}" for share in shares)
    if groups is None:
        raise BadSetting(f"{len(part_of)} rows cannot be split {wanted}: one part would be empty")
    _, sizes = np.unique(groups, return_counts=True)
    if len(sizes) < len(shares):
        raise BadSetting(
            f"the rows belong to {len(sizes)} {'group' if len(sizes) == 1 else 'groups'}, too few for {len(shares)} parts"
        )
    raise BadSetting(
        f"{len(sizes)} groups cannot be split {wanted}: one part would be empty. The largest group has {sizes.max() / len(part_of):.2g} of "
        "the rows: make each part larger than that, or use folds"
    )


def _report_missing_classes(source: Source, part_of: NDArray[np.int64], parts: int, unit: str) -> None:
    """Log a warning if a part or a fold has no rows of a class, since its score then ignores that class."""
    labels = source.labels
    if labels is None:
        return
    numbers, class_of = np.unique(labels, return_inverse=True)
    present = np.bincount(part_of * len(numbers) + class_of, minlength=parts * len(numbers)).reshape(parts, len(numbers)) > 0
    for part in np.flatnonzero(~present.all(axis=1)).tolist():
        missing = numbers[~present[part]].tolist()
        names = [source.classes[number] if source.classes is not None else str(number) for number in missing]
        shown = first_few(names, _NAMED)
        _log.warning(
            "%s %d of %d has no rows of %d of %d classes: %s", unit, part + 1, parts, len(names), len(numbers), shown
        )
