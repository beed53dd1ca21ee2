"""The trackers to which a training is logged, by the names of `--log`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bitesize.training.run_log.background import Background
from bitesize.training.run_log.mlflow import MLflow
from bitesize.training.run_log.prometheus import Prometheus
from bitesize.training.run_log.tensorboard import TensorBoard
from bitesize.training.run_log.wandb import WandB
from bitesize.training.run_log.writer import LoggedRun, Writer

_CHECKS: dict[str, Callable[[], str]] = {"tensorboard": TensorBoard.check, "mlflow": MLflow.check, "wandb": WandB.check}


def check_trackers(settings: Any) -> list[str]:
    """Return a line on each tracker of the settings' ``log`` and ``prometheus``; for the beginning, before any work.

    Raises
    ------
    MissingPackage
        If the library of a tracker is not installed.
    RequestFailed
        If a server cannot be reached, or refuses the user.
    BadSetting, NotFound
        If the file for Prometheus cannot be written.
    """
    lines = [_CHECKS[name]() for name in settings.log if name in _CHECKS]
    return lines if settings.prometheus is None else [*lines, Prometheus.check(settings.prometheus)]


def open_trackers(settings: Any, run: LoggedRun) -> list[Writer]:
    """Return the writers of all trackers of the settings, other than the log of the run."""
    kinds: dict[str, Callable[[], Writer]] = {
        "tensorboard": lambda: TensorBoard(run),
        "mlflow": lambda: Background(MLflow(run)),
        "wandb": lambda: Background(WandB(run)),
    }
    writers = [kinds[name]() for name in settings.log if name in kinds]
    return writers if settings.prometheus is None else [*writers, Prometheus(run, settings.prometheus)]
