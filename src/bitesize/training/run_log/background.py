"""Writing in a thread: a server that is slow, or gone, does not slow training."""

from __future__ import annotations

import logging
import queue
import threading

from bitesize.errors import one_line
from bitesize.training.run_log.writer import Event, Writer

# Seconds that the end of training waits for what is not written yet.
PATIENCE = 30.0
_log = logging.getLogger("bitesize")


class Background(Writer):
    """Writer that passes events on to another one in a thread, except the start, whose errors are the caller's.

    Parameters
    ----------
    writer
        Writer that may wait for a server.
    patience
        Seconds to wait at the end.
    """

    def __init__(self, writer: Writer, patience: float = PATIENCE) -> None:
        self.title, self.fills = writer.title, writer.fills
        self._writer, self._patience = writer, patience
        self._events: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._lost = 0

    def write(self, event: Event) -> None:
        """Write the start at once, and put all other events into the queue; after the last one, wait until it is empty."""
        if event["event"] == "start":
            self._writer.write(event)
            self._thread = threading.Thread(target=self._run, name="bitesize-run-log", daemon=True)
            self._thread.start()
            return
        self._events.put(event)
        if event["event"] == "end" and self._thread is not None:
            self._thread.join(self._patience)
            if self._thread.is_alive():
                _log.warning(
                    "%s has not taken the last figures within %g s: they may be missing there", self.title, self._patience
                )

    def _run(self) -> None:
        while True:
            event = self._events.get()
            try:
                self._writer.write(event)
            except Exception as error:  # noqa: BLE001 - other libraries raise anything
                if not self._lost:
                    _log.warning("%s cannot be written: %s. Training continues", self.title, one_line(error))
                self._lost += 1
            if event["event"] == "end":
                return
