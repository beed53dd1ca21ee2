"""What a writer of events is, and the events themselves."""

from __future__ import annotations

import re
from typing import Any

# An event: ``event`` is its kind, "start", "batch", "epoch" or "end"; docs/train.md lists the other keys.
Event = dict[str, Any]

# Keys of events that are not figures of the model.
_OTHERS = frozenset(("event", "time", "seconds", "epoch", "batch", "verdict"))
_CHECKPOINT = re.compile(r"\d+-epoch(\d+)-batch(\d+)\.npz")


class Writer:
    """Place to which the events of a training are written. A subclass defines the methods of the events that it writes.

    Attributes
    ----------
    title : str
        Name of the place, for messages.
    """

    title = ""

    def write(self, event: Event) -> None:
        """Write an event. An error at the start ends training before any work; later ones are logged once."""
        getattr(self, event["event"])(event)

    def start(self, event: Event) -> None:
        """Write that training starts, or is resumed."""

    def batch(self, event: Event) -> None:
        """Write the figures within an epoch."""

    def epoch(self, event: Event) -> None:
        """Write the figures of an epoch."""

    def end(self, event: Event) -> None:
        """Write how training has ended, and close what is open."""


def figures(event: Event) -> dict[str, float]:
    """Return the numbers of an event that can be drawn over time.

    Examples
    --------
    >>> figures({"event": "epoch", "epoch": 3, "loss": 0.5, "val_loss": None, "verdict": "..."})
    {'loss': 0.5}
    """
    return {name: value for name, value in event.items() if name not in _OTHERS and value is not None}


def position(checkpoint: str | None) -> tuple[int, int]:
    """Return the finished epochs, and the trained batches of the next one, at which training starts, by the name of a checkpoint.

    Examples
    --------
    >>> position("000012-epoch1-batch40.npz"), position(None)
    ((1, 40), (0, 0))
    """
    match = None if checkpoint is None else _CHECKPOINT.fullmatch(checkpoint)
    return (0, 0) if match is None else (int(match[1]), int(match[2]))
