"""What the prepared trainings of all kinds of models share: settings, data and loaders."""

from __future__ import annotations

from dataclasses import dataclass

from bitesize.engine.loader import Loader
from bitesize.memory.budget import Budget
from bitesize.sources.base import Source
from bitesize.training.settings import TrainSettings
from bitesize.training.tasks.base import Task


@dataclass
class PreparedData:
    """Settings of a training, its task, its data, and the loaders of both splits."""

    settings: TrainSettings
    task: Task
    train: Source
    val: Source | None
    budget: Budget
    loader: Loader
    val_loader: Loader | None

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the model's outputs."""
        return self.task.names

    def close(self) -> None:
        """Close the loaders."""
        self.loader.close()
        if self.val_loader is not None:
            self.val_loader.close()
