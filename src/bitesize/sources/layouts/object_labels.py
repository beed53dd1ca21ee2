"""Labels of images from files of annotated objects: YOLO's text files and Pascal VOC's XML."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any
from xml.etree import ElementTree

import numpy as np

from bitesize.errors import BadFile, BadSetting, NotFound, one_line
from bitesize.files.names import Names, names_of
from bitesize.files.scan import class_key, scan
from bitesize.sources.base import OpenOptions, RowFiles, Source
from bitesize.sources.choices import Choice
from bitesize.sources.coco import one_class_only
from bitesize.sources.images import ImageFiles
from bitesize.sources.layouts.listing import REASONS, no_fields, with_choices
from bitesize.sources.layouts.object_masks import voc_masks, yolo_masks
from bitesize.sources.splits import SplitRequired, split_in, split_rank, subfolders, usual_split
from bitesize.storage import paths

# An annotation has a few hundred bytes per object; larger files are not annotations.
_LARGEST = 4 << 20
_NAMED = 10
_NAME_FILES = ("classes.txt", "obj.names", "labels.txt", "_darknet.labels")
# Text files next to images that are not annotations.
_OTHER_TEXT = frozenset(
    (*_NAME_FILES, "train.txt", "val.txt", "test.txt", "readme.txt", "readme.roboflow.txt", "readme.dataset.txt")
)


def yolo(path: str, options: OpenOptions) -> Source | None:
    """Open YOLO's layout: ``images/`` and ``labels/`` with a text file for each image, in splits or not, or both side by side."""
    if options.labels is not None:
        return None
    pairs = _image_folders(path, "images", "labels", ".txt")
    if not pairs and _side_by_side(path, ".txt"):
        pairs = {"": (path, path)}
    if not pairs:
        return None
    images, labels, split = _of_split(path, pairs, options)
    names = scan(images, ImageFiles.suffixes, {**REASONS, ".txt": "text files (.txt)"}, flat=True)
    classes = _class_names(path, labels)
    if options.labels_as == "masks":
        where = _annotations_of(names.names, labels, ".txt")
        texts = paths.for_each(lambda name: _yolo_text(name) if paths.isfile(name) else None, where)
        return yolo_masks(names.names, names.left_out, texts, where, classes, options)

    def categories(annotation: str) -> set[str]:
        """Return the categories of one image."""
        numbers = {_yolo_number(line, annotation) for line in _read(annotation).splitlines() if line.strip()}
        if classes and numbers and max(numbers) >= len(classes):
            raise BadFile(
                f"{annotation} has the class {max(numbers)}, but there are only {len(classes)} names: {', '.join(classes[:10])}"
            )
        return {classes[number] if classes else str(number) for number in numbers}

    origin = "labels: the boxes of YOLO's text files" + (
        "" if classes else ", classes by number (no data.yaml or classes.txt)"
    )
    return _labeled(names.names, names.left_out, labels, ".txt", categories, classes, options, origin, split)


def pascal_voc(path: str, options: OpenOptions) -> Source | None:
    """Open Pascal VOC's layout: images, and an XML file of objects for each."""
    if options.labels is not None:
        return None
    pairs = _image_folders(path, "jpegimages", "annotations", ".xml") or _image_folders(
        path, "images", "annotations", ".xml"
    )
    if not pairs and _side_by_side(path, ".xml"):
        pairs = {"": (path, path)}
    if not pairs:
        return None
    masks = next((name for name in subfolders(path) if name.lower() == "segmentationclass"), None)
    if options.labels_as == "masks":
        if masks is None or "" not in pairs:
            raise NotFound(f"{path} has no folder SegmentationClass of masks: labels_as='tags' uses the classes of objects")
        return voc_masks(path, pairs[""][0], paths.join(path, masks), options)
    sets = paths.join(path, "ImageSets", "Main")
    listed = {name: f"{name}.txt" for name in ("train", "val", "test") if paths.isfile(paths.join(sets, f"{name}.txt"))}
    if listed and "" in pairs:
        if options.split is None and len(listed) > 1:
            raise SplitRequired(path, sorted(listed, key=split_rank))
        split = usual_split(options.split) if options.split else next(iter(listed))
        if split not in listed:
            raise NotFound(f"{path} has no split {options.split!r}: it has {', '.join(listed)}")
        stems = [line.split()[0] for line in _read(paths.join(sets, listed[split])).splitlines() if line.strip()]
        images, labels = pairs[""]
        names, left_out = _of_stems(images, stems), dict[str, int]()
    else:
        images, labels, split = _of_split(path, pairs, options)
        found = scan(images, ImageFiles.suffixes, {**REASONS, ".xml": "annotations (.xml)"}, flat=True)
        names, left_out = found.names, dict(found.left_out)

    def categories(annotation: str) -> set[str]:
        """Return the categories of one image."""
        try:
            root = ElementTree.fromstring(_read(annotation))  # noqa: S314 - a small file; expat itself bounds how entities grow
        except ElementTree.ParseError as error:
            raise BadFile(f"{annotation} is not valid XML: {error}") from error
        return {text.strip() for each in root.iter("object") if (text := each.findtext("name"))}

    said = "labels: the objects of Pascal VOC's XML files"
    every = _names_in_xml([folder for _, folder in pairs.values()], categories) if options.labels_as else ()
    source = _labeled(names, left_out, labels, ".xml", categories, every, options, said, split)
    if masks is not None:
        source = with_choices(source, Choice(f"masks in {masks} are not used", "labels_as='masks'"))
    return source


def _names_in_xml(folders: Sequence[str], categories: Callable[[str], set[str]]) -> tuple[str, ...]:
    """Return the classes of all annotations, of all splits: Pascal VOC has no list of them."""
    files = [entry.path for folder in folders for entry in paths.scandir(folder) if entry.name.lower().endswith(".xml")]
    return tuple(sorted(set().union(*paths.for_each(categories, files)), key=class_key))


def _image_folders(path: str, images: str, labels: str, suffix: str) -> dict[str, tuple[str, str]]:
    """Return the folders of images and of their annotations, by split ("" for none)."""

    def named(folder: str, wanted: str) -> str | None:
        return next((paths.join(folder, name) for name in subfolders(folder) if name.lower() == wanted), None)

    first, second = named(path, images), named(path, labels)
    if first is not None and second is not None:
        below = {part[0]: name for name in subfolders(first) if (part := split_in(name)) is not None}
        if below and _holds(second, suffix):
            return {split: (paths.join(first, name), paths.join(second, name)) for split, name in below.items()}
        return {"": (first, second)} if _holds(second, suffix) else {}
    folders = {}
    for name in subfolders(path):
        part = split_in(name)
        folder = paths.join(path, name)
        if part is not None and (a := named(folder, images)) and (b := named(folder, labels)) and _holds(b, suffix):
            folders[part[0]] = (a, b)
    return folders


def _side_by_side(path: str, suffix: str) -> bool:
    """Return whether most images of a folder have an annotation file next to them."""
    names = [entry.name for entry in paths.scandir(path) if entry.is_file() and not entry.name.startswith(".")]
    notes = {
        os.path.splitext(name)[0] for name in names if name.lower().endswith(suffix) and name.lower() not in _OTHER_TEXT
    }
    images = {stem for stem, end in map(os.path.splitext, names) if end.lower() in ImageFiles.suffixes}
    paired = notes & images
    if not paired or len(paired) * 2 < len(images) or len(paired) * 2 < len(notes):
        return False
    if suffix == ".xml":
        return True
    try:
        lines = _read(paths.join(path, f"{min(paired)}{suffix}")).split("\n")
        for line in lines:
            if line.strip():
                _yolo_number(line, path)
    except (BadFile, OSError):
        return False
    return True


def _holds(folder: str, suffix: str) -> bool:
    """Return whether a folder or its subfolders contain a file with this suffix."""
    return any(name.lower().endswith(suffix) for _, _, files in paths.walk(folder) for name in files)


def _of_split(path: str, pairs: Mapping[str, tuple[str, str]], options: OpenOptions) -> tuple[str, str, str]:
    names = sorted(pairs, key=split_rank)
    if options.split is not None:
        split = usual_split(options.split) or options.split
        if split not in pairs:
            raise NotFound(f"{path} has no split {options.split!r}: it has {', '.join(filter(None, names)) or 'none'}")
    elif len(names) > 1:
        raise SplitRequired(path, names)
    else:
        split = names[0]
    return *pairs[split], split


def _of_stems(folder: str, stems: Sequence[str]) -> Names:
    """Return images by their names without suffix."""
    known = {
        os.path.splitext(entry.name)[0]: entry.path
        for entry in paths.scandir(folder)
        if os.path.splitext(entry.name)[1].lower() in ImageFiles.suffixes
    }
    missing = [stem for stem in stems if stem not in known]
    if missing:
        raise NotFound(f"{len(missing)} images of {len(stems)} are not in {folder}: {', '.join(missing[:_NAMED])}")
    return names_of([known[stem] for stem in stems])


def _annotations_of(names: Names, folder: str, suffix: str) -> list[str]:
    """Return the path of the annotations of each image."""
    annotations = []
    for i in range(len(names)):
        relative = os.path.splitext(os.fsdecode(names.relative(i) if names.root else paths.basename(names.path(i))))[0]
        annotations.append(paths.join(folder, relative + suffix))
    return annotations


def _labeled(
    names: Names, left_out: Mapping[str, int], folder: str, suffix: str, categories: Callable[[str], set[str]],
    classes: Sequence[str], options: OpenOptions, origin: str, split: str,
) -> Source:  # fmt: skip
    """Open images with the class of each, or with 0 or 1 for each class if images have several."""
    annotations = _annotations_of(names, folder, suffix)
    classes_of = paths.for_each(lambda path: categories(path) if paths.isfile(path) else set(), annotations)
    without = sum(not of for of in classes_of)
    known = sorted(set().union(*classes_of), key=class_key)
    if not known:
        raise BadFile(f"no image has an object in the annotations below {folder}")
    every = tuple(classes) or tuple(known)
    left_out = dict(left_out)
    setting = "labels_as="
    several = [i for i, of in enumerate(classes_of) if len(of) > 1]
    if several and options.labels_as == "class":
        raise one_class_only(folder, [names.show(i) for i in several])
    if several or options.labels_as == "tags":
        values: Any = np.array([[name in of for name in every] for of in classes_of], np.float32)
        origin += f": {len(several):,} of {len(names):,} images have several classes: 0 or 1 for each of {len(every)}"
        origin += f"; {without:,} images have none" if without else ""
        kept = names
    else:
        rows = [i for i, of in enumerate(classes_of) if of]
        kept = names_of([names.path(i) for i in rows])
        used = [name for name in every if name in set(known) or options.labels_as]
        index = {name: i for i, name in enumerate(used)}
        values, every = np.array([index[next(iter(classes_of[i]))] for i in rows], np.int64), tuple(used)
        origin += ": one class per image"
        if without:
            left_out["images without an object"] = without
    source = ImageFiles.of_files(RowFiles(kept, values, every, left_out), replace(no_fields(options), labels=None))
    return with_choices(source, Choice(origin + (f"; split {split!r}" if split else ""), setting))


def _yolo_text(path: str) -> str:
    """Return the text of annotations whose lines are checked."""
    text = _read(path)
    for line in text.splitlines():
        if line.strip():
            _yolo_number(line, path)
    return text


def _yolo_number(line: str, where: str) -> int:
    """Return the class in a line ``class x y width height``, or in a polygon."""
    values = line.split()
    try:
        numbers = [float(value) for value in values]
    except ValueError:
        numbers = []
    if (
        (len(numbers) not in (1, 5, 6) and (len(numbers) < 7 or len(numbers) % 2 == 0))
        or not numbers
        or numbers[0] != int(numbers[0])
        or numbers[0] < 0
    ):
        raise BadFile(f"{where} has a line that is not in YOLO's format (class, x, y, width, height): {line[:80]!r}")
    return int(numbers[0])


def _class_names(path: str, labels: str) -> tuple[str, ...]:
    """Return the names of classes in data.yaml or a text file."""
    folders = dict.fromkeys((path, labels, paths.dirname(path), paths.dirname(labels)))
    for folder in folders:
        for name in sorted(paths.listdir(folder)) if paths.isdir(folder) else []:
            where = paths.join(folder, name)
            if name.lower().endswith((".yaml", ".yml")) and (found := _names_in_yaml(where)):
                return found
            if name.lower() in _NAME_FILES:
                return tuple(line.strip() for line in _read(where).splitlines() if line.strip())
    return ()


def _names_in_yaml(path: str) -> tuple[str, ...]:
    text = _read(path)
    if "names" not in text:
        return ()
    import yaml

    try:
        content = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise BadFile(f"{path} is not valid YAML: {one_line(error)}") from error
    names = content.get("names") if isinstance(content, dict) else None
    if isinstance(names, dict):
        if sorted(names) != list(range(len(names))):
            raise BadSetting(f"{path}: names must be numbered from 0, not {list(names)[:10]}")
        names = [names[number] for number in range(len(names))]
    return tuple(map(str, names)) if isinstance(names, list) else ()


def _read(path: str) -> str:
    try:
        if paths.getsize(path) > _LARGEST:
            raise BadFile(f"{path} has {paths.getsize(path):,} bytes, too many for annotations of an image")
        with paths.open_text(path) as file:
            return file.read()
    except UnicodeDecodeError as error:
        raise BadFile(f"{path} is not text in UTF-8: {error}") from error
