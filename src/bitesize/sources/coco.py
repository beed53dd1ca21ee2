"""Labels of images in the JSON of COCO: ``images``, ``annotations`` and ``categories``."""

from __future__ import annotations

import json
import os
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bitesize.errors import BadFile, BadSetting, first_few
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


class Annotations(NamedTuple):
    """The lists of a COCO file, whose ids agree.

    Attributes
    ----------
    images : dict
        Records of the images, by id.
    names : dict
        Names of the categories, by id.
    of_image : dict
        Annotations of each image, by id of the image.
    """

    images: dict[Any, dict[str, Any]]
    names: dict[Any, str]
    of_image: dict[Any, list[dict[str, Any]]]


def coco_labels(path: str | os.PathLike[str], labels_as: str | None = None) -> CocoLabels:
    """Return the categories of each image, or the labels of a list of records, such as ``[{"file_name": "0.png", "label": "cat"}]``.

    Parameters
    ----------
    path
        The JSON file.
    labels_as
        ``"class"`` or ``"tags"``; None: tags if an image has several categories.

    Raises
    ------
    BadFile
        If the file is not such a JSON, or annotations refer to unknown images or categories.
    """
    where = os.fspath(path)
    content = _loaded(where)
    if isinstance(content, list) and content and all(isinstance(record, dict) for record in content):
        return _of_records(content, where)
    found = _annotations(content, where)
    classes_of = {number: {found.names[each["category_id"]] for each in own} for number, own in found.of_image.items()}
    if not any(classes_of.values()):
        raise BadFile(f"{where} has no annotation with a category")
    files = {number: str(record["file_name"]) for number, record in found.images.items()}
    several = [files[number] for number, of in classes_of.items() if len(of) > 1]
    every = sorted(set(found.names.values()), key=class_key)
    if labels_as == "tags" or (labels_as is None and several):
        tags = np.array([[name in of for name in every] for of in classes_of.values()], np.float32)
        said = said_tags(len(several), len(files), len(every), sum(not of for of in classes_of.values()))
        return CocoLabels(list(files.values()), tags, tuple(every), {}, (said,))
    if several:
        raise one_class_only(where, several)
    class_of = {number: next(iter(of)) for number, of in classes_of.items() if of}
    classes = every if labels_as else sorted(set(class_of.values()), key=class_key)
    numbers = {name: i for i, name in enumerate(classes)}
    labels = np.array([numbers[name] for name in class_of.values()], np.int64)
    without = len(files) - len(class_of)
    left_out = {"images without an annotation": without} if without else {}
    return CocoLabels([files[number] for number in class_of], labels, tuple(classes), left_out, (SAID_CLASS,))


SAID_CLASS = Choice("labels: one category for each image, as class numbers", "labels_as=")


def said_tags(several: int, images: int, classes: int, without: int) -> Choice:
    """Return the choice that says that labels are 0 or 1 for each class."""
    empty = f"; {without:,} images have none" if without else ""
    return Choice(
        f"labels: {several:,} of {images:,} images have several categories: 0 or 1 for each of {classes}{empty}",
        "labels_as=",
    )


def one_class_only(where: str, several: list[str]) -> BadSetting:
    """Return the error for images of several classes, where one is wanted."""
    return BadSetting(
        f"labels_as='class' needs images of one class, but {len(several):,} images of {where} have several: {first_few(several, 5)}; "
        "labels_as='tags' makes a 0 or 1 for each class"
    )


def coco_annotations(path: str) -> Annotations:
    """Return the lists of a COCO file.

    Raises
    ------
    BadFile
        As `coco_labels`.
    """
    return _annotations(_loaded(path), path)


def _annotations(content: Any, where: str) -> Annotations:
    """Return the lists of the content of a COCO file."""
    _check(content, where)
    names = {record["id"]: str(record["name"]) for record in content["categories"]}
    images = {record["id"]: record for record in content["images"]}
    for kind, known in (("images", images), ("categories", names)):
        if len(known) < len(content[kind]):
            raise BadFile(f"{where}: several entries of {kind!r} have the same id")
    of_image: dict[Any, list[dict[str, Any]]] = {number: [] for number in images}
    unknown = []
    for record in content["annotations"]:
        image, category = record["image_id"], record["category_id"]
        if image in of_image and category in names:
            of_image[image].append(record)
        else:
            unknown.append(f"image {image!r}, category {category!r}")
    if unknown:
        raise BadFile(
            f"{where}: {len(unknown)} annotations refer to an unknown image or category: {'; '.join(unknown[:_NAMED])}"
        )
    return Annotations(images, names, of_image)


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
