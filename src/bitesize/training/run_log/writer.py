"""What a writer of events is, and the events themselves."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# An event: ``event`` is its kind, "start", "batch", "epoch" or "end"; docs/train.md lists the other keys.
Event = dict[str, Any]

# Names of `--log`. The first is always written.
TRACKERS = ("jsonl", "tensorboard", "mlflow", "wandb")
# Folders of these trackers in the folder of a run.
TENSORBOARD, WANDB = "tensorboard", "wandb"

# Keys of events that are not figures of the model.
_OTHERS = frozenset(("event", "time", "seconds", "epoch", "batch", "verdict"))
_CHECKPOINT = re.compile(r"\d+-epoch(\d+)-batch(\d+)\.npz")


@dataclass(frozen=True)
class LoggedRun:
    """The run whose events are written.

    Parameters
    ----------
    folder
        Folder of the run, or the working copy of a run at an address.
    shown
        Folder or address.
    run
        Identity of the run, the same when it is resumed.
    settings
        Settings of the training.
    at_address
        Whether the folder is a working copy.
    """

    folder: Path
    shown: str
    run: str
    settings: Mapping[str, Any]
    at_address: bool = False


class Writer:
    """Place to which the events of a training are written. A subclass defines the methods of the events that it writes.

    Attributes
    ----------
    title : str
        Name of the tracker, for messages.
    live : bool
        Whether the tracker shows the present only: then batches are written every few seconds, however long training takes.
    fills : bool
        Whether events of earlier sessions are written again, of which the tracker then takes those that it lacks.
    """

    title = ""
    live = fills = False

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


def step(event: Event, batches: int) -> int:
    """Return the batches that were trained before the end of an event's epoch or batch, from its number and the batches of an epoch."""
    return int((event["epoch"] - 1) * batches + event.get("batch", batches))
