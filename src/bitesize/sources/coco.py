"""Labels of images in the JSON of COCO: ``images``, ``annotations`` and ``categories``."""

from __future__ import annotations

import json
import os
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bitesize.errors import BadFile
from bitesize.files.scan import class_key
from bitesize.sources.choices import Choice
from bitesize.sources.column_names import LABELS, PATHS, first_named
from bitesize.sources.text_labels import Texts, text_labels
from bitesize.sources.text_table import columns_of
from bitesize.storage import paths

_NAMED = 10


class CocoLabels(NamedTuple):
    """Labels of the images of a COCO file.

    Attributes
    ----------
    files : list of str
        Names of the image files, as written in the JSON.
    labels : ndarray
        Class numbers, shape (images,), if no image has annotations of several categories; else 1 for each category of an
        image, float32 of shape (images, categories).
    classes : tuple of str
        Names of the categories with annotations, or of all categories if images have several, sorted.
    left_out : dict of str to int
        Number of images left out, by reason.
    choices : tuple of Choice
        Decisions made for ambiguous labels.
    """

    files: list[str]
    labels: NDArray[Any]
    classes: tuple[str, ...]
    left_out: dict[str, int]
    choices: tuple[Choice, ...] = ()


def coco_labels(path: str | os.PathLike[str]) -> CocoLabels:
    """Return the categories of each image, or the labels of a list of records, such as ``[{"file_name": "0.png", "label": "cat"}]``.

    Raises
    ------
    BadFile
        If the file is not such a JSON, or annotations refer to unknown images or categories.
    """
    where = os.fspath(path)
    content = _loaded(where)
    if isinstance(content, list) and content and all(isinstance(record, dict) for record in content):
        return _of_records(content, where)
    _check(content, where)
    names = {record["id"]: str(record["name"]) for record in content["categories"]}
    files = {record["id"]: str(record["file_name"]) for record in content["images"]}
    for kind, known in (("images", files), ("categories", names)):
        if len(known) < len(content[kind]):
            raise BadFile(f"{where}: several entries of {kind!r} have the same id")
    classes_of: dict[Any, set[str]] = {number: set() for number in files}
    unknown = []
    for record in content["annotations"]:
        image, category = record["image_id"], record["category_id"]
        if image in classes_of and category in names:
            classes_of[image].add(names[category])
        else:
            unknown.append(f"image {image!r}, category {category!r}")
    if unknown:
        raise BadFile(
            f"{where}: {len(unknown)} annotations refer to an unknown image or category: {'; '.join(unknown[:_NAMED])}"
        )
    if not any(classes_of.values()):
        raise BadFile(f"{where} has no annotation with a category")
    if max(map(len, classes_of.values())) > 1:
        classes = sorted(set(names.values()), key=class_key)
        several = np.array([[name in of for name in classes] for of in classes_of.values()], np.float32)
        return CocoLabels(list(files.values()), several, tuple(classes), {})
    class_of = {number: next(iter(of)) for number, of in classes_of.items() if of}
    classes = sorted(set(class_of.values()), key=class_key)
    numbers = {name: i for i, name in enumerate(classes)}
    labels = np.array([numbers[name] for name in class_of.values()], np.int64)
    without = len(files) - len(class_of)
    left_out = {"images without an annotation": without} if without else {}
    return CocoLabels([files[number] for number in class_of], labels, tuple(classes), left_out)


def _of_records(records: list[Any], where: str) -> CocoLabels:
    """Read a list of objects that name per file and a label each."""
    nested: dict[str, None] = {}
    columns = columns_of(records, where, nested)
    path, label = first_named(columns, PATHS), first_named(columns, LABELS)
    if path is None or label is None or not columns[path]:
        raise BadFile(
            f"{where} is a list of records, which need a path (path or file_name) and a label (label or class); their keys are "
            f"{', '.join((*columns, *nested)) or 'nothing'}"
        )
    labels = text_labels(Texts.of(columns[label]), label, where, may_be_numbers=True)
    left_out = {f"{name}: lists or objects": 1 for name in nested}
    left_out |= {f"{name}: no label": 1 for name in columns if name not in (path, label)}
    return CocoLabels(columns[path], labels.values, labels.classes or (), left_out, labels.choices)


def _loaded(where: str) -> Any:
    try:
        with paths.open_text(where) as file:
            return json.load(file)
    except (ValueError, RecursionError) as error:
        raise BadFile(f"{where} is not valid JSON: {error}") from error


def _check(content: Any, where: str) -> None:
    """Raise `BadFile` unless the three lists exist, with the required keys in each entry."""
    needed = {"images": ("id", "file_name"), "annotations": ("image_id", "category_id"), "categories": ("id", "name")}
    for kind, keys in needed.items():
        entries = content.get(kind) if isinstance(content, dict) else None
        if not isinstance(entries, list):
            raise BadFile(f"{where} needs the lists {', '.join(needed)}, as in COCO, but has no list {kind!r}")
        for i, entry in enumerate(entries):
            for key in keys:
                if not isinstance(entry, dict) or not isinstance(entry.get(key), int | str):
                    raise BadFile(f"{where}: entry {i} of {kind!r} has no {key!r}")
