"""The settings of an interrupted run, read back from its newest checkpoint."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bitesize.errors import BadFile, BadSetting
from bitesize.training.checkpoint import Checkpoint
from bitesize.training.run import RunFolder
from bitesize.training.settings import TrainSettings
from bitesize.training.user_model import is_file
from bitesize.training.values import Scaling, saved_scaling

# What may be another when a run goes on: none of it changes what is learned.
_FREE = {"data", "labels", "val", "weights", "memory", "checkpoint_every"}


@dataclass(frozen=True)
class Broken:
    """Settings of a run, and how pixel values were scaled."""

    settings: TrainSettings
    scaling: Scaling


def read_broken(out: str | os.PathLike[str], given: Mapping[str, Any]) -> Broken | None:
    """Read what the run in a folder was told.

    Parameters
    ----------
    out
        The run's folder.
    given
        Settings that the user gives again. Paths, memory and checkpoints may be others; all else must agree.

    Returns
    -------
    Broken or None
        None where there is no checkpoint.

    Raises
    ------
    BadSetting
        If a given setting is another than the run's.
    BadFile
        If no checkpoint is whole.
    """
    extra = Checkpoint(RunFolder(Path(out)).checkpoints).peek()
    if extra is None:
        return None
    if "settings" not in extra:
        raise BadSetting(f"the checkpoints in {out} are not of bitesize train: their own program goes on with them")
    settings = TrainSettings.from_dict(extra["settings"])
    for name, value in given.items():
        old = getattr(settings, name)
        if name not in _FREE and value not in (old, "auto"):  # what auto chose was saved
            option = "--" + name.replace("_", "-")
            raise BadSetting(
                f"{option} was {old} when the run in {out} started and cannot become {value}: leave it out, or start a new run "
                "with another --out"
            )
    paths = {
        name: _found(name, getattr(settings, name), extra["folder"])
        for name in ("data", "labels", "val", "weights", "model")
    }
    free = {name: value for name, value in given.items() if name in _FREE}
    steps, values = saved_scaling(extra)
    return Broken(
        replace(settings, **(paths | free)), Scaling(steps, values, extra.get("values") or f"values: {values}, as before")
    )


def read_finished(out: str | os.PathLike[str]) -> dict[str, Any] | None:
    """Return the summary of the run in a folder, if it came to its end; else None."""
    summary = RunFolder(Path(out)).path / "summary.json"
    if unfinished(out) is not None or not summary.is_file():
        return None
    found: dict[str, Any] = json.loads(summary.read_text(encoding="utf-8"))
    return found


def unfinished(out: str | os.PathLike[str]) -> str | None:
    """Tell where the run in a folder stands, if it was broken off; None where there is none, or it came to its end."""
    checkpoint = Checkpoint(RunFolder(Path(out)).checkpoints)
    newest = checkpoint.newest_path
    summary = RunFolder(Path(out)).path / "summary.json"
    if newest is None or (summary.exists() and summary.stat().st_mtime >= newest.stat().st_mtime):
        return None  # it ended, by its last epoch or earlier
    try:
        settings = (checkpoint.peek() or {}).get("settings", {})
    except BadFile:
        return newest.name  # a beginning run is not the one to judge it
    epoch = int(newest.name.split("-epoch")[1].split("-")[0])
    return newest.name if epoch < settings.get("epochs", 0) else None


def _found(name: str, path: str | None, folder: str) -> str | None:
    """Give a path as it is found from here: as it was told, or from where the run was begun."""
    if path is None or os.path.isabs(path):
        return path
    if name == "model" and not (is_file(path) or path.endswith(".keras")):
        return path  # a name
    there = os.path.join(folder, path)
    # file.py:function
    file, file_there = (each.rpartition(":")[0] if ".py:" in each else each for each in (path, there))
    return there if not os.path.exists(file) and os.path.exists(file_there) else path
