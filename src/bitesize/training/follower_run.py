"""The run folder as ranks other than the first have it: rank 0 writes all files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bitesize.training.record import Split
from bitesize.training.run import RunFolder


class FollowerRun(RunFolder):
    """Run folder in which this process writes nothing."""

    def release(self) -> None:
        """Do nothing: rank 0 has the lock."""

    def finish(self, *, raises: bool = True) -> None:
        """Do nothing."""

    def begin(
        self,
        model: Any,
        config: dict[str, Any],
        classes: tuple[str, ...],
        *,
        split: Split | None = None,
        keeps_checkpoints: bool = False,
    ) -> None:
        """Do nothing."""

    def write_config(self, config: dict[str, Any], classes: tuple[str, ...]) -> None:
        """Do nothing."""

    def save_model(self, model: Any) -> None:
        """Do nothing."""

    def write_history(self, epochs: list[dict[str, Any]]) -> None:
        """Do nothing."""

    def write_bad(self, rows: list[tuple[Any, ...]]) -> None:
        """Do nothing."""

    def write_summary(self, result: dict[str, Any]) -> None:
        """Do nothing."""


def follow(shown: str) -> FollowerRun:
    """Return the folder of a run that rank 0 writes, by its path or address."""
    return FollowerRun(Path(shown), address=shown if "://" in shown else "")
