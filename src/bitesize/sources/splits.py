"""Splits of data for training, validation and test."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from bitesize.errors import BadSetting, NotFound
from bitesize.files.scan import is_own_folder
from bitesize.storage import paths

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
_SPLIT_OF = {word: split for split, words in ALIASES.items() for word in words}
_FILLERS = frozenset(["set", "sets", "data", "dataset", "split", "final", "full"])
_SPLIT_SET = re.compile(f"^({'|'.join(_SPLIT_OF)})sets?$")
# Usual names of the column with the split of each row.
COLUMNS = ("split", "set", "subset", "fold")


class SplitRequired(BadSetting):
    """Data has splits, and none was chosen.

    Attributes
    ----------
    splits : tuple of str
        Names of the splits, for ``split=``.
    """

    def __init__(self, where: str, splits: Iterable[str]) -> None:
        self.where, self.splits = where, tuple(splits)
        super().__init__(self.message('split="{}"'))

    def message(self, setting: str) -> str:
        """Return a message with the splits and the setting that chooses one, in which the name replaces ``{}``."""
        return f"{self.where} has splits ({', '.join(self.splits)}): choose one with {setting.format(self.splits[0])}"

    def __reduce__(self) -> tuple[type[SplitRequired], tuple[str, tuple[str, ...]]]:
        return type(self), (self.where, self.splits)


def usual_split(name: str) -> str | None:
    """Return the split that the name of a folder, or of a file such as ``train-00000-of-00002.parquet``, begins with."""
    word = re.split(r"[^a-z]", name.lower(), maxsplit=1)[0]
    return next((split for split, words in ALIASES.items() if word in words), None)


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
    split, words = _split_and_words(name) or ("", [])
    if not split or not all(word in _NEUTRAL for word in words):
        return None
    return split, "_".join(word for word in words if word not in _FILLERS)


def _split_and_words(name: str) -> tuple[str, list[str]] | None:
    """Return the one split that a name has a word for, and its other words."""
    apart = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)  # trainA
    words = [word for word in re.split(r"[^a-z]+", apart.lower()) if word]
    words = [piece for word in words for piece in _SPLIT_SET.sub(r"\1 set", word).split()]
    splits = [_SPLIT_OF[word] for word in words if word in _SPLIT_OF]
    return (splits[0], [word for word in words if word not in _SPLIT_OF]) if len(splits) == 1 else None


def splits_among(names: Sequence[str]) -> dict[str, str]:
    """Return those names that stand for splits, by name: ``train_images``; or ``seg_train`` beside ``seg_test``.

    Examples
    --------
    >>> splits_among(["seg_train", "seg_test", "other"]), splits_among(["cat_train", "dog_test"])
    ({'seg_train': 'train', 'seg_test': 'test'}, {})
    """
    split_of = {name: match[0] for name in names if (match := split_in(name)) is not None}
    families: dict[str, dict[str, str]] = {}  # names that differ only in their split
    for name in names:
        words = _split_and_words(name)
        if name not in split_of and words is not None:
            families.setdefault(" ".join(words[1]), {})[name] = words[0]
    for family in families.values():
        if len(set(family.values())) > 1:
            split_of |= family
    return split_of


def split_rank(name: str) -> tuple[int, str]:
    """Return a sort key of splits: training first, then validation and test, then others."""
    split = usual_split(name)
    return (list(ALIASES).index(split) if split else len(ALIASES), name)


def rows_of_split(
    splits: Sequence[str], numbers: NDArray[np.int64], split: str | None, where: str
) -> NDArray[np.bool_] | None:
    """Return the rows of a split, or None if rows have no splits and none is requested.

    Parameters
    ----------
    splits
        Names of the splits.
    numbers
        The split of each row, by its index in ``splits``.
    split
        The split to choose.
    where
        Name of the data, for messages.

    Raises
    ------
    BadSetting
        If there are splits, and none is chosen.
    NotFound
        If the split does not exist.
    """
    ordered = sorted(splits, key=split_rank)
    if split is None:
        if any(map(usual_split, splits)) and len(splits) > 1:
            raise SplitRequired(where, ordered)
        return None
    chosen = np.array([name == split or usual_split(name) == (usual_split(split) or split) for name in splits])
    if not chosen.any():
        raise NotFound(f"{where} has no rows of the split {split!r}: it has {', '.join(ordered)}")
    return chosen[numbers]


def splits(folder: str) -> dict[str, str]:
    """Return the splits of a folder whose subfolders are all splits, including ``train``.

    Returns
    -------
    dict of str to str
        ``"train"``, ``"val"`` and ``"test"``, as far as they exist, with their folders; empty if this is no such folder.
    """
    names = subfolders(folder)
    folder_of = {split: paths.join(folder, name) for name, split in splits_among(names).items()}
    if len(folder_of) < len(names) or "train" not in folder_of or len(folder_of) < 2:
        return {}
    return {split: folder_of[split] for split in sorted(folder_of, key=split_rank)}


def subfolders(folder: str | os.PathLike[str]) -> list[str]:
    """List the names of the folders in a folder, sorted; hidden ones and those that bitesize has written are left out."""
    return sorted(
        entry.name
        for entry in paths.scanfolders(os.fspath(folder))
        if not entry.name.startswith((".", "__")) and not is_own_folder(os.fsencode(entry.path))
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
        return paths.join(folder, split)
    wanted = usual_split(split) or split
    fitting = [name for name, found in splits_among(names).items() if found == wanted]
    if len(fitting) > 1:
        raise BadSetting(f"{folder} has several folders of the split {split!r}: choose one by name, split={fitting[0]!r}")
    if fitting:
        return paths.join(folder, fitting[0])
    if len(names) < 2:
        return None
    raise NotFound(f"{folder} has no split {split!r}: it has the folders {', '.join(names[:10])}")


def choose_files(files: Sequence[str], split: str | None, folder: str) -> list[str]:
    """Return the files of a split, by the start of their names; all files if there are no splits.

    Raises
    ------
    BadSetting
        If there are several splits and none is requested.
    NotFound
        If there are no files of the split.
    """
    splits = [usual_split(paths.basename(path)) for path in files]
    if split is None:
        if None not in splits and len(set(splits)) > 1:
            raise SplitRequired(folder, sorted({str(name) for name in splits}, key=split_rank))
        return list(files)
    wanted = usual_split(split) or split
    chosen = [path for path, found in zip(files, splits, strict=True) if found == wanted]
    if not chosen:
        raise NotFound(f"{folder} has no files of the split {split!r}: it has {', '.join(map(paths.basename, files[:5]))}")
    return chosen
