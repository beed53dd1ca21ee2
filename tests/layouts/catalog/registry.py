"""The list of layouts, and helpers that write their files.

Each row carries a marker that can be read from its content: row ``i`` is an image, an array or a number of the constant
value ``marker(i)``. Markers are 7 apart, so that lossy formats keep them distinct.

A label is None (no label), text, a number, a tuple (a vector), a frozenset (tags), ``("mask", value)`` (a mask of one
value) or ``("boxes", count)``.
"""

import csv
import io
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

LAYOUTS = {}


class Given:
    """The arguments of `bitesize.open`."""

    def __init__(self, data, **options):
        self.data, self.options = data, options


@dataclass(frozen=True)
class Layout:
    """Data as people have it, and what it means.

    Parameters
    ----------
    make
        Writes the files below a folder and returns what is opened.
    labels
        The label of each row by its marker. Where there are splits, those of the first.
    kind
        ``"must_open"``, ``"may_refuse"`` or ``"must_refuse"``.
    splits
        The labels of each split.
    also_right
        Other correct readings: labels by marker, or ``"unlabeled"``.
    say
        Words of which one must be in what the source says of itself, even where rows and labels are right.
    about
        The columns, folders, files or words concerned where the reading differs: one of them must be said.
    named
        Words of which one must be in the message that refuses the data.
    scale
        16-bit data holds the marker times this.
    width
        Numbers in a row without its label: an index is not a feature.
    resize
        Whether images have different sizes.
    """

    make: Callable[[Path], Given]
    labels: dict[int, Any]
    kind: str = "must_open"
    splits: dict[str, dict[int, Any]] = field(default_factory=dict)
    also_right: tuple[Any, ...] = ()
    say: tuple[str, ...] = ()
    about: tuple[str, ...] = ()
    named: tuple[str, ...] = ()
    scale: int = 1
    width: int | None = None
    resize: bool = False


def layout(labels, **expected):
    """Register a function that writes a layout, by its name."""

    def register(make):
        assert make.__name__ not in LAYOUTS, f"two layouts are called {make.__name__}"
        assert make.__doc__, f"{make.__name__} does not say what it is"
        LAYOUTS[make.__name__] = Layout(make, labels, **expected)
        return make

    return register


def marker(i):
    """Return the value that row i consists of."""
    return 7 * (i + 1)


def labels_of(rows, rule):
    """Return the labels by marker: rule(i) for each row i."""
    return {marker(i): rule(i) for i in rows}


def unlabeled(count=12):
    return labels_of(range(count), lambda i: None)


CAT_DOG = ("cat", "dog")


def in_turn(count, names=CAT_DOG, start=0):
    """Return labels by marker: the names in turn, from row `start` on."""
    return labels_of(range(start, start + count), lambda i: names[i % len(names)])


def cat_dog(rows=range(12)):
    return [CAT_DOG[i % 2] for i in rows]


TRAIN, VALID, TEST = in_turn(12), in_turn(6, start=12), in_turn(6, start=18)


def class_numbers(rows, classes=3):
    """Return i modulo the number of classes for each row i."""
    return np.array([i % classes for i in rows], np.uint8)


DIGITS = labels_of(range(12), lambda i: i % 3)
MORE_DIGITS = labels_of(range(12, 18), lambda i: i % 3)


def picture(i, mode="RGB", size=(8, 8)):
    """Return an image of one gray level."""
    width, height = size
    if mode == "I;16":
        return Image.fromarray(np.full((height, width), marker(i) * 256, np.uint16))
    if mode == "F":
        return Image.fromarray(np.full((height, width), marker(i), np.float32))
    if mode == "RGBA":
        return Image.new(mode, size, (marker(i),) * 3 + (255,))
    gray = Image.new("L", size, marker(i))
    return gray if mode == "L" else gray.convert(mode)


def save_image(path, i, mode="RGB", size=(8, 8), **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix.lower() in (".jpg", ".jpeg"):
        options.setdefault("quality", 98)
    picture(i, mode, size).save(path, **options)


def image_bytes(i):
    """Return a PNG file of row i."""
    file = io.BytesIO()
    picture(i).save(file, "PNG")
    return file.getvalue()


def class_folders(root, rows=range(12), names=CAT_DOG, name="{i}.png", **options):
    """Write an image for each row into the folders of the classes in turn."""
    for i in rows:
        save_image(root / names[i % len(names)] / name.format(i=i), i, **options)


def write_file(path, content, encoding="utf-8"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode(encoding))


def write_csv(path, /, **columns):
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(columns)
        rows.writerows(zip(*columns.values(), strict=True))


def save_array(path, values):
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, values)


def stacked(rows, shape=(8, 8)):
    """Return an array of images, one for each row."""
    return np.stack([np.full(shape, marker(i), np.uint8) for i in rows])


def features(rows):
    """Return three columns of numbers; the first holds the markers."""
    return {"f0": [float(marker(i)) for i in rows], "f1": [0.5] * len(rows), "f2": [i * 0.25 for i in rows]}


def labeled_features(rows):
    return {**features(rows), "label": cat_dog(rows)}


def frame(**columns):
    """Return a data frame of pandas."""
    return pytest.importorskip("pandas").DataFrame(columns)


def write_parquet(path, **columns):
    pytest.importorskip("pyarrow")
    path.parent.mkdir(parents=True, exist_ok=True)
    frame(**columns).to_parquet(path)
