"""The listener that makes events of a training, and writes them to the log of the run and to other trackers."""

from __future__ import annotations

import contextlib
import logging
import math
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from types import TracebackType
from typing import Any

import psutil

from bitesize.errors import BadSetting, BitesizeError, one_line
from bitesize.memory.sizes import six_digits
from bitesize.training.progress_listener import ProgressListener
from bitesize.training.ranks import OneProcess, Ranks
from bitesize.training.run_log.file import LogFile
from bitesize.training.run_log.sampling import Sampling
from bitesize.training.run_log.trackers import open_trackers
from bitesize.training.run_log.writer import Event, LoggedRun, Writer, position

# Least seconds between two lines about batches, and about how many of them a training has.
_SECONDS, _LINES = 1.0, 1000
# Least seconds between two changes of what shows the present only.
_LIVE_SECONDS = 5.0
_log = logging.getLogger("bitesize")


class RunLog:
    """Listener to a training that logs its events, and passes all calls on to another listener; a context manager around the training.

    Parameters
    ----------
    job
        The prepared training.
    listener
        Listener that hears the same.
    ranks
        The processes that train together, of which the first writes. Default: this process alone.
    """

    def __init__(self, job: Any, listener: ProgressListener, ranks: Ranks | None = None) -> None:
        self._job, self._listener, self._ranks = job, listener, ranks or OneProcess()
        self._process = psutil.Process()
        self._writers: list[Writer] = []
        self._sampled: list[tuple[Sampling, list[Writer]]] = []
        self._warned: set[Writer] = set()
        self._began, self._epochs, self._ended = time.perf_counter(), 0, False

    def planned(self, job: Any) -> None:
        """Write that training starts."""
        self._ranks.of_first(self._start)
        self._listener.planned(job)

    def batch(self, epoch: int, batch: int, logs: dict[str, float]) -> None:
        """Write the running figures of an epoch (from 0) after a batch (from 1), if a line is due."""
        now = time.perf_counter()
        for sampling, writers in self._sampled:
            if (rate := sampling.rate(epoch, batch, now)) is not None:
                figures = {"epoch": epoch + 1, "batch": batch, **_numbers(logs)}
                figures["rows_per_second"] = round(rate * self._job.loader.batch_size, 1)
                self._write("batch", figures | self._memory(self._job.budget.in_use), writers)
        self._listener.batch(epoch, batch, logs)

    def epoch(self, line: dict[str, Any]) -> None:
        """Write the figures of an epoch, as in ``history.csv``, and what limits its speed."""
        self._epochs = line["epoch"]
        figures = _numbers({name: value for name, value in line.items() if name not in ("epoch", "seconds")})
        own = {"epoch_seconds": line["seconds"], **self._memory(self._job.budget.peak)}
        self._write("epoch", {"epoch": line["epoch"], **figures, **own, "verdict": self._job.loader.stats.verdict()})
        self._listener.epoch(line)

    def finish(self, result: Mapping[str, Any]) -> None:
        """Write that training has ended, with the result of `training.loop.train`."""
        reason = "finished" if len(result["epochs"]) >= result["planned_epochs"] else "stopped early"
        self._end(len(result["epochs"]), reason, result["best_epoch"])

    def __enter__(self) -> RunLog:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._end(self._epochs, "interrupted" if isinstance(error, KeyboardInterrupt) else "failed")

    def _start(self) -> None:
        """Open the log and the other trackers, and write the first event."""
        job, session = self._job, self._job.config["sessions"][-1]
        log = LogFile(job.run.path, job.config["run"])
        self._began = time.perf_counter() - log.seconds
        self._epochs, _ = position(session.get("from"))
        settings = job.settings.as_dict()
        run = LoggedRun(job.run.path, job.run.shown, job.config["run"], settings, at_address=bool(job.run.address))
        start = self._event("start", self._sizes() | {"from": session.get("from")})
        self._writers = [log]
        self._write_event(start, self._writers)
        for writer in open_trackers(job.settings, run):
            _start(writer, start)
            self._writers.append(writer)
            for event in log.trained() if writer.fills else ():
                self._write_event(event, [writer])
        batches = len(job.loader) * job.settings.epochs
        live = [writer for writer in self._writers if writer.live]
        self._began = time.perf_counter() - log.seconds  # connecting is no training
        lasting = [writer for writer in self._writers if not writer.live]
        self._sampled = [
            (Sampling(_SECONDS, batches, _LINES), lasting),
            *([(Sampling(_LIVE_SECONDS), live)] if live else []),
        ]

    def _sizes(self) -> dict[str, Any]:
        job = self._job
        return {
            "run": job.config["run"],
            "command": job.config["sessions"][-1]["command"],
            "model": job.settings.model,
            "rows": len(job.train),
            "val_rows": 0 if job.val is None else len(job.val),
            "batch_size": job.loader.batch_size,
            "epochs": job.settings.epochs,
            "batches": len(job.loader),
            "budget_bytes": job.budget.total,
        }

    def _end(self, epochs: int, reason: str, best: int | None = None) -> None:
        if not self._ended:
            self._ended = True
            self._write("end", {"epochs": epochs, "best_epoch": best, "reason": reason})

    def _memory(self, nbytes: int) -> dict[str, int]:
        budget, process = self._job.budget.total, self._process.memory_info().rss
        return {"memory_bytes": nbytes, "budget_bytes": budget, "process_bytes": process}

    def _event(self, kind: str, content: Mapping[str, Any]) -> Event:
        seconds = round(time.perf_counter() - self._began, 3)
        return {"event": kind, "time": datetime.now(UTC).isoformat(timespec="milliseconds"), "seconds": seconds, **content}

    def _write(self, kind: str, content: Mapping[str, Any], writers: Sequence[Writer] | None = None) -> None:
        self._write_event(self._event(kind, content), self._writers if writers is None else writers)

    def _write_event(self, event: Event, writers: Sequence[Writer]) -> None:
        """Write an event. What cannot be written is logged once, and does not end training."""
        for writer in writers:
            try:
                writer.write(event)
            except Exception as error:  # noqa: BLE001 - other libraries raise anything
                if writer not in self._warned:
                    self._warned.add(writer)
                    _log.warning("%s cannot be written: %s. Training continues", writer.title, one_line(error))


def _start(writer: Writer, start: Event) -> None:
    """Write the first event; an error ends the training before any work."""
    try:
        writer.write(start)
    except BitesizeError:
        raise
    except Exception as error:
        raise BadSetting(
            f"{writer.title} cannot be written: {one_line(error)}. Training starts without its --log or --prometheus"
        ) from error


def _numbers(figures: Mapping[str, Any]) -> dict[str, float | None]:
    """Return figures as JSON has them: None for values that are not finite, and nothing for those that are not numbers."""
    found: dict[str, float | None] = {}
    for name, value in figures.items():
        with contextlib.suppress(TypeError, ValueError):
            number = six_digits(float(value))
            found[name] = number if math.isfinite(number) else None
    return found
