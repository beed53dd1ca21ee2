"""Rows with equal contents, within a part of the data and across parts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from bitesize.scan.content import RowFacts
from bitesize.scan.findings import ReportedRow
from bitesize.sources.base import Source

Groups = tuple[tuple[ReportedRow, ...], ...]


def equal_rows(parts: Mapping[str, Source], facts: Mapping[str, RowFacts]) -> tuple[Groups, Groups]:
    """Return groups of rows with equal contents: (within a part, across parts)."""
    names = list(parts)
    hashes = np.concatenate([part.hashes for part in facts.values()])
    starts = np.cumsum([0, *(len(part) for part in parts.values())])
    order = np.lexsort((hashes["low"], hashes["high"]))
    ordered = hashes[order]
    same = (ordered[1:] == ordered[:-1]) & (ordered[1:] != np.zeros(1, hashes.dtype))  # zero: the row was not read
    edges = np.flatnonzero(np.diff(np.concatenate([[False], same, [False]]).astype(np.int8)))
    within: list[tuple[ReportedRow, ...]] = []
    across: list[tuple[ReportedRow, ...]] = []
    for first, last in edges.reshape(-1, 2).tolist():
        group, labels = [], []
        for number in sorted(order[first : last + 1].tolist()):
            which = int(np.searchsorted(starts, number, side="right")) - 1
            part, row = parts[names[which]], int(number - starts[which])
            labels.append(_label(part, row))
            group.append(ReportedRow(names[which], row, part.describe(row)))
        if len(set(labels)) > 1:
            group = [row._replace(reason="other labels") for row in group]
        (within if len({row.part for row in group}) == 1 else across).append(tuple(group))
    return tuple(sorted(within)), tuple(sorted(across))


def _label(part: Source, row: int) -> Any:
    labels = part.labels
    if labels is None:
        return None
    return part.classes[labels[row]] if part.classes is not None else int(labels[row])
