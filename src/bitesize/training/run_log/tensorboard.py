"""Events for TensorBoard, in the folder ``tensorboard`` of the run, in the format of tensorboardX."""

from __future__ import annotations

import contextlib
import itertools
import os
import time
from datetime import datetime
from pathlib import Path
from typing import Any

from bitesize.outputs.base import import_framework
from bitesize.training.run_log.writer import TENSORBOARD, Event, LoggedRun, Writer, figures, position, step

# Seconds after which figures are flushed to the disk.
_FLUSH_SECONDS = 10.0
_NUMBERS = itertools.count()


class TensorBoard(Writer):
    """Writer of scalars over trained batches: ``epoch/loss``, ``batch/loss`` and so on; and of the verdict as text.

    The file is written in this thread: the `SummaryWriter` of tensorboardX has one of its own, which ends when the disk is full, and
    then whatever writes waits forever.

    Parameters
    ----------
    run
        The run.
    """

    title = "TensorBoard"

    def __init__(self, run: LoggedRun) -> None:
        self._run, self._folder = run, run.folder / TENSORBOARD
        self._file: Any = None
        self._batches, self._flushed = 0, 0.0
        self._older: list[Path] = []

    @staticmethod
    def check() -> str:
        """Return a line on what will be written, or raise `MissingPackage`."""
        import_framework("tensorboardX", "--log tensorboard: tensorboardX", "tensorboardX")
        return "log: TensorBoard, in the folder tensorboard of the run (tensorboard --logdir shows it)"

    def start(self, event: Event) -> None:
        """Open a file of events. TensorBoard hides what an earlier session has logged of batches that are trained again."""
        from tensorboardX.proto.event_pb2 import SessionLog
        from tensorboardX.summary import text

        self._batches = event["batches"]
        self._folder.mkdir(parents=True, exist_ok=True)
        epoch, batch = position(event["from"])
        first = epoch * self._batches + batch + 1
        if event["from"] is None:  # of a run that this one replaces, when its first model is saved
            self._older = [*self._folder.glob("events.out.*")]
        self._put(event, first, session_log=SessionLog(status=SessionLog.START))
        if event["from"] is None:
            lines = [f"    {name}: {value}" for name, value in self._run.settings.items() if value is not None]
            self._put(event, first, summary=text("settings", "\n".join(lines)))

    def batch(self, event: Event) -> None:
        """Write the figures after a batch."""
        self._scalars("batch", event)
        if time.monotonic() - self._flushed > _FLUSH_SECONDS:
            self._flush()

    def epoch(self, event: Event) -> None:
        """Write the figures of an epoch."""
        from tensorboardX.summary import text

        for path in self._older:
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)
        self._older = []
        self._scalars("epoch", event)
        self._put(event, step(event, self._batches), summary=text("verdict", event["verdict"]))
        self._flush()

    def end(self, event: Event) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()

    def _scalars(self, group: str, event: Event) -> None:
        from tensorboardX.summary import scalar

        for name, value in {**figures(event), "epoch": event["epoch"]}.items():
            self._put(event, step(event, self._batches), summary=scalar(f"{group}/{name}", value))

    def _put(self, event: Event, at: int, **content: Any) -> None:
        from tensorboardX.event_file_writer import EventsWriter
        from tensorboardX.proto.event_pb2 import Event as Line

        line = Line(wall_time=datetime.fromisoformat(event["time"]).timestamp(), step=at, **content)
        with self._renewed():
            if self._file is None:
                self._file = EventsWriter(str(self._folder / "events"), f".{os.getpid()}.{next(_NUMBERS)}")
            self._file.write_event(line)

    def _flush(self) -> None:
        self._flushed = time.monotonic()
        with self._renewed():
            self._file.flush()

    @contextlib.contextmanager
    def _renewed(self) -> Any:
        """Drop the file after an error, because readers end at half a line: the next line opens another file."""
        try:
            yield
        except OSError:
            self._file = None
            raise
