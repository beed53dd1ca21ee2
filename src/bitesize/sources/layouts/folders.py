"""Plain folders: splits, one class per folder, Hive's ``key=value`` folders, or files alone."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import replace

from bitesize.errors import BadSetting
from bitesize.files.names import names_of
from bitesize.files.scan import Listing, class_key, path_key, scan
from bitesize.sources.base import OpenOptions, RowFiles, Source
from bitesize.sources.choices import Choice
from bitesize.sources.columns import LABEL_FIELDS
from bitesize.sources.layouts.file_labels import prefix_hint
from bitesize.sources.layouts.listing import (
    REASONS,
    TABLES,
    file_suffixes,
    folder_of,
    label_each_file,
    no_fields,
    of_class_files,
    of_many_files,
    of_names,
    one_kind,
    paths_of,
    row_kind,
    row_suffixes,
    with_choices,
)  # fmt: skip
from bitesize.sources.layouts.pairs import is_image_name, is_mask_name, without_masks
from bitesize.sources.registry import by_suffix, need
from bitesize.sources.splits import COLUMNS, SplitRequired, choose, choose_files, split_in, splits, splits_among, subfolders
from bitesize.sources.zarr import Zarr
from bitesize.sources.zarr_rows import zarr_listing
from bitesize.storage import paths

_PARTITION = re.compile(r"([A-Za-z_][\w.-]*)=(.*)")
_NAMED = 5
_PARTS = tuple(
    map(
        frozenset,
        (
            ("labeled", "unlabeled"),
            ("labeled", "unlabeled"),
            ("original", "augmented"),
            ("seen", "unseen"),
        ),
    )
)
_COUNTERPARTS = tuple(
    map(
        frozenset,
        (
            ("rgb", "depth"),
            ("hr", "lr"),
            ("input", "output"),
            ("inputs", "outputs"),
            ("source", "target"),
            ("noisy", "clean"),
            ("raw", "mask"),
        ),
    )
)
# Maximum number of folders that are checked for data.
_FEW = 12
_ASIDE = frozenset(
    [
        "annotations",
        "annotation",
        "attributes",
        "parts",
        "meta",
        "metadata",
        "info",
        "labels",
        "lists",
        "list",
        "splits",
        "segmentations",
        "segmentation",
        "docs",
        "doc",
        "logs",
        "runs",
        "checkpoints",
        "models",
        "weights",
        "results",
        "scripts",
        "src",
        "notebooks",
        "devkit",
        "tools",
    ]
)
_DATE = re.compile(r"\d{4}[-_.]?\d{2}[-_.]?\d{2}|\d{2}[-_.]\d{2}[-_.]\d{4}|\d{4}[-_.]\d{2}")
_PART = re.compile(r".*(?:^|[^a-z])(?:fold|part|batch|chunk|shard|split|section|disk|folder)s?[-_ ]?\d+", re.IGNORECASE)
_NUMBERED = re.compile(r"[^\d]{0,12}\d[\d_-]*|[0-9a-f]{6,}", re.IGNORECASE)


def split_folders(path: str, options: OpenOptions, open_folder: Callable[[str, OpenOptions], Source]) -> Source | None:
    """Open one of the splits of a folder, such as ``train/``."""
    if options.split is None:
        found = splits(path)
        if found:
            raise SplitRequired(path, found)
        return None
    part = choose(path, options.split)
    if part is None:
        return None
    source = open_folder(part, replace(options, split=None))
    return with_choices(source, Choice(f"split {options.split!r}: the folder {paths.basename(part)}", "split="))


def partitions(path: str, options: OpenOptions, open_folder: Callable[[str, OpenOptions], Source]) -> Source | None:
    """Open folders named ``key=value``, as Hive and Spark write them: the value is the class or the split."""
    names = subfolders(path)
    pairs = [_PARTITION.fullmatch(name) for name in names]
    if not names or not all(pairs):
        return None
    keys = {pair[1] for pair in pairs if pair is not None}
    if len(keys) > 1:
        raise BadSetting(
            f"{path} is partitioned by several keys ({', '.join(sorted(keys))}): open one of the folders {', '.join(names[:_NAMED])}"
        )
    key = keys.pop()
    values = {pair[2]: paths.join(path, name) for name, pair in zip(names, pairs, strict=True) if pair is not None}
    if key.lower() in COLUMNS:
        if options.split is None:
            raise SplitRequired(path, sorted(values))
        wanted = split_in(options.split)
        chosen = next(
            (v for v in values if v == options.split or (wanted and (part := split_in(v)) and part[0] == wanted[0])), None
        )
        if chosen is None:
            raise BadSetting(f"{path} has no split {options.split!r}: it has {', '.join(values)}")
        return open_folder(values[chosen], replace(options, split=None))
    if (
        options.labels is not None
        and options.labels is not False
        and not (isinstance(options.labels, str) and options.labels == key)
    ):
        return None
    if options.labels is None and key.lower() not in (*LABEL_FIELDS, "class", "category"):
        raise BadSetting(
            f"{path} is partitioned by {key!r} ({', '.join(list(values)[:_NAMED])}): labels={key!r} uses it as the class, labels=False drops it"
        )
    ordered = dict(sorted(values.items(), key=lambda pair: class_key(pair[0])))
    groups = {value: paths_of(scan(folder, file_suffixes(), REASONS, flat=True).names) for value, folder in ordered.items()}
    kind = row_kind(one_kind([name for of in groups.values() for name in of]), options, labeled=True)
    if kind.file_is_row:
        files = [name for of in groups.values() for name in of]
        labels = [value for value, of in groups.items() for _ in of]
        return of_names(
            names_of(files),
            {},
            replace(options, labels=labels if options.labels is not False else None),
            listed=True,
            kind=kind,
        )
    source = of_class_files(kind, groups, options)
    return with_choices(source, Choice(f"labels: {key}, the key of the folders {names[0]}, ...", "labels="))


def zarr_folders(path: str, options: OpenOptions) -> Source | None:
    """Open Zarr folders in a folder, or in one folder per class."""
    listing = zarr_listing(path)
    if listing is None:
        return None
    in_folders = listing.labels is not None and options.labels is None
    kind = row_kind(Zarr, options, labeled=in_folders or label_each_file(options.labels, len(listing.names)))
    need(kind)
    return _of_listing(listing, kind, path, options)


def listed_folder(path: str, options: OpenOptions, open_folder: Callable[[str, OpenOptions], Source]) -> Source:
    """Open the files of a folder: one class per subfolder, or files without subfolders."""
    names = subfolders(path)
    inner = _only_wrapper(path, names)
    if inner is not None and options.labels is None:
        source = open_folder(inner, options)
        return with_choices(
            source,
            Choice(f"the folder {paths.basename(inner)}, the only content of {paths.basename(path) or path}", "open it"),
        )
    if options.labels is None:
        _refuse_splits_among_classes(path, names)
    listing = scan(
        path, file_suffixes() if not names else row_suffixes() | file_suffixes(), REASONS, flat=options.labels is not None
    )
    listing = _without_tables(listing, path, options)
    counts = {suffix: count for suffix, count in listing.kinds.items() if count}
    kind = one_kind([suffix for suffix, count in counts.items() for _ in range(min(count, 2))], counts)
    in_folders = listing.labels is not None and options.labels is None
    kind = row_kind(kind, options, labeled=in_folders or label_each_file(options.labels, len(listing.names)))
    need(kind)
    return _of_listing(listing, kind, path, options)


def _of_listing(listing: Listing, kind: type[Source], path: str, options: OpenOptions) -> Source:
    """Open listed files of one kind: one row each, or many."""
    if kind.file_is_row:
        return files_of_one_row(listing, kind, options)
    if listing.labels is None or listing.classes is None or len(listing.classes) < 2 or options.labels is not None:
        return of_many_files(kind, sorted(paths_of(listing.names), key=path_key), path, options)
    groups: dict[str, list[str]] = {name: [] for name in listing.classes}
    for name, label in zip(paths_of(listing.names), listing.labels.tolist(), strict=True):
        groups[listing.classes[label]].append(name)
    return with_choices(
        of_class_files(kind, groups, options),
        Choice(f"labels: the names of the {len(groups)} class folders, for all rows of their files", "labels="),
    )


def files_of_one_row(listing: Listing, kind: type[Source], options: OpenOptions) -> Source:
    """Open listed files of one row each, with labels of the user or of class folders."""
    listing = _of_split(without_masks(listing), options)
    if options.labels is not None and options.labels is not False:
        return of_names(listing.names, listing.left_out, options, listed=False, kind=kind)
    labels, classes = (None, None) if options.labels is False else (listing.labels, listing.classes)
    files = RowFiles(listing.names, labels, classes, listing.left_out)
    source = kind.of_files(files, replace(no_fields(options, kind), labels=None))
    if classes is None:
        hint = prefix_hint(listing.names) if options.labels is None else None
        return with_choices(source, *([hint] if hint else []))
    origin = (
        f"labels: the names of the {len(classes)} class folders"
        if len(classes) > 1
        else f"one class, the folder {classes[0]}"
    )
    return with_choices(source, Choice(origin, "labels="))


def _of_split(listing: Listing, options: OpenOptions) -> Listing:
    """Return the files of a split, by the start of their names."""
    if options.split is None:
        return listing
    files = paths_of(listing.names)
    chosen = set(choose_files(files, options.split, folder_of(files[0])))
    rows = [i for i, path in enumerate(files) if path in chosen]
    labels = None if listing.labels is None else listing.labels[rows]
    return replace(listing, names=names_of([files[i] for i in rows]), labels=labels)


def _without_tables(listing: Listing, path: str, options: OpenOptions) -> Listing:
    """Return a listing without tables that describe the other files."""
    kinds = {suffix: count for suffix, count in listing.kinds.items() if count}
    if not {*kinds} & TABLES or not {*kinds} - TABLES:
        return listing
    again = scan(path, {*kinds} - TABLES, REASONS, flat=options.labels is not None)
    left_out = dict(again.left_out)
    for suffix in sorted({*kinds} & TABLES):
        left_out.pop(f"other files ({suffix})", None)
        left_out[f"tables ({suffix}) next to the files: labels=TABLE reads labels from them"] = kinds[suffix]
    return replace(again, left_out=left_out)


def _only_wrapper(path: str, names: list[str]) -> str | None:
    """Return the only folder with data in a folder, if it contains folders, as in many unpacked archives."""
    if not 1 <= len(names) <= _FEW:
        return None
    if any(entry.is_file() and by_suffix(entry.name) is not None for entry in paths.scandir(path)):
        return None
    with_data = [name for name in names if _holds_data(paths.join(path, name))]
    if len(with_data) != 1 or not all(name == with_data[0] or _is_aside(name) for name in names):
        return None
    inner = paths.join(path, with_data[0])
    return inner if len(subfolders(inner)) > 1 or split_in(with_data[0]) else None


def _is_aside(name: str) -> bool:
    """Return whether a folder without data may accompany data folders, rather than being an empty class."""
    return name.lower() in _ASIDE


def _holds_data(folder: str) -> bool:
    """Return whether a folder, or a folder below it, contains a file of a known format."""
    return any(
        by_suffix(name) is not None for _, _, files in paths.walk(folder) for name in files if not name.startswith(".")
    )


def _refuse_splits_among_classes(path: str, names: list[str]) -> None:
    """Raise `BadSetting` if folders that would be classes have names of splits or of images and masks."""
    parts = list(splits_among(names))
    deep = [name for name in parts if subfolders(paths.join(path, name))]
    held = [
        name for name in parts if (part := split_in(name)) is not None and part[0] == "val"
    ]  # not a plausible class name
    if len(names) > 1 and (len(parts) > 1 or deep or held):
        others = [name for name in names if name not in parts]
        shown = " and ".join(parts[:_NAMED])
        verb = "look like splits" if len(parts) > 1 else "looks like a split"
        beside = f", next to {',  '.join(others[:_NAMED])}" if others else ""
        raise BadSetting(
            f'{path}: the folders {shown} {verb} of the data{beside}: choose one with split="{parts[0]}"; if they are classes, pass '
            f'{{"{names[0]}": "{paths.join(path, names[0])}", ...}}'
        )
    inside = Counter(part[0] for name in names for below in subfolders(paths.join(path, name)) if (part := split_in(below)))
    whole = [
        name for name in names if (below := subfolders(paths.join(path, name))) and all(split_in(each) for each in below)
    ]
    if len(names) > 1 and len(whole) == len(names) and len(inside) > 1:
        raise BadSetting(
            f"{path}: each class folder contains the splits {', '.join(sorted(inside))}: pass those of one split, "
            f'{{"{names[0]}": "{paths.join(path, names[0], subfolders(paths.join(path, names[0]))[0])}", ...}}'
        )
    _refuse_what_is_no_class(path, names)
    masks = [name for name in names if is_mask_name(name)]
    if len(names) == 2 and len(masks) == 1 and is_image_name(names[0 if masks[0] == names[1] else 1]):
        images = names[0 if masks[0] == names[1] else 1]
        raise BadSetting(
            f"{path} contains {images} and {masks[0]}, which are not classes: for masks use bs.open({paths.join(path, images)!r}, "
            f"labels={paths.join(path, masks[0])!r})"
        )


def _refuse_what_is_no_class(path: str, names: list[str]) -> None:
    """Raise `BadSetting` if classes are ambiguous: folders are named as dates or parts, or contain the same folders."""
    if len(names) < 2:
        return
    inner = [set(subfolders(paths.join(path, name))) for name in names]
    deep = all(inner)
    shared = set.intersection(*inner) if deep else set()
    numbered = all(_NUMBERED.fullmatch(name) for name in shared)
    level = "the last folder before the file is the class"
    if all(_DATE.fullmatch(name) for name in names):
        meaning = "dates"
    elif all(_PART.fullmatch(name) for name in names) or {name.lower() for name in names} in _PARTS:
        meaning = "parts of the data"
    elif len(shared) > 1 and (not numbered or all(_NUMBERED.fullmatch(name) for name in names)):
        meaning = f"groups, since each contains the same folders ({', '.join(sorted(shared)[:_NAMED])})"
    elif {name.lower() for name in names} in _COUNTERPARTS:
        first, second = (paths.join(path, name) for name in names)
        raise BadSetting(
            f"{path}: {names[0]} and {names[1]} look like two images of each row: use bs.zip({names[0]}=bs.open({first!r}), {names[1]}=bs.open({second!r})); "
            f'if they are classes, pass {{"{names[0]}": {first!r}, ...}}'
        )
    else:
        return
    inside = f', labels="([^/]+)/[^/]+$" if {level}' if deep else ""
    raise BadSetting(
        f"{path}: the {len(names)} folders {', '.join(names[:3])}, ... look like {meaning}, not like classes: labels=False opens the files without "
        f'labels{inside}, labels="^([^/]+)/" if they are the classes'
    )
