"""The page of `bitesize inspect`: rows as stored, and as the model sees them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from bitesize.report.drawing import data_uri, draw_rows, draw_stored
from bitesize.sources.base import Source
from bitesize.training.tasks.mask_numbers import is_mask

SIDE = 160
# Rows that are drawn at a time: only their pictures are in memory at full size.
_BLOCK = 8


def rows_of_page(
    source: Source,
    rows: Sequence[int],
    steps: Sequence[Any],
    draws: int,
    seed: int,
    labels: Callable[[list[int]], list[str]],
    progress: Callable[[int], None] = lambda rows: None,
) -> Iterator[dict[str, Any]]:
    """Yield the rows of the template ``inspect.html``.

    Parameters
    ----------
    source
        The data.
    rows
        Numbers of the rows to show.
    steps
        Transforms of training.
    draws
        Number of views of each row.
    seed
        Seed of the views.
    labels
        Function that returns the labels of rows as text.
    progress
        Called with the number of rows done since the last call.
    """
    for start in range(0, len(rows), _BLOCK):
        block = list(rows[start : start + _BLOCK])
        part = source.subset(np.array(block, np.int64))
        stored, problems = draw_stored(part, SIDE, seed=seed, masks=False)
        masked = [draw_stored(part, SIDE, seed=seed)[0]] if is_mask(source) else []
        views = [draw_rows(part, steps, SIDE, epoch=epoch, seed=seed)[0] for epoch in range(draws)]
        for i, (row, label) in enumerate(zip(block, labels(block), strict=True)):
            pictures = [data_uri(each[i], SIDE) for each in (stored, *masked, *views)]
            yield {
                "row": row,
                "label": label,
                "path": source.describe(row),
                "problem": problems.get(i, ""),
                "pictures": pictures,
            }
        progress(len(block))
