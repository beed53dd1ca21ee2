"""The present figures of a training as a text file for Prometheus: the textfile collector of its node exporter reads it."""

from __future__ import annotations

import os
import re
from typing import Any

from bitesize.errors import BadSetting, NotFound
from bitesize.outputs.base import import_framework
from bitesize.training.run_log.writer import Event, LoggedRun, Writer, figures

_HELP = {
    "loss": "Loss of training, the mean over the epoch so far",
    "rows_per_second": "Rows trained per second",
    "memory_bytes": "Bytes of the memory budget in use; after an epoch, the most so far",
    "budget_bytes": "Memory budget of loading",
    "process_bytes": "Resident memory of the process",
    "epoch": "Epoch that is trained, from 1",
    "epochs": "Epochs to train",
    "batch": "Trained batches of the epoch",
    "batches": "Batches of an epoch",
    "epoch_seconds": "Seconds of the last epoch, with validation",
    "training_seconds": "Seconds of training so far",
    "running": "1 while training runs, 0 when it has ended",
}


class Prometheus(Writer):
    """Writer of gauges with the label ``run``, the folder of the run. The file is replaced as a whole.

    Parameters
    ----------
    run
        The run.
    path
        The file, whose name ends in ``.prom``.
    """

    title = "the file for Prometheus"
    live = True

    def __init__(self, run: LoggedRun, path: str) -> None:
        from prometheus_client import CollectorRegistry

        self._run, self._path = run.shown, path
        self._registry = CollectorRegistry()
        self._gauges: dict[str, Any] = {}

    @staticmethod
    def check(path: str) -> str:
        """Return a line on the file, or raise: `MissingPackage`, `BadSetting` or `NotFound` if it cannot be written."""
        import_framework("prometheus_client", "--prometheus: prometheus_client", "prometheus_client")
        folder = os.path.dirname(os.path.abspath(path))
        if not os.path.isdir(folder):
            raise NotFound(f"--prometheus {path}: the folder {folder} does not exist")
        if not os.access(folder, os.W_OK):
            raise BadSetting(f"--prometheus {path}: the folder {folder} cannot be written to")
        return f"log: the present figures for Prometheus in {path}"

    def start(self, event: Event) -> None:
        """Write the sizes of the training."""
        sizes = {name: event[name] for name in ("epochs", "batches", "budget_bytes")}
        self._put({**sizes, "training_seconds": event["seconds"], "running": 1})

    def batch(self, event: Event) -> None:
        """Write the figures after a batch."""
        place = {"epoch": event["epoch"], "batch": event["batch"], "training_seconds": event["seconds"]}
        self._put({**figures(event), **place})

    def epoch(self, event: Event) -> None:
        """Write the figures of an epoch."""
        self._put({**figures(event), "epoch": event["epoch"], "training_seconds": event["seconds"]})

    def end(self, event: Event) -> None:
        """Write that training has ended."""
        self._put({"training_seconds": event["seconds"], "running": 0})

    def _put(self, values: dict[str, float]) -> None:
        from prometheus_client import Gauge, write_to_textfile

        for name, value in values.items():
            metric = f"bitesize_{re.sub(r'[^a-zA-Z0-9_]', '_', name)}"
            if metric not in self._gauges:
                text = _HELP.get(name, f"Figure of the model: {name}")
                self._gauges[metric] = Gauge(metric, text, ["run"], registry=self._registry)
            self._gauges[metric].labels(self._run).set(value)
        write_to_textfile(self._path, self._registry)
