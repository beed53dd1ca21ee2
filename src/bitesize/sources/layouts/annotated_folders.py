"""Folders described by a file: COCO's JSON, a table of labels next to images, arrays of inputs and labels."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from bitesize.errors import BadFile, BadSetting, BitesizeError, NotFound
from bitesize.lazy.parts import node_of
from bitesize.sources.addresses import configure
from bitesize.sources.arrays import Arrays
from bitesize.sources.base import OpenOptions, RowFiles, Source
from bitesize.sources.choices import Choice
from bitesize.sources.coco import coco_annotations, coco_labels
from bitesize.sources.coco_masks import coco_shapes
from bitesize.sources.drawn_masks import DrawnMasks
from bitesize.sources.images import ImageFiles
from bitesize.sources.labels import class_numbers
from bitesize.sources.layouts.listing import no_fields, one_kind, with_choices
from bitesize.sources.splits import SplitRequired, split_in, split_rank, subfolders, usual_split
from bitesize.sources.table import Table, files_of
from bitesize.storage import paths, remote
from bitesize.storage.url import is_url

_INPUTS = frozenset(["x", "image", "images", "imgs", "data", "features", "inputs", "input", "samples", "spectra", "signals"])
_LABELS = frozenset(["y", "label", "labels", "target", "targets", "classes", "class", "annotations", "mask", "masks"])
# Tables with these names describe their folder, even if there are other tables.
_TABLES = frozenset(
    [
        "train",
        "training",
        "metadata",
        "labels",
        "label",
        "annotations",
        "groundtruth",
        "data",
        "index",
        "dataset",
        "manifest",
    ]
)
# Labels of at most this many bytes per row are loaded into memory.
_SMALL = 64


def coco_folder(path: str, options: OpenOptions) -> Source | None:
    """Open COCO's layout: images, and JSON files of annotations next to them or in ``annotations/``."""
    if options.labels is not None:
        return None
    files_of_split: dict[str, tuple[str, str]] = {}
    for folder in (path, *(paths.join(path, name) for name in subfolders(path) if name.lower() == "annotations")):
        for name in sorted(paths.listdir(folder)):
            if name.lower().endswith(".json") and re.search(
                r"instances|coco|^annotations?\.json$|^_annotations", name.lower()
            ):
                split, images = _coco_images(path, name)
                if images is not None and split not in files_of_split:
                    files_of_split[split] = (paths.join(folder, name), images)
    if not files_of_split:
        return None
    split = _chosen(path, list(files_of_split), options.split)
    annotations, images = files_of_split[split]
    return with_choices(
        coco(annotations, images, options), Choice(f"labels: the objects of {paths.basename(annotations)}", "labels=")
    )


def coco(labels: str, folder: str, options: OpenOptions) -> Source:
    """Open the images of a COCO JSON file, with their classes."""
    if not paths.isfile(labels):
        raise NotFound(f"{os.fspath(labels)} does not exist")
    if options.labels_as == "masks":
        return _coco_masks(labels, folder, options)
    labeled = coco_labels(labels, options.labels_as)
    names = files_of(labeled.files, [folder, paths.dirname(labels)], os.fspath(labels))
    kind = one_kind([os.fsdecode(names.path(i)) for i in range(len(names))])
    files = RowFiles(names, labeled.labels, labeled.classes or None, labeled.left_out)
    return with_choices(kind.of_files(files, replace(no_fields(options), labels=None)), *labeled.choices)


def _coco_masks(labels: str, folder: str, options: OpenOptions) -> Source:
    """Open the images of a COCO JSON file, with masks of their objects."""
    found = coco_shapes(os.fspath(labels))
    names = files_of(found.files, [folder, paths.dirname(labels)], os.fspath(labels))
    no_fields(options)
    source = DrawnMasks(names, found.shapes, found.classes, {}, options.mode, options.orient)
    return with_choices(source, *found.choices)


def coco_file(path: str, options: OpenOptions) -> Source | None:
    """Open the images of a COCO JSON file, searched next to it."""
    if not path.lower().endswith(".json") or not paths.isfile(path):
        return None
    files = (
        [str(record["file_name"]) for record in coco_annotations(path).images.values()]
        if options.labels_as
        else coco_labels(path).files
    )
    folder = paths.dirname(path) or "."
    paths.know_beside(folder)
    parents = [folder, paths.dirname(paths.abspath(folder))]
    candidates = [*parents, *(paths.join(parent, name) for parent in parents for name in subfolders(parent))]
    candidates += [paths.join(below, name) for below in candidates[2:] if _is_cheap(below) for name in subfolders(below)]
    paths.know_files(paths.join(root, files[0]) for root in candidates)
    root = next((root for root in candidates if paths.isfile(paths.join(root, files[0]))), None)
    if root is None:
        raise NotFound(
            f"{path} names images such as {files[0]}, which are not next to it: bs.open(folder_of_images, labels={path!r})"
        )
    source = coco(path, root, options)
    return with_choices(
        source, Choice(f"labels: the objects of {paths.basename(path)}, images in {root}", "bs.open(folder, labels=FILE)")
    )


def _is_cheap(folder: str) -> bool:
    """Return whether a folder can be searched without a request of its own."""
    return not is_url(folder) or remote.is_listed(folder)


def labels_by_name(path: str) -> dict[str, Any] | None:
    """Return the contents of a JSON file of ``{name: label}``; None for other JSON files."""
    if not paths.isfile(path):
        raise NotFound(f"{path} does not exist")
    try:
        with paths.open_text(path) as file:
            content = json.load(file)
    except (ValueError, RecursionError) as error:
        raise BadFile(f"{path} is not valid JSON: {error}") from error
    plain = isinstance(content, dict) and content and all(isinstance(label, str | int | float) for label in content.values())
    return content if plain else None


def _coco_images(path: str, name: str) -> tuple[str, str | None]:
    """Return the split of a JSON file and the folder of its images, by names such as ``instances_val2017.json``."""
    words = re.split(r"[_.]", os.path.splitext(name)[0].lower())
    split = next((part[0] for word in words if (part := split_in(word))), "")
    folders = {folder.lower(): paths.join(path, folder) for folder in subfolders(path)}
    below = folders.get("images")
    wanted = [word for word in words if split_in(word)] + ([split] if split else [])
    for candidate in wanted:
        if candidate in folders:
            return split, folders[candidate]
        if below and paths.isdir(paths.join(below, candidate)):
            return split, paths.join(below, candidate)
    for folder in ("images", "imgs", "jpegimages", "data"):
        if folder in folders:
            return split, folders[folder]
    own = any(os.path.splitext(entry)[1].lower() in ImageFiles.suffixes for entry in paths.listdir(path))
    return split, path if own else None


def described_by_table(path: str, options: OpenOptions) -> Source | None:
    """Open a folder with one table that names its files, such as Kaggle's ``train.csv`` next to ``train/``."""
    if isinstance(options.labels, str) and paths.exists(options.labels):
        return None
    tables = sorted(name for name in paths.listdir(path) if os.path.splitext(name)[1].lower() in (".csv", ".tsv", ".jsonl"))
    tables = [name for name in tables if paths.isfile(paths.join(path, name)) and "submission" not in name.lower()]
    known = [name for name in tables if {*re.split(r"[^a-z]+", _stem(name))} & _TABLES]
    by_split = {of: name for name in tables if (of := _split_of_table(name))}
    folder_splits = {part for name in subfolders(path) if (part := split_in(name))}
    split = options.split
    if by_split and (len(by_split) > 1 or {part[0] for part in folder_splits} - {*by_split} or split is not None):
        splits = sorted({*by_split} | {part[0] for part in folder_splits}, key=split_rank)
        if split is None:
            named = [part for part in by_split if _names_files(paths.join(path, by_split[part]))]
            if not named:
                return None
            raise SplitRequired(path, splits)
        table = by_split.get(usual_split(str(split)) or str(split), "")
        if not table or not _names_files(paths.join(path, table)):
            return None  # a folder of the split without labels, such as Kaggle's test/
    else:
        candidates = known or (tables if len(tables) == 1 and len(subfolders(path)) < 2 else [])
        table = next((name for name in candidates if _names_files(paths.join(path, name))), "")
        if not table:
            return None
    where = paths.join(path, table)
    try:
        source = Table.opened([where], replace(options, split=None if by_split else split))
    except NotFound:
        if by_split or known:
            raise
        return None
    left_out = dict(source.left_out)
    for name in tables:
        if name != table and not (by_split and name in by_split.values()):
            left_out[f"the table {name}"] = 1
    source.left_out = left_out
    classes = [
        name for name in subfolders(path) if split_in(name) is None and name.lower() not in ("images", "imgs", "img", "data")
    ]
    origin = "files" if source.label_name is None else "files and labels"
    unused = f", not the folders {', '.join(classes[:3])}" if len(classes) > 1 else ""
    return with_choices(source, Choice(f"{origin}: the table {table}{unused}", "labels=, or open the folders of files"))


def _names_files(table: str) -> bool:
    """Return whether a table has a column of existing files."""
    try:
        return len(Table.opened([table], OpenOptions(labels=None, split=None))) > 0
    except SplitRequired:
        return True
    except NotFound:
        return True  # it names files, some of which do not exist: reported when it is opened
    except BitesizeError:
        return False


def _split_of_table(name: str) -> str | None:
    found = split_in(_stem(name))
    return found[0] if found else None


def _stem(name: str) -> str:
    return os.path.splitext(name)[0].lower()


def arrays_by_name(path: str, options: OpenOptions) -> Source | None:
    """Open a folder of arrays with names such as ``X_train.npy y_train.npy``, ``images.npy labels.npy``."""
    if options.labels is not None or subfolders(path):
        return None
    names = sorted(name for name in paths.listdir(path) if name.lower().endswith(".npy"))
    roles: dict[str, dict[str, str]] = {}
    unknown = []
    for name in names if 2 <= len(names) <= 12 else ():
        split, role = _role_of_array(_stem(name))
        if role is None or role in roles.get(split, {}):
            unknown.append(name)
        else:
            roles.setdefault(split, {})[role] = name
    pairs = {split: of for split, of in roles.items() if "x" in of and ("y" in of or len(roles) > 1)}
    if not any("y" in of for of in pairs.values()):
        return None
    split = _chosen(path, list(pairs), options.split)
    of = pairs[split]
    source = pair_of_arrays(paths.join(path, of["x"]), paths.join(path, of["y"]) if "y" in of else None, options)
    taken = {name for pair in pairs.values() for name in pair.values()}
    source.left_out = {**source.left_out, **{f"the array {name}": 1 for name in names if name not in taken}}
    return source


def pair_of_arrays(x: str, y: str | None, options: OpenOptions) -> Source:
    """Open an array of inputs and one of labels, whose first axes are the rows."""
    inputs = node_of(x)
    if y is None:
        return Arrays(inputs)
    targets = node_of(y)
    if not inputs.shape or inputs.shape[:1] != targets.shape[:1]:
        raise BadFile(f"{x} is {inputs.shape} and {y} is {targets.shape}: inputs and labels need the same number of rows")
    row_nbytes = targets.dtype.itemsize * int(np.prod(targets.shape[1:], dtype=np.int64))
    choice = Choice(f"inputs: {paths.basename(x)}, labels: {paths.basename(y)}", "bs.open(x, labels=y)")
    if row_nbytes > _SMALL:
        raise BadSetting(
            f"{y} has {row_nbytes:,} bytes per row, too many for labels in memory: bs.zip(x=bs.open({x!r}), y=bs.open({y!r})) reads both "
            "from their files"
        )
    with paths.open(y) as file:
        values, classes = class_numbers(np.load(file), targets.shape[0])
    return with_choices(Arrays(inputs, values, classes), choice)


def _role_of_array(stem: str) -> tuple[str, str | None]:
    words = [word for word in re.split(r"[^a-z]+", stem) if word]
    words = [part for word in words for part in re.sub(r"^([xy])(train|test|val|valid)$", r"\1 \2", word).split()]
    splits = [part[0] for word in words if (part := split_in(word)) and not part[1]]
    rest = [word for word in words if not ((part := split_in(word)) and not part[1])]
    role = "x" if any(word in _INPUTS for word in rest) else ""
    role = "y" if any(word in _LABELS for word in rest) else role  # "train_images_labels" holds labels
    if len(splits) > 1 or not role or len(rest) > 2:
        return "", None
    return (splits[0] if splits else ""), role


def _chosen(path: str, splits: Sequence[str], wanted: str | None) -> str:
    """Return the requested split, or the only one."""
    names = sorted(splits, key=split_rank)
    if wanted is None:
        if len(names) > 1:
            raise SplitRequired(path, [name for name in names if name])
        return names[0]
    split = usual_split(wanted) or wanted
    if split not in names:
        raise NotFound(f"{path} has no split {wanted!r}: it has {', '.join(filter(None, names)) or 'none'}")
    return split


def file_list(path: str, options: OpenOptions) -> Source | None:
    """Open a text file of paths, one per line, with or without labels after them."""
    if not path.lower().endswith((".txt", ".lst", ".list")):
        return None
    try:
        with paths.open_text(path) as file:
            lines = [line.strip() for line in file if line.strip() and not line.startswith("#")]
    except UnicodeDecodeError as error:
        raise BadFile(f"{path} is not text in UTF-8: {error}") from error
    configure(lines, options)
    folder = paths.dirname(path) or "."
    if not all(map(is_url, lines)):
        paths.know_beside(folder)
    roots = [folder, paths.dirname(folder), *(paths.join(folder, name) for name in subfolders(folder))]
    for delimiter in (None, "\t", ",", ";", " "):
        split = [[line] if delimiter is None else [part.strip() for part in line.rsplit(delimiter, 1)] for line in lines]
        root = next((root for root in roots if paths.isfile(paths.join(root, split[0][0]))), None) if split else None
        if root is not None:
            break
    else:
        raise BadFile(
            f"{path} is not a list of files: {lines[0][:80]!r} in its first line does not exist"
            if lines
            else f"{path} is empty"
        )
    if len({len(parts) for parts in split}) > 1:
        raise BadFile(f"{path} has lines with a label and lines without one")
    names = files_of([parts[0] for parts in split], [root], path)
    labels = [parts[1] for parts in split] if len(split[0]) > 1 else None
    kind = one_kind([os.fsdecode(names.path(i)) for i in range(len(names))])
    values, classes = (None, None) if labels is None or options.labels is False else class_numbers(labels, len(labels))
    source = kind.of_files(RowFiles(names, values, classes, {}), replace(no_fields(options), labels=None))
    return with_choices(
        source, Choice("labels: the text after each path" if labels else "a list of files, without labels", "labels=")
    )
