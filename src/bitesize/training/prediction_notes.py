"""Lines about data that is predicted: its layout, what was left out, adaptations, and rows without a prediction."""

from __future__ import annotations

import logging

from bitesize.sources.explanation import counted_reason
from bitesize.training.given import Given

_log = logging.getLogger("bitesize")


def log_prediction(given: Given, errors: dict[int, str], lines: list[str]) -> None:
    """Log the adaptations of the data, and rows without a prediction."""
    if errors:
        row, reason = next(iter(errors.items()))
        rows = "1 row has" if len(errors) == 1 else f"{len(errors):,} rows have"
        _log.warning("predict: %s no prediction; %s: %s", rows, given.describe(row), reason)
    for line in lines:
        (_log.warning if line.startswith("warning: ") else _log.info)("predict: %s", line.removeprefix("warning: "))


def notes_on(given: Given) -> list[str]:
    """Return lines about the layout of data, and about files left out."""
    left = ", ".join(counted_reason(count, why) for why, count in given.left_out.items())
    return [*dict.fromkeys(given.said), *([f"left out: {left}"] if left else [])]
