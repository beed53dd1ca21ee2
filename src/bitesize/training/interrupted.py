"""Read the settings to resume an interrupted or finished run from its newest checkpoint."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
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

# Settings that a command may change when it resumes a run: current locations and resources.
_CHANGEABLE = FREE | {"data", "labels", "val", "weights", "epochs"}


@dataclass(frozen=True)
class InterruptedRun:
    """A run to resume.

    Parameters
    ----------
    settings, scaling
        Settings and scaling of the run.
    checkpoint
        Newest checkpoint of the run.
    extends
        Whether the number of epochs changes: then the learning rate starts another cycle.
    """

    settings: TrainSettings
    scaling: Scaling
    checkpoint: SavedCheckpoint
    extends: bool = False
    extra: Mapping[str, Any] = field(default_factory=dict)

    def check_classes(self, train: Source, val: Source | None, classes: Sequence[str]) -> None:
        """Raise `BadSetting` if class names differ from those at the start of the run."""
        known = self.extra.get("fingerprints", {}).get("classes")
        if known not in (None, fingerprints(train, val, classes)["classes"]):
            raise BadSetting(
                f"the classes of {self.settings.data} have other names than at the start of the run ({', '.join(classes[:5])}): use the "
                "original data, or another --out"
            )


@dataclass(frozen=True)
class Start:
    """Start of a training.

    Parameters
    ----------
    run
        Folder of the run, which this process has locked.
    resumed
        Run to resume; None to train from scratch.
    given
        Settings that were given; the others are defaults.
    command
        Command line, for the record.
    """

    run: RunFolder
    resumed: InterruptedRun | None = None
    given: Mapping[str, Any] = field(default_factory=dict)
    command: str = ""

    def record(self, settings: TrainSettings, split: Split) -> dict[str, Any]:
        """Return the record of this training for config.json and checkpoints, for any kind of model."""
        extra = None if self.resumed is None else self.resumed.extra
        return {
            **begun(self.command, extra, None if self.resumed is None else self.resumed.checkpoint.name),
            "seed": settings.seed,
            "given": absolute(self.given) if extra is None else extra.get("given"),
            "folder": os.getcwd(),
            "fingerprints": fingerprints(split.train, split.val, split.train.classes or ()),
        }


def read_interrupted(run: RunFolder, checkpoint: SavedCheckpoint, given: Mapping[str, Any]) -> InterruptedRun:
    """Read the settings and state to resume the run in a folder.

    Parameters
    ----------
    run
        Folder of the run.
    checkpoint
        Newest checkpoint, as returned by `read_status`.
    given
        Settings of the user. Paths, memory, checkpoints and the number of epochs may differ from the run; all others must agree.

    Raises
    ------
    BadSetting
        If a given setting differs from the run, fewer epochs are requested than are trained, or the checkpoints are of another
        program.
    BadFile
        If no checkpoint is intact.
    """
    out = run.shown
    extra = Checkpoint(run.checkpoints).peek()  # an intact checkpoint, including its arrays
    if extra is None or "settings" not in extra:
        raise BadSetting(
            f"the checkpoints in {out} were not written by bitesize train: resume them with the program that wrote them"
        )
    settings = TrainSettings.from_dict(extra["settings"])
    given = {
        name: value for name, value in given.items() if value != "auto" or name not in CHOSEN
    }  # choices of auto were saved
    differ = [each for each in differences_of_given(extra, given) if each.name != "epochs"]
    if differ:
        raise BadSetting(
            f"the run in {out} has other settings: {'; '.join(map(str, differ))}. Drop these options to resume it, or use another --out"
        )
    epochs = given.get("epochs", settings.epochs)
    if isinstance(epochs, int) and epochs < checkpoint.epochs:
        are = "epoch of the run in {} is" if checkpoint.epochs == 1 else "epochs of the run in {} are"
        of = f", the last up to batch {checkpoint.batch}" if checkpoint.batch else ""
        raise BadSetting(
            f"--epochs is {epochs}, but {checkpoint.epochs} {are.format(out)} trained{of}: use --epochs {checkpoint.epochs} or more, or "
            "another --out"
        )
    names = ("data", "labels", "val", "weights", "model")
    paths = {name: found_path(name, getattr(settings, name), extra["folder"]) for name in names}
    changed = {name: value for name, value in given.items() if name in _CHANGEABLE}
    return interrupted_run(replace(settings, **(paths | changed)), checkpoint, epochs != settings.epochs, extra)


def interrupted_run(
    settings: TrainSettings, checkpoint: SavedCheckpoint, extends: bool, extra: Mapping[str, Any]
) -> InterruptedRun:
    """Return a run to resume, from the record in its checkpoint. The arguments can be pickled; scaling may have functions."""
    steps, values = saved_scaling(extra)
    scaling = Scaling(steps, values, extra.get("values") or f"values: {values}, as before")
    return InterruptedRun(settings, scaling, checkpoint, extends, extra)
