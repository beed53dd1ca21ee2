"""Masks from annotations of objects: YOLO's polygons, and the masks of Pascal VOC."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from bitesize.errors import BadFile, BadSetting, NotFound
from bitesize.files.names import Names
from bitesize.files.scan import path_key
from bitesize.sources.base import OpenOptions, Source
from bitesize.sources.coco_masks import BACKGROUND, said_masks
from bitesize.sources.drawn_masks import DrawnMasks
from bitesize.sources.images import ImageFiles
from bitesize.sources.layouts.listing import no_fields, with_choices
from bitesize.sources.layouts.pairs import mask_lists
from bitesize.sources.masks import MASK_SUFFIXES
from bitesize.sources.shapes import Shape, Shapes, check_polygon
from bitesize.sources.splits import SplitRequired, split_rank, usual_split
from bitesize.storage import paths

_NAMED = 10


def yolo_masks(
    names: Names, left_out: Mapping[str, int], texts: Sequence[str | None], where: Sequence[str], classes: Sequence[str], options: OpenOptions
) -> Source:  # fmt: skip
    """Open images with masks of YOLO's polygons.

    Parameters
    ----------
    names, left_out
        The images, and counts of what was left out.
    texts, where
        Content and path of the annotations of each image; None if there is no file.
    classes
        Names of the classes; empty if only their numbers are known.
    options
        Options of the user.

    Raises
    ------
    BadFile
        If a line is no polygon, or no image has an object.
    """
    images = [_polygons(text, path) if text is not None else [] for text, path in zip(texts, where, strict=True)]
    numbers = {shape.number for shapes in images for shape in shapes}
    if not numbers:
        raise BadFile("no image has an object in the text files")
    if classes and max(numbers) > len(classes):
        raise BadFile(
            f"the text files have the class {max(numbers) - 1}, but there are only {len(classes)} names: {', '.join(classes[:_NAMED])}"
        )
    known = tuple(classes) or tuple(map(str, range(max(numbers))))
    no_fields(options)
    source = DrawnMasks(names, Shapes(images, None), (BACKGROUND, *known), left_out, options.mode, options.orient)
    return with_choices(source, said_masks(len(known), sum(not shapes for shapes in images)))


def _polygons(text: str, where: str) -> list[Shape]:
    """Return the objects in lines ``class x y x y ...``, whose coordinates are shares of width and height."""
    shapes = []
    for line in filter(None, map(str.strip, text.splitlines())):
        number, *values = map(float, line.split())
        if len(values) < 6:
            raise BadFile(f"{where} has boxes, not polygons ({line[:60]!r}): labels_as='tags' uses their classes")
        shapes.append(Shape(int(number) + 1, [check_polygon(values, where)]))
    return shapes


def voc_masks(path: str, images: str, masks: str, options: OpenOptions) -> Source:
    """Open the images of Pascal VOC that have a mask: class numbers as stored, 255 at the borders of objects.

    Parameters
    ----------
    path
        The folder; ``ImageSets/Segmentation`` in it lists the images of each split.
    images, masks
        Folders of the images and of the masks.
    options
        Options of the user.

    Raises
    ------
    SplitRequired
        If there are several splits and none is chosen.
    NotFound
        If there is no such split, or files are missing.
    """
    found = [{os.path.splitext(entry.name)[0]: entry.path for entry in paths.scandir(folder) if _has(entry.name, suffixes)}
             for folder, suffixes in ((images, ImageFiles.suffixes), (masks, MASK_SUFFIXES))]  # fmt: skip
    image_of, mask_of = found
    sets = paths.join(path, "ImageSets", "Segmentation")
    listed = {
        name: paths.join(sets, f"{name}.txt")
        for name in ("train", "val", "test")
        if paths.isfile(paths.join(sets, f"{name}.txt"))
    }
    stems = sorted(mask_of, key=path_key)
    if listed:
        if options.split is None and len(listed) > 1:
            raise SplitRequired(path, sorted(listed, key=split_rank))
        split = (usual_split(options.split) or options.split) if options.split else next(iter(listed))
        if split not in listed:
            raise NotFound(f"{path} has no split {options.split!r} of masks: it has {', '.join(listed)}")
        with paths.open_text(listed[split]) as file:
            stems = [line.split()[0] for line in file if line.strip()]
    elif options.split is not None:
        raise BadSetting(f"split={options.split!r}: {path} has no lists of masks in ImageSets/Segmentation")
    missing = [stem for stem in stems if stem not in image_of or stem not in mask_of]
    if missing or not stems:
        raise NotFound(
            f"{len(missing)} of {len(stems)} masks or their images are not in {masks} and {images}: {', '.join(missing[:_NAMED])}"
        )
    origin = f"labels: masks, the files of {paths.basename(masks)}, 255 at borders of objects"
    source = mask_lists([image_of[stem] for stem in stems], [mask_of[stem] for stem in stems], options, origin)
    source.choices = tuple(each._replace(setting="labels_as=") if each.chosen == origin else each for each in source.choices)
    if not listed and len(image_of) > len(stems):
        source.left_out = {**source.left_out, "images without a mask": len(image_of) - len(stems)}
    return source


def _has(name: str, suffixes: Sequence[str] | frozenset[str]) -> bool:
    """Return whether a file has one of these suffixes."""
    return os.path.splitext(name)[1].lower() in suffixes
