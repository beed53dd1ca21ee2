"""The file ``log.jsonl`` of a run: one event per line. It survives a kill at any moment."""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path
from typing import Any

from bitesize.training.run_log.writer import Event, Writer, position

LOG = "log.jsonl"
# The log of a run that replaces another one, until its first epoch is saved.
NEXT_LOG = "log.next.jsonl"


class LogFile(Writer):
    """Writer of ``log.jsonl``. The file is opened for each line, so that it can be moved and removed at any time.

    Parameters
    ----------
    folder
        Folder of the run.
    run
        Identity of the run. The log of another run stays until `adopt_log`.

    Attributes
    ----------
    seconds : float
        Seconds of the run that the file has already.
    """

    title = LOG

    def __init__(self, folder: Path, run: str) -> None:
        self._folder = folder
        self._path = _path_for(folder, run)
        self._torn = True  # a killed process may have left half a line
        self.seconds = _last_seconds(self._path)

    def write(self, event: Event) -> None:
        """Append a line."""
        if self._path.name == NEXT_LOG and not self._path.exists() and event["event"] != "start":
            self._path = self._folder / LOG
        if self._torn:
            _mend_last_line(self._path)
        line = json.dumps(event, ensure_ascii=False).encode("utf-8", "backslashreplace") + b"\n"
        self._torn = True  # until all of it is written
        with open(self._path, "ab", buffering=0) as file:
            self._torn = file.write(line) < len(line)

    def trained(self) -> list[Event]:
        """Return the events of the epochs and batches that are trained; after a start that was written, of earlier sessions."""
        try:
            return [event for event in _settled(_events(self._path)) if event["event"] in ("epoch", "batch")]
        except OSError:
            return []


def adopt_log(folder: Path, run: str | None) -> None:
    """Make the log of this run that of the folder; the log of the run that it replaces is removed."""
    log, following = folder / LOG, folder / NEXT_LOG
    if run is not None and _run_of(log) == run:
        return
    with contextlib.suppress(OSError):  # a log ends no training
        if run is not None and _run_of(following) == run:
            os.replace(following, log)
        else:
            log.unlink(missing_ok=True)


def read_log(folder: str | os.PathLike[str]) -> list[dict[str, Any]]:
    """Read the events of a run, in the order of time.

    Parameters
    ----------
    folder
        Folder of the run.

    Returns
    -------
    list of dict
        The lines of ``log.jsonl``. Of an epoch or a batch that was trained again after a kill, only the last line is returned,
        and none of batches that a resumed training has lost. Damaged lines are left out. Without a log, the list is empty.

    Examples
    --------
    >>> import tempfile
    >>> read_log(tempfile.mkdtemp())
    []
    """
    return _settled(_events(Path(folder) / LOG))


def _settled(events: list[Event]) -> list[Event]:
    """Return events without those that were trained again, or lost."""
    found: dict[tuple[Any, ...], Event] = {}
    for number, event in enumerate(events):
        kind = event["event"]
        if kind == "start":
            at = position(event.get("from"))
            found = {key: each for key, each in found.items() if not _is_after(each, at)}
        key = (kind, event["epoch"], event.get("batch")) if kind in ("batch", "epoch") else (kind, number)
        found.pop(key, None)  # the last line has its place in the order of time
        found[key] = event
    return [*found.values()]


def _is_after(event: Event, at: tuple[int, int]) -> bool:
    """Return whether an event is of an epoch or a batch after a position."""
    if event["event"] == "epoch":
        return bool(event["epoch"] > at[0])
    return event["event"] == "batch" and (event["epoch"] - 1, event["batch"]) > at


def _events(path: Path) -> list[Event]:
    """Return the lines that are whole."""
    try:
        lines = path.read_bytes().split(b"\n")
    except FileNotFoundError:
        return []
    return [event for line in lines if (event := _parsed(line)) is not None]


def _parsed(line: bytes) -> Event | None:
    """Return the event of a line, or None if the line is not one."""
    try:
        event = json.loads(line)
    except ValueError:
        return None
    if not isinstance(event, dict) or not isinstance(event.get("time"), str) or not isinstance(event.get("from") or "", str):
        return None
    numbers = {"start": (), "end": (), "epoch": ("epoch",), "batch": ("epoch", "batch")}.get(str(event.get("event")))
    whole = numbers is not None and all(isinstance(event.get(name), int) for name in numbers)
    return event if whole and isinstance(event.get("seconds"), int | float) else None


def _path_for(folder: Path, run: str) -> Path:
    """Return the file for the log of a run: the one it has, or a new one. The log of a run that can be used stays."""
    log, following = folder / LOG, folder / NEXT_LOG
    for path in (following, log):
        if _run_of(path) == run:
            return path
    replaces = log.exists() and any((folder / name).exists() for name in ("config.json", "checkpoints"))
    path = following if replaces else log
    with contextlib.suppress(OSError):  # reported with the first line
        path.unlink(missing_ok=True)
    return path


def _run_of(path: Path) -> str | None:
    """Return the identity of the run whose log a file is, or None."""
    try:
        with open(path, "rb") as file:
            first = _parsed(file.readline())
    except OSError:
        return None
    return None if first is None else first.get("run")


def _last_seconds(path: Path) -> float:
    try:
        return max((float(event["seconds"]) for event in _events(path)), default=0.0)
    except OSError:
        return 0.0


def _mend_last_line(path: Path) -> None:
    """End the last line if it is whole, else remove it, so that every line of the file is JSON."""
    with contextlib.suppress(FileNotFoundError), open(path, "rb+") as file:
        content = file.read()
        whole = content.rfind(b"\n") + 1
        if _parsed(content[whole:]) is None:
            file.truncate(whole)
        else:
            file.write(b"\n")
