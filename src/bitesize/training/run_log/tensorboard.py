"""Events for TensorBoard, in the folder ``tensorboard`` of the run, written by tensorboardX."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

from bitesize.outputs.base import import_framework
from bitesize.training.run_log.writer import TENSORBOARD, Event, LoggedRun, Writer, figures, position, step


class TensorBoard(Writer):
    """Writer of scalars over trained batches: ``epoch/loss``, ``batch/loss`` and so on; and of the verdict as text.

    Parameters
    ----------
    run
        The run.
    """

    title = "TensorBoard"

    def __init__(self, run: LoggedRun) -> None:
        self._run, self._folder = run, run.folder / TENSORBOARD
        self._writer: Any = None
        self._batches = 0
        self._older: list[Path] = []

    @staticmethod
    def check() -> str:
        """Return a line on what will be written, or raise `MissingPackage`."""
        import_framework("tensorboardX", "--log tensorboard: tensorboardX", "tensorboardX")
        return "log: TensorBoard, in the folder tensorboard of the run (tensorboard --logdir shows it)"

    def start(self, event: Event) -> None:
        """Open a file of events. TensorBoard hides what an earlier session has logged of batches that are trained again."""
        from tensorboardX import SummaryWriter

        epoch, batch = position(event["from"])
        self._batches = event["batches"]
        if event["from"] is None:  # of a run that this one replaces, when its first model is saved
            self._older = [*self._folder.glob("events.out.*")]
        resumes = epoch * self._batches + batch
        self._writer = SummaryWriter(str(self._folder), purge_step=resumes + 1, flush_secs=10)
        if event["from"] is None:
            lines = [f"    {name}: {value}" for name, value in self._run.settings.items() if value is not None]
            self._writer.add_text("settings", "\n".join(lines), 1)

    def batch(self, event: Event) -> None:
        """Write the figures after a batch."""
        self._scalars("batch", event)

    def epoch(self, event: Event) -> None:
        """Write the figures of an epoch."""
        for path in self._older:
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)
        self._older = []
        self._scalars("epoch", event)
        self._writer.add_text("verdict", event["verdict"], step(event, self._batches))
        self._writer.flush()

    def end(self, event: Event) -> None:
        """Close the file."""
        if self._writer is not None:
            self._writer.close()

    def _scalars(self, group: str, event: Event) -> None:
        for name, value in {**figures(event), "epoch": event["epoch"]}.items():
            self._writer.add_scalar(f"{group}/{name}", value, step(event, self._batches))
