"""The rules by which `bitesize.open` recognizes data: the first matching rule, in this order, applies.

`table` returns them as the table in the documentation.
"""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from bitesize.errors import BadSetting, NotFound
from bitesize.files.scan import matching
from bitesize.lazy.array import LazyArray
from bitesize.sources.addresses import near
from bitesize.sources.base import OpenOptions, Source
from bitesize.sources.contents import shown
from bitesize.sources.layouts import annotated_folders, folders, mappings, object_labels, objects, pairs
from bitesize.sources.layouts.file_labels import is_pattern
from bitesize.sources.layouts.listing import (
    label_each_file,
    of_many,
    of_many_files,
    of_names,
    one_kind,
    row_kind,
    with_choices,
)
from bitesize.sources.layouts.series import dicom_series
from bitesize.sources.registry import match_object
from bitesize.sources.splits import choose_files
from bitesize.sources.table import Table, labeled_files
from bitesize.storage import paths
from bitesize.storage.url import is_url

Given = Literal["folder", "path", "list", "mapping", "object"]


# An address that was a pathlib.Path: s3:/bucket/photos.
_SHORTENED = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:[\\/][^\\/]")


@dataclass(frozen=True)
class Rule:
    """One layout of data.

    Parameters
    ----------
    given
        Kind of input: a folder, another path, a list, a mapping or an object.
    name
        Name of the layout; `Source.layout` of the opened source.
    looks_for
        Description of the data that the rule matches.
    concludes
        Description of the resulting source.
    otherwise
        Setting that changes the result.
    open
        Function that returns the source, or None if the rule does not match.
    """

    given: Given
    name: str
    looks_for: str
    concludes: str
    otherwise: str
    open: Callable[[Any, OpenOptions], Source | None]


def open_by_rules(given: Given, data: Any, options: OpenOptions) -> Source:
    """Open data by the first matching rule.

    Raises
    ------
    BitesizeError
        Errors of the rule; `BadSetting` if no rule matches.
    """
    for rule in RULES:
        if rule.given != given:
            continue
        source = rule.open(data, options)
        if source is not None:
            source.layout = source.layout or rule.name
            return source
    raise BadSetting(f"{data!r:.200} is neither a path, a list of paths, nor an array with rows")


def open_folder(path: str, options: OpenOptions) -> Source:
    """Open a folder."""
    return open_by_rules("folder", path, options)


def _own_format(path: str, options: OpenOptions) -> Source | None:
    kind = match_object(path)
    labels = options.labels
    named = isinstance(labels, str) and bool(paths.dirname(labels) or os.path.splitext(labels)[1])
    if kind is None or (kind is Table and named and paths.exists(labels)):
        return None  # another table, or masks
    return of_many(kind, path, options)


def _labels_folder(path: str, options: OpenOptions) -> Source | None:
    labels = options.labels
    if not isinstance(labels, str) or not paths.isdir(labels):
        return None
    return pairs.mask_folder(path, labels, options)


def _labels_json(path: str, options: OpenOptions) -> Source | None:
    labels = options.labels
    if not isinstance(labels, str) or not labels.lower().endswith(".json"):
        return None
    folder = paths.join(path, options.split or "")
    by_name = annotated_folders.labels_by_name(labels)
    if by_name is not None:
        return folders.listed_folder(folder, replace(options, labels=by_name, split=None), open_folder)
    return annotated_folders.coco(labels, folder, options)


def _labels_table(path: str, options: OpenOptions) -> Source | None:
    labels = options.labels
    if not isinstance(labels, str) or is_pattern(labels) or not (paths.isfile(labels) or os.path.splitext(labels)[1]):
        return None
    labeled = labeled_files(labels, paths.join(path, options.split or ""), options)
    source = of_names(labeled.names, {}, replace(options, labels=labeled.labels, split=None, tag_delimiter=""), listed=True)
    source.classes = source.classes if labeled.classes is None else labeled.classes
    if source.classes is None:
        source.target_names = (labeled.column,)
    source.choices = tuple(choice for choice in source.choices if not choice.chosen.startswith("labels: one per file"))
    return with_choices(source, *labeled.choices)


def _one_file(path: str, options: OpenOptions) -> Source | None:
    if not paths.isfile(path):
        return None
    kind = None if options.file_is_row else match_object(path)
    return of_many(kind, path, options) if kind is not None else objects.list_of_paths([path], options)


def _inside_file(path: str, options: OpenOptions) -> Source | None:
    head, mark, _ = path.partition("::")
    if not mark or not paths.exists(head):
        return None
    kind = match_object(head) or one_kind([head])
    if kind.file_is_row or not kind.has_members:
        raise BadSetting(f"{head} has no named members such as {path.partition('::')[2]!r}")
    return of_many(kind, path if paths.isdir(head) else [path], options)


def _pattern(path: str, options: OpenOptions) -> Source | None:
    if not glob.has_magic(path):
        return None
    files = matching(path)
    kind = row_kind(one_kind(files), options, labeled=label_each_file(options.labels, len(files)))
    if not kind.file_is_row:
        return of_many_files(kind, list(map(paths.abspath, files)), path, options)
    from bitesize.files.names import names_of

    chosen = choose_files(files, options.split, path)
    return of_names(names_of(chosen), {}, replace(options, split=None), listed=False, kind=kind)


def _no_path(path: str, options: OpenOptions) -> Source:
    if is_url(path):
        raise NotFound(f"{shown(path)} does not exist{near(path)}")
    if _SHORTENED.match(path):
        raise NotFound(f"{shown(path)} does not exist: pathlib shortens // in addresses, so pass an address as text")
    raise NotFound(f"{shown(path)} does not exist")


def _array(data: Any, options: OpenOptions) -> Source | None:
    return objects.of_array(data, options) if isinstance(data, LazyArray | np.ndarray) else None


def _known_object(data: Any, options: OpenOptions) -> Source | None:
    kind = match_object(data)
    return None if kind is None else of_many(kind, data, options)


def _pairs(data: Any, options: OpenOptions) -> Source | None:
    found = objects.pairs_in(data)
    return None if found is None else objects.list_of_pairs(found, options)


def _paths(data: Any, options: OpenOptions) -> Source | None:
    found = objects.paths_in(data)
    return None if found is None else objects.list_of_paths(found, options)


RULES: tuple[Rule, ...] = (
    Rule(
        "folder", "its own format", "`zarr.json`, `.zgroup`, `manifest.json` of `bs.pack`, `metadata.csv`, `metadata.jsonl`",
        "Zarr; a packed store; a table that names the files (Hugging Face's `imagefolder`)", "open a folder or a file in it", _own_format,
    ),
    Rule(
        "folder", "images with masks in another folder", "`labels=` is a folder",
        "for each image, the mask of the same name", "`labels=`", _labels_folder,
    ),
    Rule(
        "folder", "images with COCO's JSON", "`labels=` is a `.json` file",
        "the class of each image, or a 0 or 1 for each class where images have several; of `{name: label}` the label", "`labels_as=`, `labels=`", _labels_json,
    ),
    Rule(
        "folder", "files with a table of labels", "`labels=` is a table with the columns `path` and `label`",
        "only the files that it names, with its labels", "`labels=`", _labels_table,
    ),
    Rule(
        "folder", "YOLO", "`images/` and `labels/*.txt`, in splits or not; or images and `.txt` files of boxes side by side",
        "the class of each image's boxes, or a 0 or 1 for each class where images have several; names from `data.yaml`", "`labels_as=`, `labels=False`, `labels=`",
        object_labels.yolo,
    ),
    Rule(
        "folder", "Pascal VOC", "`JPEGImages/` and `Annotations/*.xml`, or both side by side; splits from `ImageSets/Main`",
        "the class of each image's objects, or a 0 or 1 for each class where images have several", "`labels_as=`, `labels=False`, `labels=\"SegmentationClass\"`",
        object_labels.pascal_voc,
    ),
    Rule(
        "folder", "COCO", "`annotations/instances_*.json`, `_annotations.coco.json`, with a folder of images",
        "as for `labels=` with that file; splits by the files' names", "`labels_as=`, `labels=False`, `labels=`", annotated_folders.coco_folder,
    ),
    Rule(
        "folder", "images and masks", "two folders with such names, for example `images/` and `masks/`, `train_images/` and `train_masks/`",
        "for each image the mask of the same name", "`labels=False`, or open one of the folders", pairs.paired_folders,
    ),
    Rule(
        "folder", "images and masks side by side", "`a.png a_mask.png`, for every image",
        "for each image its mask", "`labels=False`", pairs.masks_beside,
    ),
    Rule(
        "folder", "a table beside its files", "`train.csv`, `labels.csv`, or the only table, with a column of names of existing files (Kaggle)",
        "the files that it names, with its labels; `train.csv` and `test/` are splits", "`labels=`, or open the folder of images",
        annotated_folders.described_by_table,
    ),
    Rule(
        "folder", "arrays by name", "`X_train.npy y_train.npy`, `images.npy labels.npy`, no other folders",
        "inputs and labels, a row for each entry of the first axis; splits by name", "open one of the files", annotated_folders.arrays_by_name,
    ),
    Rule(
        "folder", "splits", "all subfolders are named as splits, `train/ val/ test/`, `train2017/ val2017/`, `train_images/ test_images/`; or `split=`",
        "an error that asks for one of them", "`split=`, or a mapping `{class: folder}`",
        lambda path, options: folders.split_folders(path, options, open_folder),
    ),
    Rule(
        "folder", "partitions (Hive)", "all subfolders are named `key=value`",
        "the value is the class if the key is named so (`label=cat`), or the split", "`labels=`, `split=`",
        lambda path, options: folders.partitions(path, options, open_folder),
    ),
    Rule(
        "folder", "Zarr folders", "subfolders that are Zarr, `0.zarr 1.zarr`, in class folders or not",
        "one row each in class folders; else many rows each", "`file_is_row=`, `labels=`", folders.zarr_folders,
    ),
    Rule(
        "folder", "series of DICOM files", "`.dcm` files, of which most folders have several slices of a series, or `pages=\"depth\"`",
        "a volume for each series, its files the slices; classes are the first folders if one has several series", "`pages=\"rows\"`, `labels=`",
        lambda path, options: dicom_series(path, options, open_folder),
    ),
    Rule(
        "folder", "a folder of files", "subfolders with files, or files alone",
        "one class per subfolder (Keras, torchvision's `ImageFolder`), at any depth below it; files without subfolders have no labels",
        "`labels=False`, `labels=`, `file_is_row=`, or a mapping `{class: folder}`",
        lambda path, options: folders.listed_folder(path, options, open_folder),
    ),
    Rule(
        "path", "a list of files", "a `.txt` or `.lst` file whose lines are paths", "these files; the text after a path is its label",
        "`labels=False`", lambda path, options: annotated_folders.file_list(path, options) if paths.isfile(path) else None,
    ),
    Rule("path", "COCO's JSON", "a `.json` file of images, annotations and categories", "the images that it names, next to it or in a folder next to it",
         "`labels_as=`, `labels=` with the folder of images", annotated_folders.coco_file),
    Rule("path", "one file", "a file of a known format", "its rows, or itself as one row", "`file_is_row=`", _one_file),
    Rule("path", "a part of a file", "`file.h5::group/dataset`", "that group or dataset", "open the whole file", _inside_file),
    Rule("path", "a pattern", "`*`, `?`, `[...]`, `**`", "all files that match, in natural order, without labels", "`labels=`", _pattern),
    Rule("path", "nothing", "anything else", "an error: it does not exist", "", _no_path),
    Rule(
        "list", "pairs", "pairs of a path and a value that is not a path; or two paths", "(path, label) or (label, path); or (image, mask)",
        "a list of paths and `labels=`", _pairs,
    ),
    Rule("list", "paths", "paths of files", "these files, in the order given", "`labels=`", _paths),
    Rule("list", "numbers", "anything else", "an array of numbers, one row per entry", "", objects.of_values),
    Rule("mapping", "a mapping", "folders or lists of files; or arrays", "one class per key; or one field per key", "`labels=`", mappings.mapping),
    Rule("object", "an array", "a NumPy array, a memmap, a `LazyArray`", "one row per entry of the first axis", "", _array),
    Rule("object", "an object of another library", "data frames, datasets, open files", "its rows", "`labels=`, `fields=`", _known_object),
    Rule("object", "numbers", "anything that NumPy converts to an array", "one row per entry of the first axis", "", objects.of_values),
)  # fmt: skip


def table() -> str:
    """Return the rules as a table in Markdown."""
    lines = ["| given | looks for | opened as | changed by |", "|---|---|---|---|"]
    lines += [
        f"| {rule.given} | {rule.looks_for} | **{rule.name}**: {rule.concludes} | {rule.otherwise} |" for rule in RULES
    ]
    return "\n".join(lines)
