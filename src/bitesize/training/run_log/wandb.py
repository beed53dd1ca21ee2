"""Events for Weights & Biases: a run with the settings, and metrics over trained batches."""

from __future__ import annotations

import logging
import os
from typing import Any

from bitesize.errors import RequestFailed, one_line
from bitesize.outputs.base import import_framework
from bitesize.training.run_log.writer import Event, LoggedRun, Writer, figures, step

PROJECT = "bitesize"
# Values of WANDB_MODE that need no server.
_WITHOUT_SERVER = ("offline", "dryrun", "disabled")
_SECONDS = 20
_log = logging.getLogger("bitesize")


class WandB(Writer):
    """Writer of one run of Weights & Biases, in the project and the mode that its environment variables name.

    Parameters
    ----------
    run
        The run.
    """

    title = "Weights & Biases"
    fills = True  # it writes its file late, so that a kill loses some

    def __init__(self, run: LoggedRun) -> None:
        self._logged = run
        self._run: Any = None
        self._batches = self._least = 0

    @staticmethod
    def check() -> str:
        """Return a line on the tracker, or raise: `MissingPackage`, or `RequestFailed` if the server does not accept the user."""
        wandb = import_framework("wandb", "--log wandb: Weights & Biases", "wandb")
        mode = os.environ.get("WANDB_MODE") or "online"
        if mode not in _WITHOUT_SERVER:
            try:
                wandb.login(verify=True, timeout=_SECONDS)
            except Exception as error:
                raise RequestFailed(
                    f"--log wandb: {one_line(error, 300)} WANDB_MODE=offline writes files that wandb sync sends later"
                ) from error
        project = os.environ.get("WANDB_PROJECT") or PROJECT
        return f"log: Weights & Biases, project {project}, {mode} (WANDB_PROJECT and WANDB_MODE change this)"

    def start(self, event: Event) -> None:
        """Start the run, or continue that of an earlier session, which has the same identity."""
        import wandb

        run, self._batches = self._logged, event["batches"]
        settings = {name: value for name, value in run.settings.items() if value not in (None, ())}
        sizes = {name: event[name] for name in ("rows", "val_rows", "batches")}
        # A working copy is emptied when all of it is at its address.
        folder = None if run.at_address or os.environ.get("WANDB_DIR") else str(run.folder)
        try:
            self._run = wandb.init(
                project=os.environ.get("WANDB_PROJECT") or PROJECT,
                id=run.run,
                resume="allow",
                name=os.environ.get("WANDB_NAME") or run.shown,
                config=settings | sizes,
                dir=folder,
                settings=wandb.Settings(console="off", silent=True, init_timeout=3 * _SECONDS),
            )
        except Exception as error:
            raise RequestFailed(f"--log wandb: {one_line(error, 300)}") from error
        self._run.config.update(settings | sizes, allow_val_change=True)
        self._least = self._run.step
        _log.info("%s: %s", self.title, self._run.url or self._run.dir)

    def batch(self, event: Event) -> None:
        """Write the figures after a batch; a step has one line, which at the end of an epoch is that of the epoch."""
        if event["batch"] < self._batches:
            self._metrics(event, {f"batch/{name}": value for name, value in figures(event).items()})

    def epoch(self, event: Event) -> None:
        """Write the figures of an epoch, and the verdict into the summary of the run."""
        self._metrics(event, figures(event))
        self._run.summary["verdict"] = event["verdict"]

    def end(self, event: Event) -> None:
        """End the run of Weights & Biases."""
        if self._run is not None:
            self._run.summary.update({"reason": event["reason"], "best_epoch": event["best_epoch"]})
            self._run.finish(exit_code=0 if event["reason"] in ("finished", "stopped early") else 1)

    def _metrics(self, event: Event, values: dict[str, float]) -> None:
        at = step(event, self._batches)
        if at >= self._least:  # otherwise it is there already
            self._run.log({**values, "epoch": event["epoch"]}, step=at, commit=True)
