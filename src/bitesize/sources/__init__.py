"""Sources: `open` finds the one that fits what it is given."""

from __future__ import annotations

import csv
import glob
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bitesize.errors import BadFile, BadSetting, NotFound
from bitesize.files.names import Names, names_of
from bitesize.files.scan import Listing, matching, merge, scan
from bitesize.lazy.array import LazyArray
from bitesize.lazy.nodes import Node
from bitesize.lazy.parts import node_of
from bitesize.sources.arrays import Arrays
from bitesize.sources.base import Source
from bitesize.sources.images import ImageFiles
from bitesize.sources.labels import class_numbers
from bitesize.sources.masks import MASK_SUFFIXES, ImagesWithMasks
from bitesize.sources.npy import NpyFiles
from bitesize.spec import Mode

_FILE_SOURCES: tuple[type[Source], ...] = (ImageFiles, NpyFiles)
_SUFFIXES = {suffix: kind for kind in _FILE_SOURCES for suffix in kind.suffixes}

What = str | os.PathLike[str] | Source | ArrayLike | Mapping[str, Any] | Sequence[Any]


def open(  # noqa: A001 - reads as bs.open
    what: What,
    labels: ArrayLike | str | os.PathLike[str] | None = None,
    *,
    split: str | None = None,
    mode: Mode = "RGB",
    orient: bool = True,
) -> Source:
    """Open data as a `Source`, without loading it: files are listed by name, and not opened.

    Parameters
    ----------
    what
        - a folder with a subfolder a class (``cat/*.jpg dog/*.jpg``, or `.npy` files), or a flat folder;
        - ``{"cat": folder, "dog": folder}``;
        - a list of paths, a glob such as ``"photos/*.jpg"``, or one image file;
        - a large `.npy` file, an array, a `numpy.memmap`, a `LazyArray`: rows of the first axis.
    labels
        One label a row: integers or text (classes), floats or arrays (targets). For files also a CSV file with the
        columns ``path`` (relative to the CSV's folder or to ``what``) and ``label``; then only its files are taken. For a
        folder of images also a folder of masks, whose files have the same names but for the suffix; for an array of images
        (n, height, width, channels) also an array of masks (n, height, width).
    split
        Name of a subfolder to take, such as ``"train"``.
    mode
        What images come out as: ``"RGB"``, ``"L"`` (gray) or ``"RGBA"``.
    orient
        Whether images are turned upright by their EXIF orientation.

    Raises
    ------
    NotFound
        If there is no such file or folder, or nothing usable in it.
    BadSetting
        If labels do not fit, or it cannot be told what the data is.
    BadFile
        If the first `.npy` file, or the CSV, cannot be read.

    Examples
    --------
    >>> import numpy as np
    >>> open(np.zeros((10, 4)), labels=["a", "b"] * 5)
    Arrays(10 rows of {x: (4,) float64, y: () int64}, 2 classes)
    """
    is_path = isinstance(what, str | os.PathLike)
    if split is not None and not (is_path and os.path.isdir(os.fspath(what))):  # type: ignore[arg-type]
        raise BadSetting(f"split={split!r} names a subfolder, and what is given is no folder")
    if isinstance(what, Source):
        if labels is not None:
            raise BadSetting("a Source has its labels already")
        return what
    if isinstance(labels, str | os.PathLike) and os.path.isdir(labels):
        return _of_masks(what, labels, split, mode, orient)
    if isinstance(labels, str | os.PathLike):
        if not is_path or not os.path.isdir(os.fspath(what)):  # type: ignore[arg-type]
            raise NotFound(f"a table of labels names files of a folder, and {what!r:.80} is none")
        names, given = _read_table(labels, os.path.join(os.fspath(what), split or ""))  # type: ignore[arg-type]
        return _of_files(names, given, mode, orient)
    if isinstance(what, Mapping):
        if labels is not None or not what or not all(isinstance(folder, str | os.PathLike) for folder in what.values()):
            raise BadSetting(
                'a mapping needs a folder for each class, {"cat": folder, "dog": folder}, and no labels beside it'
            )
        return _of_listing(merge({str(name): folder for name, folder in what.items()}, _SUFFIXES), None, mode, orient)
    if is_path:
        return _of_path(os.fspath(what), labels, split, mode, orient)  # type: ignore[arg-type]
    if isinstance(what, LazyArray):
        return _of_array(what._node, labels)
    paths = _paths_in(what)
    if paths is not None:
        for i, path in enumerate(paths):
            if not os.path.exists(path):
                raise NotFound(f"{os.fsdecode(path)} does not exist (path {i} of {len(paths)})")
        return _of_files(names_of(paths), labels, mode, orient)
    try:
        array = what if isinstance(what, np.ndarray) else np.asarray(what)
    except ValueError as error:
        raise BadSetting(f"the rows of a list must have one shape: {error}") from error
    return _of_array(array, labels)


def _paths_in(what: Any) -> list[Any] | None:
    """Give the paths that a list or an array of text holds, or None if it holds something else."""
    if isinstance(what, np.ndarray):
        return what.tolist() if what.dtype.kind in "US" and what.ndim == 1 else None
    if not isinstance(what, Sequence) or not what:
        return None
    kinds = {isinstance(part, str | bytes | os.PathLike) for part in what}
    if kinds == {True, False}:
        raise BadSetting("a list must hold paths or numbers, not both")
    return list(what) if kinds == {True} else None


def _of_path(path: str, labels: ArrayLike | None, split: str | None, mode: Mode, orient: bool) -> Source:
    if split is not None:
        path = os.path.join(path, split)
    if os.path.isdir(path):
        return _of_listing(scan(path, _SUFFIXES), labels, mode, orient)
    if os.path.isfile(path):
        if path.lower().endswith(".npy"):
            array = node_of(path)
            if not array.shape:
                raise BadFile(f"{path} holds a single value, not rows")
            return _of_array(array, labels)
        return _of_files(names_of([path]), labels, mode, orient)
    if glob.has_magic(path):
        return _of_files(names_of(matching(path)), labels, mode, orient)
    raise NotFound(f"{path} does not exist")


def _of_array(array: NDArray[Any] | Node, labels: ArrayLike | None) -> Source:
    if not array.shape:
        raise BadSetting(f"cannot tell what {array!r} is: a path, a list of paths, or an array with rows is needed")
    if labels is None:
        return Arrays(array)
    numbers, classes = class_numbers(np.asarray(labels), array.shape[0])
    return Arrays(array, numbers, classes)


def _of_listing(found: Listing, labels: ArrayLike | None, mode: Mode, orient: bool) -> Source:
    kind = _one_kind({suffix: count for suffix, count in found.kinds.items() if count})
    numbers: NDArray[Any] | None = found.labels
    classes = found.classes
    if labels is not None:
        numbers, classes = class_numbers(np.asarray(labels), len(found.names))
    if kind is NpyFiles:
        return NpyFiles(found.names, numbers, classes, left_out=found.left_out)
    return ImageFiles(found.names, numbers, classes, mode=mode, orient=orient, left_out=found.left_out)


def _of_masks(what: What, masks: str | os.PathLike[str], split: str | None, mode: Mode, orient: bool) -> Source:
    if not isinstance(what, str | os.PathLike) or not os.path.isdir(what):
        raise BadSetting(f"a folder of masks belongs to a folder of images, and {what!r:.80} is none")
    folders = [os.path.join(os.fspath(folder), split or "") for folder in (what, masks)]
    images, found = scan(folders[0], ImageFiles.suffixes), scan(folders[1], MASK_SUFFIXES)
    return ImagesWithMasks(images.names, found.names, mode=mode, orient=orient, left_out=images.left_out)


def _of_files(names: Names, labels: ArrayLike | None, mode: Mode, orient: bool) -> Source:
    kinds: dict[str, int] = {}
    for i in range(len(names)):
        suffix = os.path.splitext(os.fsdecode(names.relative(i)))[1].lower()
        kinds[suffix] = kinds.get(suffix, 0) + 1
    kind = _one_kind(kinds)
    numbers, classes = (None, None) if labels is None else class_numbers(np.asarray(labels), len(names))
    if kind is NpyFiles:
        return NpyFiles(names, numbers, classes)
    return ImageFiles(names, numbers, classes, mode=mode, orient=orient)


def _one_kind(kinds: Mapping[str, int]) -> type[Source]:
    """Choose the source that takes all these suffixes; an unknown suffix may be an image, which its bytes will tell."""
    chosen = {_SUFFIXES.get(suffix, ImageFiles) for suffix in kinds}
    if len(chosen) > 1:
        seen = ", ".join(f"{count} {suffix or 'without a suffix'}" for suffix, count in sorted(kinds.items()))
        raise BadSetting(f"images and arrays are mixed ({seen}): open them apart, or pass a list of the files you mean")
    return chosen.pop()


def _read_table(table: str | os.PathLike[str], root: str) -> tuple[Names, list[str]]:
    """Read a CSV of paths and labels."""
    if not os.path.isfile(table):
        raise NotFound(f"{os.fspath(table)} does not exist")
    try:
        return _read_lines(table, root)
    except (UnicodeDecodeError, csv.Error) as error:
        raise BadFile(f"{os.fspath(table)} is not a CSV in UTF-8: {error}") from error


def _read_lines(table: str | os.PathLike[str], root: str) -> tuple[Names, list[str]]:
    paths: list[str] = []
    labels: list[str] = []
    missing: list[str] = []
    with Path(table).open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file)
        if not {"path", "label"} <= set(reader.fieldnames or ()):
            raise BadFile(f"{os.fspath(table)} needs the columns path and label, and has {reader.fieldnames}")
        for line in reader:
            name = line["path"]
            places = [os.path.join(folder, name) for folder in (root, os.path.dirname(table))]
            found = next((place for place in places if os.path.isfile(place)), None)
            if found is None:
                missing.append(name)
            else:
                paths.append(os.path.abspath(found))
                labels.append(line["label"])
    if missing:
        first = ", ".join(missing[:10])
        raise NotFound(f"{len(missing)} files of {os.fspath(table)} do not exist below {root}: {first}")
    if not paths:
        raise BadFile(f"{os.fspath(table)} lists no files")
    return names_of(paths), labels
