"""Folders that hold data in parts for training, validation and test."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from bitesize.errors import BadSetting, NotFound

# What people call the parts.
ALIASES: Mapping[str, tuple[str, ...]] = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation", "dev"),
    "test": ("test", "testing"),
}

# What people call the column that tells the part of each row.
COLUMNS = ("split", "set", "subset", "fold")


class InParts(BadSetting):
    """Data is in parts, and none was chosen.

    Attributes
    ----------
    parts : tuple of str
        Their names, as ``split=`` takes them.
    """

    def __init__(self, where: str, parts: Iterable[str]) -> None:
        self.where, self.parts = where, tuple(parts)
        super().__init__(self.told('split="{}"'))

    def told(self, setting: str) -> str:
        """Say what there is, and how to choose: by a setting in which the name takes the place of ``{}``."""
        return f"{self.where} holds data in parts ({', '.join(self.parts)}): choose one with {setting.format(self.parts[0])}"

    def __reduce__(self) -> tuple[type[InParts], tuple[str, tuple[str, ...]]]:
        return type(self), (self.where, self.parts)


def part_of(name: str) -> str | None:
    """Tell which part a folder's name, or a file's name such as ``train-00000-of-00002.parquet``, stands for."""
    word = re.split(r"[^a-z]", name.lower(), maxsplit=1)[0]
    return next((part for part, names in ALIASES.items() if word in names), None)


def rank_of_part(name: str) -> tuple[int, str]:
    """Sort key of parts: training first, then validation and test, then others."""
    part = part_of(name)
    return (list(ALIASES).index(part) if part else len(ALIASES), name)


def rows_of_part(
    parts: Sequence[str], numbers: NDArray[np.int64], split: str | None, where: str
) -> NDArray[np.bool_] | None:
    """Choose the rows of a part, or give None where rows are in no parts, and none is asked for.

    Parameters
    ----------
    parts
        Names of the parts.
    numbers
        The part of each row, by its place in ``parts``.
    split
        The part that is asked for.
    where
        Name of the data, for messages.

    Raises
    ------
    BadSetting
        If there are parts, and none is asked for.
    NotFound
        If there is no such part.
    """
    ordered = sorted(parts, key=rank_of_part)
    if split is None:
        if any(part_of(part) for part in parts) and len(parts) > 1:
            raise InParts(where, ordered)
        return None
    taken = np.array([part == split or part_of(part) == (part_of(split) or split) for part in parts])
    if not taken.any():
        raise NotFound(f"{where} has no rows of the part {split!r}: it has {', '.join(ordered)}")
    return taken[numbers]


def splits(folder: str | os.PathLike[str]) -> dict[str, str]:
    """Find the parts of a folder all of whose subfolders are parts of data, ``train`` among them.

    Returns
    -------
    dict of str to str
        ``"train"``, ``"val"`` and ``"test"``, as far as they are there, to their folders; empty where this is no such folder.
    """
    with os.scandir(folder) as entries:
        names = sorted(entry.name for entry in entries if not entry.name.startswith((".", "__")) and entry.is_dir())
    found: dict[str, str] = {}
    for name in names:
        part = next((part for part, aliases in ALIASES.items() if name.lower() in aliases), None)
        if part is None or part in found:
            return {}
        found[part] = os.path.join(folder, name)
    if "train" not in found or len(found) < 2:
        return {}
    return {part: found[part] for part in sorted(found, key=rank_of_part)}


def choose(folder: str, split: str) -> str | None:
    """Give the folder of a part, under whatever usual name it has; None where there are no folders at all.

    Raises
    ------
    NotFound
        If there are others only.
    """
    for name in (split, *ALIASES.get(split, ())):
        path = os.path.join(folder, name)
        if os.path.isdir(path):
            return path
    with os.scandir(folder) as entries:
        there = ", ".join(sorted(entry.name for entry in entries if entry.is_dir())[:10])
    if not there:
        return None
    raise NotFound(f"{folder} has no part {split!r}: it has the folders {there}")


def choose_files(paths: Sequence[str], split: str | None, folder: str) -> list[str]:
    """Take the files of a part by how their names begin; all files where they are not in parts.

    Raises
    ------
    BadSetting
        If there are several parts and none is asked for.
    NotFound
        If there are no files of the part.
    """
    parts = [part_of(os.path.basename(path)) for path in paths]
    if split is None:
        if None not in parts and len(set(parts)) > 1:
            raise InParts(folder, sorted({str(part) for part in parts}, key=rank_of_part))
        return list(paths)
    wanted = part_of(split) or split
    chosen = [path for path, part in zip(paths, parts, strict=True) if part == wanted]
    if not chosen:
        raise NotFound(
            f"{folder} has no files of the part {split!r}: there are {', '.join(map(os.path.basename, paths[:5]))}"
        )
    return chosen
