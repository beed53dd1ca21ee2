"""Outlines of objects in the JSON of COCO: polygons and run lengths."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from bitesize.errors import BadFile, first_few
from bitesize.files.scan import class_key
from bitesize.sources.choices import Choice
from bitesize.sources.coco import coco_annotations
from bitesize.sources.rle import check_lengths, run_lengths
from bitesize.sources.shapes import Shape, Shapes, check_polygon

BACKGROUND = "background"


class OutlinedImages(NamedTuple):
    """Images with the outlines of their objects.

    Attributes
    ----------
    files : list of str
        Names of the image files.
    shapes : Shapes
        Objects of each image.
    classes : tuple of str
        Names of the classes, the background first.
    choices : tuple of Choice
        What is said about the masks.
    """

    files: list[str]
    shapes: Shapes
    classes: tuple[str, ...]
    choices: tuple[Choice, ...]


def coco_shapes(path: str) -> OutlinedImages:
    """Return the objects of each image.

    Raises
    ------
    BadFile
        If the file is not such a JSON, or an annotation has no segmentation.
    """
    found = coco_annotations(path)
    classes = sorted(set(found.names.values()), key=class_key)
    numbers = {number: classes.index(name) + 1 for number, name in found.names.items()}
    for i, record in found.images.items():
        if not all(isinstance(record.get(name), int) and record[name] > 0 for name in ("width", "height")):
            raise BadFile(f"{path}: masks need width and height of each image, but image {i!r} has none")
    without = [
        f"annotation {each.get('id')!r}" for own in found.of_image.values() for each in own if not each.get("segmentation")
    ]
    if without:
        raise BadFile(
            f"{path}: {len(without)} annotations have no segmentation ({first_few(without, 5)}): labels_as='tags' uses their categories"
        )
    if not any(found.of_image.values()):
        raise BadFile(f"{path} has no annotation")
    sizes = np.array([(record["width"], record["height"]) for record in found.images.values()], np.int64)
    images = (
        [_shape(each, numbers[each["category_id"]], found.images[image], path) for each in own]
        for image, own in found.of_image.items()
    )
    files = [str(record["file_name"]) for record in found.images.values()]
    empty = sum(not own for own in found.of_image.values())
    return OutlinedImages(files, Shapes(images, sizes), (BACKGROUND, *classes), (said_masks(len(classes), empty),))


def said_masks(classes: int, empty: int) -> Choice:
    """Return the choice that says how masks are made."""
    alone = f"; {empty:,} {'image has' if empty == 1 else 'images have'} no object and are background" if empty else ""
    return Choice(
        f"labels: masks of {classes} classes, drawn from outlines, smaller objects over larger ones{alone}", "labels_as="
    )


def _shape(record: dict[str, Any], number: int, image: dict[str, Any], path: str) -> Shape:
    """Return the object of one annotation."""
    where = f"{path}: annotation {record.get('id')!r}"
    outline = record["segmentation"]
    if isinstance(outline, list):
        return Shape(number, [check_polygon(polygon, where) for polygon in outline])
    counts = outline.get("counts") if isinstance(outline, dict) else None
    if not isinstance(counts, list | str):
        raise BadFile(f"{where}: a segmentation is a list of polygons, or run lengths with size and counts")
    if outline.get("size") not in (None, [image["height"], image["width"]]):
        raise BadFile(
            f"{where}: run lengths of size {outline['size']} do not fit an image of {image['height']} x {image['width']} pixels"
        )
    try:
        check_lengths(run_lengths(counts), image["height"], image["width"])
    except BadFile as error:
        raise BadFile(f"{where}: {error}") from error
    return Shape(number, [], counts)
