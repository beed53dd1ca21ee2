"""Splits of data for training, validation and test."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from bitesize.errors import BadSetting, NotFound
from bitesize.files.scan import is_run_folder

# Usual names of the splits.
ALIASES: Mapping[str, tuple[str, ...]] = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation", "dev"),
    "test": ("test", "testing"),
}

# Words that the name of a folder or an array may have in addition to its split: "train_images", "X_train", "val2017".
_NEUTRAL = frozenset(
    [
        "set",
        "sets",
        "data",
        "dataset",
        "images",
        "image",
        "imgs",
        "img",
        "photos",
        "pictures",
        "files",
        "split",
        "folder",
        "labels",
        "label",
        "x",
        "y",
        "jpg",
        "png",
        "npy",
        "final",
        "full",
    ]
)
_SPLIT_OF = {word: part for part, words in ALIASES.items() for word in words}
_SAYING_NOTHING = frozenset(["set", "sets", "data", "dataset", "split", "final", "full"])
_SPLIT_SET = re.compile(f"^({'|'.join(_SPLIT_OF)})sets?$")
# Usual names of the column with the split of each row.
COLUMNS = ("split", "set", "subset", "fold")


class InParts(BadSetting):
    """Data has splits, and none was chosen.

    Attributes
    ----------
    parts : tuple of str
        Names of the splits, for ``split=``.
    """

    def __init__(self, where: str, parts: Iterable[str]) -> None:
        self.where, self.parts = where, tuple(parts)
        super().__init__(self.told('split="{}"'))

    def told(self, setting: str) -> str:
        """Return a message with the splits and the setting that chooses one, in which the name replaces ``{}``."""
        return f"{self.where} has splits ({', '.join(self.parts)}): choose one with {setting.format(self.parts[0])}"

    def __reduce__(self) -> tuple[type[InParts], tuple[str, tuple[str, ...]]]:
        return type(self), (self.where, self.parts)


def part_of(name: str) -> str | None:
    """Return which part a folder's name, or a file's name such as ``train-00000-of-00002.parquet``, stands for."""
    word = re.split(r"[^a-z]", name.lower(), maxsplit=1)[0]
    return next((part for part, names in ALIASES.items() if word in names), None)


def split_in(name: str) -> tuple[str, str] | None:
    """Return the split in a name, with the rest of the name.

    Returns
    -------
    tuple of str or None
        The split and what is left of the name: ``("train", "images")`` for ``train_images``, ``("val", "")`` for ``val2017``. None
        where another word is in it, or no split.

    Examples
    --------
    >>> split_in("X_train"), split_in("val2017"), split_in("trainers")
    (('train', 'x'), ('val', ''), None)
    """
    found = _words_of(name)
    if found is None or not all(word in _NEUTRAL for word in found[1]):
        return None
    return found[0], "_".join(word for word in found[1] if word not in _SAYING_NOTHING)


def _words_of(name: str) -> tuple[str, list[str]] | None:
    """Return the one split that a name has a word for, and its other words."""
    apart = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)  # trainA
    words = [word for word in re.split(r"[^a-z]+", apart.lower()) if word]
    words = [part for word in words for part in _SPLIT_SET.sub(r"\1 set", word).split()]
    found = [part for word in words if (part := _SPLIT_OF.get(word))]
    return (found[0], [word for word in words if word not in _SPLIT_OF]) if len(found) == 1 else None


def splits_among(names: Sequence[str]) -> dict[str, str]:
    """Return those names that stand for splits, by name: ``train_images``; or ``seg_train`` beside ``seg_test``.

    Examples
    --------
    >>> splits_among(["seg_train", "seg_test", "other"]), splits_among(["cat_train", "dog_test"])
    ({'seg_train': 'train', 'seg_test': 'test'}, {})
    """
    found = {name: part[0] for name in names if (part := split_in(name)) is not None}
    rest: dict[str, dict[str, str]] = {}
    for name in names:
        words = _words_of(name)
        if name not in found and words is not None:
            rest.setdefault(" ".join(words[1]), {})[name] = words[0]
    for alike in rest.values():
        if len(set(alike.values())) > 1:
            found |= alike
    return found


def rank_of_part(name: str) -> tuple[int, str]:
    """Return a sort key of splits: training first, then validation and test, then others."""
    part = part_of(name)
    return (list(ALIASES).index(part) if part else len(ALIASES), name)


def rows_of_part(
    parts: Sequence[str], numbers: NDArray[np.int64], split: str | None, where: str
) -> NDArray[np.bool_] | None:
    """Return the rows of a split, or None if rows have no splits and none is requested.

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
        If the split does not exist.
    """
    ordered = sorted(parts, key=rank_of_part)
    if split is None:
        if any(part_of(part) for part in parts) and len(parts) > 1:
            raise InParts(where, ordered)
        return None
    taken = np.array([part == split or part_of(part) == (part_of(split) or split) for part in parts])
    if not taken.any():
        raise NotFound(f"{where} has no rows of the split {split!r}: it has {', '.join(ordered)}")
    return taken[numbers]


def splits(folder: str | os.PathLike[str]) -> dict[str, str]:
    """Return the splits of a folder whose subfolders are all splits, including ``train``.

    Returns
    -------
    dict of str to str
        ``"train"``, ``"val"`` and ``"test"``, as far unchanged there, to their folders; empty where this is no such folder.
    """
    names = subfolders(folder)
    among = splits_among(names)
    found = {split: os.path.join(folder, name) for name, split in among.items()}
    if len(found) < len(names):
        return {}
    if "train" not in found or len(found) < 2:
        return {}
    return {part: found[part] for part in sorted(found, key=rank_of_part)}


def subfolders(folder: str | os.PathLike[str]) -> list[str]:
    """List the names of the folders in a folder, sorted; hidden ones and those of training runs are left out."""
    with os.scandir(folder) as entries:
        return sorted(
            entry.name
            for entry in entries
            if not entry.name.startswith((".", "__")) and entry.is_dir() and not is_run_folder(os.fsencode(entry.path))
        )


def choose(folder: str, split: str) -> str | None:
    """Return the folder of a split, under whatever usual name it has; None where there are no two folders to choose from.

    Raises
    ------
    NotFound
        If there are others only.
    BadSetting
        If several folders are of this split.
    """
    names = subfolders(folder)
    if split in names:
        return os.path.join(folder, split)
    wanted = part_of(split) or split
    fitting = [name for name, part in splits_among(names).items() if part == wanted]
    if len(fitting) > 1:
        raise BadSetting(f"{folder} has several folders of the split {split!r}: choose one by name, split={fitting[0]!r}")
    if fitting:
        return os.path.join(folder, fitting[0])
    if len(names) < 2:
        return None
    raise NotFound(f"{folder} has no split {split!r}: it has the folders {', '.join(names[:10])}")


def choose_files(paths: Sequence[str], split: str | None, folder: str) -> list[str]:
    """Return the files of a split, by the start of their names; all files if there are no splits.

    Raises
    ------
    BadSetting
        If there are several splits and none is requested.
    NotFound
        If there are no files of the split.
    """
    parts = [part_of(os.path.basename(path)) for path in paths]
    if split is None:
        if None not in parts and len(set(parts)) > 1:
            raise InParts(folder, sorted({str(part) for part in parts}, key=rank_of_part))
        return list(paths)
    wanted = part_of(split) or split
    chosen = [path for path, part in zip(paths, parts, strict=True) if part == wanted]
    if not chosen:
        raise NotFound(f"{folder} has no files of the split {split!r}: it has {', '.join(map(os.path.basename, paths[:5]))}")
    return chosen
