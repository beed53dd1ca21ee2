"""Images and their masks: in two folders, in lists, or next to each other."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import replace

from bitesize.errors import BadSetting, NotFound
from bitesize.files.names import names_of, stem_of, suffix_of
from bitesize.files.scan import Listing, path_key, scan
from bitesize.sources.base import OpenOptions, RowFiles, Source
from bitesize.sources.choices import Choice
from bitesize.sources.image_headers import probe
from bitesize.sources.images import ImageFiles
from bitesize.sources.layouts.listing import REASONS, no_fields, with_choices
from bitesize.sources.masks import MASK_SUFFIXES, ImagesWithMasks
from bitesize.sources.nifti import NiftiFiles
from bitesize.sources.nifti_masks import NiftiWithMasks
from bitesize.sources.registry import need
from bitesize.sources.splits import SplitRequired, choose, split_in, split_rank, subfolders
from bitesize.storage import paths

_IMAGES = frozenset(
    [
        "image",
        "images",
        "img",
        "imgs",
        "jpegimages",
        "photo",
        "photos",
        "input",
        "inputs",
        "picture",
        "pictures",
        "data",
        "original",
        "originals",
        "rgb",
        "leftimg8bit",
        "imagestr",
    ]
)
_MASKS = frozenset(
    ["mask", "masks", "label", "labels", "annotation", "annotations", "segmentation", "segmentations", "segmentationclass", "seg", "segs", "target", "targets", "gt", "groundtruth", "truth", "y", "manual", "gtfine", "gtcoarse", "labelstr"]
)  # fmt: skip
# Images and volumes, and their masks.
_SUFFIXES = frozenset((*ImageFiles.suffixes, *NiftiFiles.suffixes))
_MASK_SUFFIXES = MASK_SUFFIXES | {*NiftiFiles.suffixes}
_MASK_END = re.compile(
    r"[-_. ](?:mask|masks|seg|segmentation|label|labels|gt|groundtruth|annotation)(?=$|[-_. ]?\d*$)", re.IGNORECASE
)
_MASK_WORD = re.compile(rb"[-_. ](?:mask|seg)", re.IGNORECASE)
_IMAGE_END = re.compile(r"[-_. ](?:image|images|img|rgb|input|orig|original|photo)$", re.IGNORECASE)


def paired_folders(path: str, options: OpenOptions) -> Source | None:
    """Open a folder of images and a folder of their masks, with or without splits."""
    if options.labels is not None and options.labels is not False:
        return None
    images: dict[str, str] = {}
    masks: dict[str, str] = {}
    for name in subfolders(path):
        split, role = _role(name)
        folder = paths.join(path, name)
        if role in _IMAGES and _holds_only(folder, _SUFFIXES):
            images[split] = folder
        elif role in _MASKS and _holds_only(folder, _MASK_SUFFIXES):
            masks[split] = folder
        elif split and not role and _holds_only(folder, _SUFFIXES):
            images.setdefault(split, folder)  # train/ beside train_masks/
    if len(masks) < len(images) and masks:
        images = {split: folder for split, folder in images.items() if split in masks}
    if not images or set(images) != set(masks):
        return None
    if set(images) == {""}:
        if splits_below := [name for name in subfolders(images[""]) if split_in(name)]:
            if options.split is None and len(splits_below) > 1:
                raise SplitRequired(path, sorted({str(split_in(name)[0]) for name in splits_below}, key=split_rank))  # type: ignore[index]
            wanted = options.split or splits_below[0]
            return _open(choose(images[""], wanted) or images[""], choose(masks[""], wanted) or masks[""], options)
        return _open(images[""], masks[""], options)
    names = sorted(images, key=split_rank)
    if options.split is None:
        raise SplitRequired(path, names)
    if options.split not in images:
        raise NotFound(f"{path} has no split {options.split!r}: it has {', '.join(names)}")
    return _open(images[options.split], masks[options.split], options)


def masks_beside(path: str, options: OpenOptions) -> Source | None:
    """Open a folder of files ``a_img.png a_mask.png``."""
    if options.labels is not None:
        return None
    names = [entry.name for entry in paths.scandir(path) if entry.is_file() and not entry.name.startswith(".")]
    images: dict[str, str] = {}
    masks: dict[str, str] = {}
    for name in names:
        stem, end = _stem(name), _end(name)
        if end not in _SUFFIXES:
            continue
        shorter = _MASK_END.sub("", stem)
        if shorter != stem and end in _MASK_SUFFIXES:
            masks[shorter] = name
        else:
            images[_IMAGE_END.sub("", stem)] = name
    if not masks or set(images) != set(masks):
        return None
    stems = sorted(images, key=path_key)
    chosen = [[paths.join(path, of[stem]) for stem in stems] for of in (images, masks)]
    return mask_lists(chosen[0], chosen[1], options, f"labels: masks, the files such as {masks[stems[0]]}")


def without_masks(listing: Listing) -> Listing:
    """Return a listing without files such as ``a_mask.png`` next to ``a.png``, which are not rows."""
    names = listing.names
    if not names.may_match(_MASK_WORD):
        return listing
    stems = [os.fsdecode(stem_of(names.relative(i))) for i in range(len(names))]
    known = set(stems)
    rows = [i for i, stem in enumerate(stems) if (shorter := _MASK_END.sub("", stem)) == stem or shorter not in known]
    if len(rows) == len(names):
        return listing
    labels = None if listing.labels is None else listing.labels[rows]
    left_out = {
        **listing.left_out,
        "masks next to their images (labels=[...] takes a list of masks)": len(names) - len(rows),
    }
    kept = names_of([names.path(i) for i in rows])
    return replace(listing, names=kept, labels=labels, left_out=left_out)


def mask_lists(images: Sequence[str], masks: Sequence[str], options: OpenOptions, origin: str) -> Source:
    """Open images with the masks at the same positions of another list."""
    if len(images) != len(masks):
        raise BadSetting(f"{len(images)} images need the same number of masks: got {len(masks)}")
    paths.know_files([*images, *masks])
    for path in masks:
        if not paths.isfile(path):
            raise NotFound(f"the mask {os.fsdecode(path)} does not exist")
        if _end(os.fsdecode(path)) not in _MASK_SUFFIXES:
            raise BadSetting(
                f"the mask {os.fsdecode(path)} must be in a lossless format: {', '.join(sorted(_MASK_SUFFIXES))}"
            )
    no_fields(options)
    source: Source
    if _end(os.fsdecode(images[0])) in NiftiFiles.suffixes:
        need(NiftiFiles)
        source = NiftiWithMasks(names_of(images), names_of(masks), orient=options.orient, by_position=True)
        return with_choices(source, Choice(origin, "labels="))
    source = ImagesWithMasks(names_of(images), names_of(masks), mode=options.mode, orient=options.orient, by_position=True)
    return with_choices(source, Choice(origin, "labels="))


def mask_folder(images: str, masks: str, options: OpenOptions) -> Source:
    """Open a folder of images with the masks of the same names in another folder."""
    split = options.split or ""
    return _open(paths.join(images, split), paths.join(masks, split), replace(options, labels=None))


def is_image_name(name: str) -> bool:
    """Return whether a folder has a usual name for images."""
    return _role(name)[1] in _IMAGES


def is_mask_name(name: str) -> bool:
    """Return whether a folder has a usual name for masks."""
    return _role(name)[1] in _MASKS


def _open(images: str, masks: str, options: OpenOptions) -> Source:
    volumes = _holds_only(images, NiftiFiles.suffixes)
    kind: type[Source] = NiftiFiles if volumes else ImageFiles
    need(kind)
    listing = scan(images, kind.suffixes, REASONS, flat=True)
    if options.labels is False:
        files = RowFiles(listing.names, None, None, listing.left_out)
        source = kind.of_files(files, replace(no_fields(options), labels=None))
        return with_choices(source, Choice(f"images of {paths.basename(images)} alone, without their masks", "labels="))
    try:
        drawn = scan(masks, kind.suffixes if volumes else MASK_SUFFIXES, REASONS, flat=True)
    except NotFound as error:
        if volumes:
            raise
        raise NotFound(
            f"{error}: masks must be in a lossless format, such as PNG, because JPEG changes their numbers"
        ) from None
    no_fields(options)
    if volumes:
        source = NiftiWithMasks(listing.names, drawn.names, orient=options.orient, left_out=listing.left_out)
    else:
        probed = probe(listing.names, options.mode)
        left_out = {**listing.left_out, **probed.left_out}
        source = ImagesWithMasks(listing.names, drawn.names, mode=options.mode, orient=options.orient, left_out=left_out)
        source.choices = probed.choices
    return with_choices(source, Choice(f"labels: masks, the files of the same names in {paths.basename(masks)}", "labels="))


def _stem(name: str) -> str:
    return os.fsdecode(stem_of(os.fsencode(name)))


def _end(path: str) -> str:
    """Return the suffix of a path, in lower case."""
    return os.fsdecode(suffix_of(os.fsencode(paths.basename(path))))


def _role(name: str) -> tuple[str, str]:
    """Return the split and the rest of the name of a folder, ``("train", "images")``."""
    if name.lower() in _IMAGES | _MASKS:
        return "", name.lower()
    found = split_in(name)
    if found is not None:
        return found
    words = [word for word in re.split(r"[^a-z]+", name.lower()) if word]
    found_splits = [part[0] for word in words if (part := split_in(word)) and not part[1]]
    rest = [word for word in words if not ((part := split_in(word)) and not part[1])]
    known = len(rest) == 1 and rest[0] in _IMAGES | _MASKS and len(found_splits) == 1
    return (found_splits[0], rest[0]) if known else ("", "")


def _holds_only(folder: str, suffixes: frozenset[str] | tuple[str, ...]) -> bool:
    """Return whether the files of a folder, or of the first folder below it with files, have these suffixes."""
    for _, _, files in paths.walk(folder):
        endings = [_end(name) for name in files if not name.startswith(".") and name.lower() != "thumbs.db"]
        if endings:
            return any(end in suffixes for end in endings) and not any(end in (".txt", ".xml", ".json") for end in endings)
    return False
