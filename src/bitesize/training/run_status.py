"""What a run's folder holds: nothing, a run that was interrupted, a finished one; read without the weights."""

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

_PLACE = re.compile(r"epoch(\d+)-batch(\d+)")


@dataclass(frozen=True)
class SavedCheckpoint:
    """Where training stood when it was last saved.

    Parameters
    ----------
    name
        The checkpoint's file.
    epoch, batch
        Epochs that are done, and batches of the next.
    extra
        What the run noted with it: settings, those that were given, the folder it was started in. Empty if the checkpoint is not of
        ``bitesize train``.
    stopped
        Whether early stopping had ended it.
    """

    name: str
    epoch: int
    batch: int
    extra: Mapping[str, Any]
    stopped: bool = False

    @property
    def epochs(self) -> int:
        """Epochs that training has begun."""
        return self.epoch + (self.batch > 0)

    @property
    def place(self) -> str:
        """Where it stood, for people."""
        done = "before the first epoch" if not self.epoch else f"after epoch {self.epoch}"
        return f"epoch {self.epoch + 1}, batch {self.batch}" if self.batch else done


@dataclass(frozen=True)
class RunStatus:
    """What a folder holds.

    Attributes
    ----------
    checkpoint : SavedCheckpoint or None
        The newest checkpoint.
    config : dict or None
        The settings of the model that is there; None where there is no model.
    summary : dict or None
        The figures of the finished run whose model is there.
    """

    checkpoint: SavedCheckpoint | None
    config: Mapping[str, Any] | None
    summary: Mapping[str, Any] | None
    _older: bool = False  # a summary of schema 1 that was written after the checkpoint

    @property
    def interrupted(self) -> SavedCheckpoint | None:
        """The checkpoint of a run that has not come to its end."""
        here, summary = self.checkpoint, self.summary
        if here is None or summary is None:
            return here
        if "run" in summary:
            of_it = summary["run"] == here.extra.get("run")
            return None if of_it and summary["planned_epochs"] >= here.extra["settings"]["epochs"] else here
        if self._older or here.epoch >= here.extra.get("settings", {}).get("epochs", 0):
            return None
        return here

    @property
    def empty(self) -> bool:
        """Whether there is neither a model nor a checkpoint."""
        return self.checkpoint is None and self.config is None


def read_status(path: str | os.PathLike[str]) -> RunStatus:
    """Read what a folder holds; one that does not exist holds nothing.

    Raises
    ------
    BadFile
        If there are checkpoints and the state of none can be read, or another of the files cannot.
    """
    folder = RunFolder(Path(path))
    checkpoint = newest_checkpoint(folder)
    if not folder.whole:
        return RunStatus(checkpoint, None, None)
    summary = folder.path / "summary.json"
    if not summary.is_file():
        return RunStatus(checkpoint, folder.config(), None)
    try:
        found: dict[str, Any] = json.loads(summary.read_text(encoding="utf-8"))
    except ValueError as error:
        raise BadFile(f"{summary} cannot be read: {error}") from error
    older = checkpoint is not None and summary.stat().st_mtime >= (folder.checkpoints / checkpoint.name).stat().st_mtime
    return RunStatus(checkpoint, folder.config(), found, older)


def newest_checkpoint(folder: RunFolder) -> SavedCheckpoint | None:
    """Read where the newest checkpoint stands; None where there is none.

    Raises
    ------
    BadFile
        If there are checkpoints and the state of none can be read.
    """
    shelf = CheckpointStore(folder.checkpoints, 1)
    damaged: list[str] = []
    for path in reversed(shelf.paths()):
        try:
            state = read_state(path)
        except BadFile as error:
            damaged.append(str(error))
            continue
        place = _PLACE.search(path.name)
        assert place is not None  # the shelf names them so
        extra = state.get("extra") or {}
        of_train = "settings" in extra
        return SavedCheckpoint(
            path.name, int(place[1]), int(place[2]), extra if of_train else {}, bool(state.get("stopped"))
        )
    if damaged:
        raise BadFile(f"no checkpoint in {shelf.folder} is whole: {'; '.join(damaged)}")
    return None
