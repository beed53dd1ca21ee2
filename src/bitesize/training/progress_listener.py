"""What a training reports while it runs."""

from __future__ import annotations

from typing import Any, Protocol


class ProgressListener(Protocol):
    """Listener to the progress of training, such as the command line."""

    def planned(self, job: Any) -> None:
        """Report that everything is ready to start."""
        ...

    def batch(self, epoch: int, batch: int, logs: dict[str, float]) -> None:
        """Report a trained batch (from 1) of an epoch (from 0)."""
        ...

    def epoch(self, line: dict[str, Any]) -> None:
        """Report a finished and saved epoch."""
        ...
