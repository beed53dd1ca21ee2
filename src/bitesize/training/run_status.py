"""Read the status of a run folder without its weights: empty, an interrupted run, or a finished run."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bitesize.errors import BadFile
from bitesize.training.checkpoint_store import CheckpointStore
from bitesize.training.run import RunFolder
from bitesize.training.snapshot import read_state

_POSITION = re.compile(r"epoch(\d+)-batch(\d+)")


@dataclass(frozen=True)
class SavedCheckpoint:
    """Position of training at its last checkpoint.

    Parameters
    ----------
    name
        File name of the checkpoint.
    epoch, batch
        Number of finished epochs, and of trained batches of the next epoch.
    extra
        Record of the run: all settings, given settings, and the folder in which it was started. Empty if the checkpoint was not
        written by ``bitesize train``.
    stopped
        Whether early stopping had ended the training.
    """

    name: str
    epoch: int
    batch: int
    extra: Mapping[str, Any]
    stopped: bool = False

    @property
    def epochs(self) -> int:
        """Number of epochs that training has started."""
        return self.epoch + (self.batch > 0)

    @property
    def described(self) -> str:
        """Description of the position."""
        done = "before the first epoch" if not self.epoch else f"after epoch {self.epoch}"
        return f"epoch {self.epoch + 1}, batch {self.batch}" if self.batch else done


@dataclass(frozen=True)
class RunStatus:
    """Status of a run folder.

    Attributes
    ----------
    checkpoint : SavedCheckpoint or None
        The newest checkpoint.
    config : dict or None
        Config of the saved model; None if there is no model.
    summary : dict or None
        Figures of the finished run of the saved model.
    """

    checkpoint: SavedCheckpoint | None
    config: Mapping[str, Any] | None
    summary: Mapping[str, Any] | None
    _older: bool = False  # a summary of schema 1 that was written after the checkpoint

    @property
    def interrupted(self) -> SavedCheckpoint | None:
        """Checkpoint of a run that has not finished, or None."""
        checkpoint, summary = self.checkpoint, self.summary
        if checkpoint is None or summary is None:
            return checkpoint
        if "run" in summary:
            same_run = summary["run"] == checkpoint.extra.get("run")
            return None if same_run and summary["planned_epochs"] >= checkpoint.extra["settings"]["epochs"] else checkpoint
        if self._older or checkpoint.epoch >= checkpoint.extra.get("settings", {}).get("epochs", 0):
            return None
        return checkpoint

    @property
    def empty(self) -> bool:
        """Return whether the folder has neither a model nor a checkpoint."""
        return self.checkpoint is None and self.config is None


def read_status(path: str | os.PathLike[str]) -> RunStatus:
    """Read the status of a folder; a missing folder counts as empty.

    Raises
    ------
    BadFile
        If there are checkpoints but none has a readable state, or another file cannot be read.
    """
    folder = RunFolder(Path(path))
    checkpoint = newest_checkpoint(folder)
    if not folder.whole:
        return RunStatus(checkpoint, None, None)
    summary = folder.path / "summary.json"
    if not summary.is_file():
        return RunStatus(checkpoint, folder.config(), None)
    try:
        figures: dict[str, Any] = json.loads(summary.read_text(encoding="utf-8"))
    except ValueError as error:
        raise BadFile(f"{summary} cannot be read: {error}") from error
    older = checkpoint is not None and summary.stat().st_mtime >= (folder.checkpoints / checkpoint.name).stat().st_mtime
    return RunStatus(checkpoint, folder.config(), figures, older)


def newest_checkpoint(folder: RunFolder) -> SavedCheckpoint | None:
    """Read the position of the newest checkpoint; return None if there is no checkpoint.

    Raises
    ------
    BadFile
        If there are checkpoints but none has a readable state.
    """
    store = CheckpointStore(folder.checkpoints, 1)
    damaged: list[str] = []
    for path in reversed(store.paths()):
        try:
            state = read_state(path)
        except BadFile as error:
            damaged.append(str(error))
            continue
        position = _POSITION.search(path.name)
        assert position is not None  # naming of the checkpoint store
        extra = state.get("extra") or {}
        of_train = "settings" in extra
        return SavedCheckpoint(
            path.name, int(position[1]), int(position[2]), extra if of_train else {}, bool(state.get("stopped"))
        )
    if damaged:
        raise BadFile(f"no checkpoint in {store.folder} is intact: {'; '.join(damaged)}")
    return None
