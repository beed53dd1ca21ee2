"""`bitesize train --workers`: the workers of Ray train, and this process prints what they send."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from bitesize.cli.console import console, errors, plain, show_log
from bitesize.cli.interrupt import INTERRUPT, leave
from bitesize.cli.moving import Figures, Moving
from bitesize.cli.progress import Quiet, Terminal
from bitesize.cli.run_folder import Wanted
from bitesize.cli.train_ranks import choose_together
from bitesize.cli.train_run import train_run

if TYPE_CHECKING:
    from bitesize.cluster.workers import Workers
    from bitesize.training.ranks import Ranks

Send = Callable[..., bool]
# Seconds between two messages about progress.
_EVERY = 0.3
# Seconds between two reports of epochs to Ray.
_REPORT = 30.0


@dataclass(frozen=True)
class Place:
    """Where the command was given: its folder, its words, and the width of its terminal."""

    folder: str
    words: tuple[str, ...]
    width: int
    quiet: bool


def train_on_workers(workers: Workers, wanted: Wanted, *, json: bool) -> dict[str, Any] | None:
    """Train on workers of Ray; print what they send. Return the result, or None if nothing was left to train."""
    from bitesize.cluster.ray_ranks import RankedRun, RankTask
    from bitesize.cluster.session import connected
    from bitesize.training.backend import choose_backend

    choose_backend()  # a missing package is reported before Ray starts
    place = Place(os.getcwd(), tuple(sys.argv), console.width, json)
    with connected(workers) as session:
        if not json:
            console.print(f"[bold]{'workers':<9}[/] {workers} on {plain(session.described)}", highlight=False)
        folder = None if session.address is None else _ray_folder(wanted.out)
        desk = _Desk(RankedRun(session, workers, RankTask(train_rank, (wanted, place), folder)), json)
        return desk.serve()


class _Desk:
    """Work of this process while the ranks train: it prints their messages, and passes Ctrl-C on to them."""

    def __init__(self, run: Any, quiet: bool) -> None:
        self._run, self._quiet = run, quiet
        self._figures: Figures | None = None
        self._asked = self._told = self._ended = False
        self.result: dict[str, Any] | None = None
        self._error: tuple[str, str] | None = None
        self._interrupted = False

    def serve(self) -> dict[str, Any] | None:
        """Print messages until the ranks have ended; raise their error."""
        with (
            INTERRUPT.gently(self._ask, lambda: not self._ended, self._too_late),
            Moving(lambda: self._figures, console, hide=self._quiet),
        ):
            for events in self._run.events():
                for event in events:
                    self._handle(event.kind, event.value)
                if self._asked and not self._told:
                    self._told = True
                    self._run.stop()
        self._ended = True
        if self._interrupted or self._asked:
            leave()
        if self._error is not None:
            raise _error(*self._error)
        return self.result

    def _handle(self, kind: str, value: Any) -> None:
        if kind == "progress":
            self._figures = value
        elif kind in ("stdout", "stderr"):
            stream = console if kind == "stdout" else errors
            stream.out(value, end="", highlight=False)
        elif kind == "result":
            self.result, self._figures = value, None
        elif kind == "error":
            self._error = value
        elif kind == "interrupted":
            self._interrupted = True

    def _ask(self) -> None:
        self._asked = True

    def _too_late(self) -> None:
        errors.print("Interrupted before the workers could save: the last checkpoint stays.", highlight=False)


def train_rank(ranks: Ranks, again: int, out: str | None, send: Send, wanted: Wanted, place: Place) -> None:
    """Train in a worker, one of several ranks; rank 0 sends what is printed."""
    from bitesize.errors import BitesizeError, WorkerFailed

    sys.argv = list(place.words)  # for the record of the run
    _check_paths(place, wanted)
    first = ranks.is_first
    listener = Distant(send) if first and not place.quiet else Hearing(send) if first else Following()
    with _sent(send, place) if first else contextlib.nullcontext():
        try:
            again_wanted = wanted if out is None else replace(wanted, out=out)
            chosen = choose_together(ranks, again_wanted, again)
            if first and chosen.start is not None:
                send("out", _absolute(chosen.start.run.shown))
            quiet = not first or place.quiet
            result = train_run(
                chosen, quiet=quiet, ranks=ranks, listener=listener, report=first and wanted.report, end=_raise
            )
            listener.reports.finish()
            if first:
                send("result", result)
        except KeyboardInterrupt:
            if first:
                send("interrupted")
        except BitesizeError as error:
            if not isinstance(error, WorkerFailed):
                send("error", (type(error).__name__, str(error)))
            if error is not ranks.agreed:
                raise  # the others wait for this rank: Ray ends them


class Following(Quiet):
    """Listener of ranks other than the first: it takes part in the reports to Ray."""

    def __init__(self) -> None:
        super().__init__()
        self.reports = Reports()

    def planned(self, job: Any) -> None:
        """Keep the job."""
        self._job = job

    def epoch(self, line: dict[str, Any]) -> None:
        """Report the epoch to Ray."""
        super().epoch(line)
        self.reports.add(line, self._job)


class Hearing(Following):
    """Listener of rank 0 that shows nothing, and hears whether to stop."""

    def __init__(self, send: Send) -> None:
        super().__init__()
        self._send, self._sent = send, 0.0

    def batch(self, epoch: int, batch: int, logs: dict[str, float]) -> None:
        """Ask whether to stop, a few times a second."""
        if (now := time.monotonic()) - self._sent > _EVERY:
            self._sent = now
            _stop_if(self._send("progress", None), self._job)


class Distant(Terminal):
    """Listener of rank 0 that sends the progress to the program that shows it."""

    def __init__(self, send: Send) -> None:
        super().__init__()
        self.reports = Reports()
        self._send, self._sent = send, 0.0
        self._moving = Moving(self._figures, console, hide=True)

    def batch(self, epoch: int, batch: int, logs: dict[str, float]) -> None:
        """Send the progress a few times a second, and hear whether to stop."""
        super().batch(epoch, batch, logs)
        if (now := time.monotonic()) - self._sent > _EVERY:
            self._sent = now
            _stop_if(self._send("progress", self._figures()), self._job)

    def epoch(self, line: dict[str, Any]) -> None:
        """Send a table line, and report the epoch to Ray."""
        super().epoch(line)
        self.reports.add(line, self._job)


class Reports:
    """Reports of epochs to Ray Train, at most twice a minute, because each waits for all ranks and for Ray, for up to two seconds."""

    def __init__(self) -> None:
        self._next = 0.0
        self._last: tuple[dict[str, Any], Any] | None = None

    def add(self, line: dict[str, Any], job: Any) -> None:
        """Report an epoch if a report is due, on all ranks."""
        self._last = line, job
        if job.ranks.broadcast(time.monotonic() > self._next):
            self._next = time.monotonic() + _REPORT
            self.finish()

    def finish(self) -> None:
        """Report the last epoch, if it is not reported yet."""
        from bitesize.cluster.ray_ranks import report

        if self._last is None:
            return
        (line, job), self._last = self._last, None
        run = job.run
        checkpoints = f"{run.address}/checkpoints" if run.address else str(run.checkpoints)
        report(line, checkpoints, first=job.ranks.is_first)


def _stop_if(asked: bool, job: Any) -> None:
    """Save and stop the training of all ranks, if asked for."""
    if asked:
        if job.checkpoint is None:
            raise KeyboardInterrupt
        job.checkpoint.stop()


class _Mail:
    """Text file that sends what is written to it."""

    encoding = "utf-8"

    def __init__(self, send: Send, kind: str) -> None:
        self._send, self._kind = send, kind

    def write(self, text: str) -> int:
        """Send text."""
        if text:
            self._send(self._kind, text)
        return len(text)

    def flush(self) -> None:
        """Do nothing: text is sent at once."""

    def isatty(self) -> bool:
        """Return False."""
        return False


@contextlib.contextmanager
def _sent(send: Send, place: Place) -> Any:
    """Send what is printed within the block."""
    before = console.file, errors.file
    for each, kind in ((console, "stdout"), (errors, "stderr")):
        each.file = _Mail(send, kind)  # type: ignore[assignment]
        each.width = place.width
    show_log(all_of_it=False)
    try:
        yield
    finally:
        console.file, errors.file = before


def _check_paths(place: Place, wanted: Wanted) -> None:
    """Raise if a path of the command is relative to a folder that this machine does not have.

    Raises
    ------
    BadSetting
        The message names the path, the folder and the machine.
    """
    import socket

    from bitesize.errors import BadSetting

    if os.path.isdir(place.folder):  # then it is the current folder of this process
        return
    settings = wanted.settings
    paths = [wanted.out or "runs", *([] if settings is None else [settings.data, settings.val])]
    relative = [path for path in paths if path and "://" not in str(path) and not os.path.isabs(str(path))]
    if relative:
        raise BadSetting(
            f"{relative[0]} is a path in {place.folder}, which {socket.gethostname()} does not have: use a shared folder by its absolute path, "
            "or an address such as s3://bucket/data, for DATA and --out"
        )


def _raise() -> None:
    raise KeyboardInterrupt


def _absolute(shown: str) -> str:
    return shown if "://" in shown else os.path.abspath(shown)


def _ray_folder(out: str | None) -> str:
    """Return the folder for Ray's own small files, beside the run, for machines that share it."""
    return (
        f"{(out or 'runs').rstrip('/')}/ray" if out is not None and "://" in out else os.path.abspath(f"{out or 'runs'}/ray")
    )


def _error(name: str, text: str) -> Exception:
    from bitesize import errors as kinds

    kind = getattr(kinds, name, kinds.BitesizeError)
    error: Exception = kind(text)
    return error
