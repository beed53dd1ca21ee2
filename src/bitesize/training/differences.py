"""Find the settings in which a command differs from the run in a folder."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from typing import Any

from bitesize.storage import paths
from bitesize.training.data import open_data
from bitesize.training.record import fingerprints
from bitesize.training.settings import TrainSettings
from bitesize.training.user_model import is_file

# Settings that may change when a run is resumed: they do not change what is learned from readable rows.
FREE = frozenset(("memory", "checkpoint_every", "on_error", "max_bad", "fold", "cache", "cache_folder", "log", "prometheus"))
# Settings with file names: files may have moved.
PATHS = frozenset(("data", "labels", "val", "weights", "model"))
# Settings chosen by the data or the model if not given; runs of schema 1 record only the chosen value.
CHOSEN = {
    "model": "auto",
    "batch_size": "auto",
    "epochs": "auto",
    "early_stopping": "auto",
    "frozen_epochs": "auto",
    "image_size": None,
}
_DEFAULTS = {each.name: None if each.default is MISSING else each.default for each in fields(TrainSettings)}


@dataclass(frozen=True)
class Difference:
    """A setting with different values in a command and a run.

    Parameters
    ----------
    name
        Name of the setting.
    old, new
        Values in the run and in the command.
    """

    name: str
    old: Any
    new: Any

    def __str__(self) -> str:
        if self.name in ("DATA", "--val"):
            return f"{self.name} {self.new}"
        return f"{option_of(self.name)} was {_shown(self.old)} and is {_shown(self.new)}"


def option_of(name: str) -> str:
    """Return the command-line option of a setting."""
    return "DATA" if name == "data" else "--" + name.replace("_", "-")


def differences(saved: Mapping[str, Any], settings: TrainSettings) -> list[Difference]:
    """Compare all settings of a command, including defaults, with those at the start of a run.

    Parameters
    ----------
    saved
        Record of the run: its config, or ``extra`` of a checkpoint.
    settings
        Settings of the command, before any choice by the data.
    """
    differing = []
    given, used = saved.get("given"), TrainSettings.from_dict(saved["settings"]).as_dict()
    for name in _DEFAULTS:
        if name in FREE:
            continue
        new = getattr(settings, name)
        old = used.get(name, _DEFAULTS[name]) if given is None else given.get(name, _DEFAULTS[name])
        chosen = given is None and name in CHOSEN and new == CHOSEN[name]
        longer = name == "epochs" and new == used["epochs"]  # it was trained longer than planned at its start
        if not (chosen or longer) and not _same(name, old, new, saved.get("folder", ".")):
            differing.append(Difference(name, used["epochs"] if name == "epochs" else old, new))
    return differing


def differences_of_given(saved: Mapping[str, Any], given: Mapping[str, Any]) -> list[Difference]:
    """Compare only the settings that a command gives with those of a run, given or chosen."""
    differing = []
    used = TrainSettings.from_dict(saved["settings"]).as_dict()
    for name, new in given.items():
        if name in FREE or name == "data":
            continue
        olds = [used.get(name, _DEFAULTS[name])]
        olds += [saved["given"][name]] if name in (saved.get("given") or {}) else []
        if not any(_same(name, old, new, saved.get("folder", ".")) for old in olds):
            differing.append(Difference(name, olds[0], new))
    return differing


def differences_of_data(saved: Mapping[str, Any], settings: TrainSettings) -> list[Difference]:
    """Compare the data of a command with the data at the start of a run, by fingerprints; this opens the data.

    Raises
    ------
    BitesizeError
        If the data cannot be opened.
    """
    data = open_data(settings)
    old = saved.get("fingerprints") or {"train": saved.get("fingerprint")}
    differing = []
    for part, source, name in (("train", data.train, "DATA"), ("val", data.val, "--val")):
        if source is None or old.get(part) in (None, source.fingerprint()):
            continue
        rows = saved.get("split", {}).get(part)
        counts = "" if rows in (None, len(source)) else f": {part} had {rows:,} rows and now has {len(source):,}"
        differing.append(Difference(name, None, f"has other files, labels or shapes than at the start of the run{counts}"))
    if not differing and old.get("classes") not in (None, fingerprints(data.train, data.val, data.classes)["classes"]):
        differing.append(Difference("DATA", None, "has other class names than at the start of the run"))
    return differing


def absolute(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings with absolute paths."""
    return {
        name: paths.abspath(value) if name in PATHS and isinstance(value, str) and _is_path(name, value) else value
        for name, value in given.items()
    }


def found_path(name: str, path: str | None, folder: str) -> str | None:
    """Return a path as found from the current directory: as given, or relative to the folder in which the run was started."""
    if path is None or paths.isabs(path) or not _is_path(name, path):
        return path
    there = paths.join(folder, path)
    return there if not os.path.exists(_file(path)) and os.path.exists(_file(there)) else path


def _same(name: str, old: Any, new: Any, folder: str) -> bool:
    if old == new and not (name in PATHS and isinstance(new, str) and _is_path(name, new)):
        return True
    if name not in PATHS or not isinstance(old, str) or not isinstance(new, str):
        return bool(old == new)
    if ".py:" in old and ".py:" in new and old.rpartition(":")[2] != new.rpartition(":")[2]:
        return False
    before, now = (_file(each) for each in (paths.join(folder, old), new))
    if os.path.realpath(before) == os.path.realpath(now):
        return True
    if name == "data":
        return True  # its fingerprint is compared
    # Only moved: the name exists here, and no longer at the old location.
    return paths.exists(now) and not paths.exists(before) and paths.basename(before) == paths.basename(now)


def _is_path(name: str, value: str) -> bool:
    """Return whether a setting is a path: labels may be columns, and models have names."""
    if name == "model":
        return is_file(value) or value.endswith(".keras")
    if name == "weights":
        return value != "imagenet"
    return name in ("data", "val") or os.path.exists(value) or bool(os.path.splitext(value)[1])


def _file(path: str) -> str:
    return path.rpartition(":")[0] if ".py:" in path else path


def _shown(value: Any) -> str:
    return "not given" if value is None else str(value)
