"""Messages between the program that started a training and its workers, by an actor of Ray."""

from __future__ import annotations

from typing import Any, NamedTuple


class Event(NamedTuple):
    """A message of a worker: its kind, and a value that can be pickled."""

    kind: str
    value: Any


class Mailbox:
    """Actor that keeps messages until the program takes them, and what the next workers must know if these have ended."""

    def __init__(self) -> None:
        self._events: list[Event] = []
        self._starts = 0
        self._ends = False
        self._out: str | None = None

    def start(self) -> tuple[int, bool, str | None]:
        """Count a start of the workers; return how often they were started before, whether they end at once, and their folder."""
        self._starts += 1
        return self._starts - 1, self._ends, self._out

    def put(self, event: Event) -> bool:
        """Keep a message; return whether the workers shall stop."""
        if event.kind == "out":
            self._out = event.value
        elif event.kind in ("error", "interrupted", "result"):
            self._ends = True
        self._events.append(event)
        return self._stop

    def take(self) -> list[Event]:
        """Return the messages since the last call."""
        events, self._events = self._events, []
        return events

    def stop(self) -> None:
        """Make the workers save, and stop."""
        self._stop = True

    def stops(self) -> bool:
        """Return whether the workers shall stop."""
        return self._stop

    _stop = False
