"""The settings with which an interrupted or finished run is continued, read back from its newest checkpoint."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from bitesize.errors import BadSetting
from bitesize.sources.base import Source
from bitesize.training.checkpoint import Checkpoint
from bitesize.training.differences import CHOSEN, FREE, absolute, differences_of_given, found_path
from bitesize.training.record import Split, begun, fingerprints
from bitesize.training.run import RunFolder
from bitesize.training.run_status import SavedCheckpoint
from bitesize.training.settings import TrainSettings
from bitesize.training.values import Scaling, saved_scaling

# What a command may set when it continues a run: where things are now.
_TAKEN = FREE | {"data", "labels", "val", "weights", "epochs"}


@dataclass(frozen=True)
class InterruptedRun:
    """A run that is to be continued.

    Parameters
    ----------
    settings, scaling
        Of the run.
    standing
        Its newest checkpoint.
    extends
        Whether its number of epochs is another from here on: the learning rate begins another cycle.
    """

    settings: TrainSettings
    scaling: Scaling
    standing: SavedCheckpoint
    extends: bool = False
    extra: Mapping[str, Any] = field(default_factory=dict)

    def check_classes(self, train: Source, val: Source | None, classes: Sequence[str]) -> None:
        """Raise `BadSetting` where classes have other names than when the run was started."""
        known = self.extra.get("fingerprints", {}).get("classes")
        if known not in (None, fingerprints(train, val, classes)["classes"]):
            raise BadSetting(
                f"the classes of {self.settings.data} have other names than when the run was started ({', '.join(classes[:5])}): give the data "
                "that it was started with, or another --out"
            )


@dataclass(frozen=True)
class Start:
    """How a training starts.

    Parameters
    ----------
    run
        Its folder, which this process has locked.
    broken
        What is continued there; None for training from the beginning.
    given
        Settings that were given; the others are defaults.
    command
        The command line, for the record.
    """

    run: RunFolder
    broken: InterruptedRun | None = None
    given: Mapping[str, Any] = field(default_factory=dict)
    command: str = ""

    def record(self, settings: TrainSettings, split: Split) -> dict[str, Any]:
        """Return what config.json and checkpoints note of this training, whatever its model."""
        extra = None if self.broken is None else self.broken.extra
        return {
            **begun(self.command, extra, None if self.broken is None else self.broken.standing.name),
            "seed": settings.seed,
            "given": absolute(self.given) if extra is None else extra.get("given"),
            "folder": os.getcwd(),
            "fingerprints": fingerprints(split.train, split.val, split.train.classes or ()),
        }


def read_broken(out: str | os.PathLike[str], standing: SavedCheckpoint, given: Mapping[str, Any]) -> InterruptedRun:
    """Read how the run in a folder is continued.

    Parameters
    ----------
    out
        The run's folder.
    standing
        Its newest checkpoint, as `read_status` reads it.
    given
        Settings that the user gives. Paths, memory, checkpoints and the number of epochs may be others; all else must agree.

    Raises
    ------
    BadSetting
        If a given setting is another than the run's, more epochs than are wanted are trained, or the checkpoints are of another program.
    BadFile
        If no checkpoint is whole.
    """
    extra = Checkpoint(RunFolder(Path(out)).checkpoints).peek()  # of one that is whole, arrays included
    if extra is None or "settings" not in extra:
        raise BadSetting(f"the checkpoints in {out} are not of bitesize train: their own program continues them")
    settings = TrainSettings.from_dict(extra["settings"])
    given = {
        name: value for name, value in given.items() if value != "auto" or name not in CHOSEN
    }  # what auto chose was saved
    differ = [each for each in differences_of_given(extra, given) if each.name != "epochs"]
    if differ:
        raise BadSetting(
            f"the run in {out} has other settings: {'; '.join(map(str, differ))}. Leave them out to continue it, or give another --out"
        )
    epochs = given.get("epochs", settings.epochs)
    if isinstance(epochs, int) and epochs < standing.epochs:
        are = "epoch of the run in {} is" if standing.epochs == 1 else "epochs of the run in {} are"
        of = f", the last up to batch {standing.batch}" if standing.batch else ""
        raise BadSetting(
            f"--epochs is {epochs}, and {standing.epochs} {are.format(out)} trained{of}: give at least so many, or another --out"
        )
    names = ("data", "labels", "val", "weights", "model")
    paths = {name: found_path(name, getattr(settings, name), extra["folder"]) for name in names}
    taken = {name: value for name, value in given.items() if name in _TAKEN}
    steps, values = saved_scaling(extra)
    scaling = Scaling(steps, values, extra.get("values") or f"values: {values}, as before")
    return InterruptedRun(replace(settings, **(paths | taken)), scaling, standing, epochs != settings.epochs, extra)
