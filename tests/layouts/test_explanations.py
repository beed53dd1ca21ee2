"""What `explain()` says of data laid out at random is what its batches contain."""

import csv
import io
import json
import tarfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st
from PIL import Image

import bitesize as bs
from tests.properties import examples

SIDE = 6
WORDS = st.text("abcdefghij xyz-_é猫()[]'&", min_size=1, max_size=8).map(str.strip).filter(
    lambda word: word and word not in ("x", "y", "label", "data") and not word.startswith(("_", "-")) and word.lower() == word
)  # fmt: skip
# Names that people give classes, and that are neither those of splits nor of images and masks.
CLASSES = st.lists(
    WORDS.filter(lambda word: any(letter in "bcdefgh猫" for letter in word)), min_size=2, max_size=4, unique=True
)


@st.composite
def rows_of(draw):
    """Return a class for each row, each class at least twice."""
    classes = draw(CLASSES)
    return classes * 2 + draw(st.lists(st.sampled_from(classes), max_size=8))


def write_row(path, marker, suffix):
    path.parent.mkdir(parents=True, exist_ok=True)
    if suffix == ".npy":
        np.save(path, np.full((SIDE, SIDE, 3), marker, np.float32))
    else:
        Image.new("RGB", (SIDE, SIDE), (marker,) * 3).save(path, {".png": "PNG", ".PNG": "PNG", ".bmp": "BMP"}[suffix])


class Laid:
    """What was laid out: what is opened, how, and the label of each row by its marker."""

    def __init__(self, what, meant, junk=0, **options):
        self.what, self.meant, self.junk, self.options = what, meant, junk, options


def class_folders(root, labels, draw):
    suffix, depth = draw(st.sampled_from([".png", ".npy", ".bmp", ".PNG"])), draw(st.integers(0, 2))
    for marker, label in enumerate(labels):
        write_row(root / label / Path(*["deeper"] * (depth if marker % 2 else 0)) / f"{marker}{suffix}", marker, suffix)
    junk = draw(st.lists(st.sampled_from(["notes.txt", "Thumbs.db", ".DS_Store", "model.pt", "readme.md"]), unique=True))
    for name in junk:
        (root / name).write_bytes(b"junk")
    return Laid(str(root), dict(enumerate(labels)), len(junk))


def named_labels(root, labels, draw):
    for marker in range(len(labels)):
        write_row(root / f"img{marker}.png", marker, ".png")
    key = draw(st.sampled_from(["{}.png", "{}", str(root / "{}.png")]))
    return Laid(str(root), dict(enumerate(labels)), labels={key.format(f"img{i}"): label for i, label in enumerate(labels)})


def table(root, labels, draw):
    for marker in range(len(labels)):
        write_row(root / "files" / f"{marker}.png", marker, ".png")
    path, label = (
        draw(st.sampled_from(["path", "Filename", "file_name", "image"])),
        draw(st.sampled_from(["label", "Class", "target"])),
    )
    with open(root / "table.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow([path, label])
        writer.writerows([f"files/{marker}.png", name] for marker, name in enumerate(labels))
    return Laid(str(root / "table.csv"), dict(enumerate(labels)))


def pairs(root, labels, draw):
    for marker in range(len(labels)):
        write_row(root / f"{marker}.npy", marker, ".npy")
    order = draw(st.permutations(range(len(labels))))
    first = draw(st.booleans())
    listed = [(str(root / f"{i}.npy"), labels[i]) if first else (labels[i], str(root / f"{i}.npy")) for i in order]
    return Laid(listed, dict(enumerate(labels)))


def mapping(root, labels, draw):
    for marker, label in enumerate(labels):
        write_row(root / str(sorted(set(labels)).index(label)) / f"{marker}.png", marker, ".png")
    return Laid({label: str(root / str(i)) for i, label in enumerate(sorted(set(labels)))}, dict(enumerate(labels)))


def archive(root, labels, draw):
    root.mkdir(parents=True)
    x = np.arange(len(labels), dtype=np.uint8)[:, None, None, None] + np.zeros((1, SIDE, SIDE, 3), np.uint8)
    name = draw(st.sampled_from(["x", "images", "data"]))
    np.savez(root / "data.npz", **{name: x, draw(st.sampled_from(["y", "label", "labels"])): np.array(labels)})
    return Laid(str(root / "data.npz"), dict(enumerate(labels)))


def shards(root, labels, draw):
    root.mkdir(parents=True)
    with tarfile.open(root / "data.tar", "w") as tar:
        for marker, label in enumerate(labels):
            image = io.BytesIO()
            Image.new("RGB", (SIDE, SIDE), (marker,) * 3).save(image, "PNG")
            for kind, data in (("png", image.getvalue()), ("cls", label.encode())):
                member = tarfile.TarInfo(f"{marker:04}.{kind}")
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))
    return Laid(str(root / "data.tar"), dict(enumerate(labels)))


def splits(root, labels, draw):
    names = draw(
        st.sampled_from(
            [("train", "val"), ("Training", "Validation"), ("train2017", "val2017"), ("train_images", "test_images")]
        )
    )
    for marker, label in enumerate(labels):
        write_row(root / names[0] / label / f"{marker}.png", marker, ".png")
        write_row(root / names[1] / label / f"{marker}.png", 200, ".png")
    return Laid(str(root), dict(enumerate(labels)), split="train")


def yolo(root, labels, draw):
    classes = sorted(set(labels))
    for marker, label in enumerate(labels):
        write_row(root / "images" / f"{marker}.png", marker, ".png")
        (root / "labels").mkdir(exist_ok=True)
        box = f"{classes.index(label)} 0.5 0.5 0.2 0.2\n"
        (root / "labels" / f"{marker}.txt").write_text(box * draw(st.integers(1, 2)))
    (root / "data.yaml").write_text(json.dumps({"names": classes}), encoding="utf-8")  # JSON is YAML, too
    return Laid(str(root), dict(enumerate(labels)))


def patterns(root, labels, draw):
    for marker, label in enumerate(labels):
        write_row(root / label / f"{marker}.png", marker, ".png")
    return Laid(
        str(root / "**" / "*.png") if not set("[]") & set(str(root)) else str(root),
        dict(enumerate(labels)),
        labels=r"([^/]+)/[^/]+$",
    )


LAYOUTS = [class_folders, named_labels, table, pairs, mapping, archive, shards, splits, yolo, patterns]


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.__name__)
@examples(8, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(data=st.data())
def test_what_is_explained_is_what_batches_contain(tmp_path_factory, layout, data):
    labels = data.draw(rows_of())
    laid = layout(tmp_path_factory.mktemp("layout") / "data", labels, data.draw)
    source = bs.open(laid.what, **laid.options)
    explained = source.explain()
    seen, images = {}, []
    primary, label = source.primary, source.label_name
    with bs.Loader(source, batch_size=5, memory="64 MiB", shuffle=False) as loader:
        for batch in loader:
            images.append(batch[primary].copy())
            for i, marker in enumerate(batch[primary].reshape(len(batch.rows), -1)[:, 0].tolist()):
                seen[int(marker)] = source.classes[int(batch[label][i])]
    pixels = np.concatenate(images)
    assert seen == laid.meant
    assert explained.rows == len(source) == len(labels)
    assert {name: count for name, count in explained.classes.items() if count} == Counter(seen.values())
    assert {field.role: field.name for field in explained.fields if field.role in ("input", "labels")} == {
        "input": primary,
        "labels": label,
    }
    assert (explained.values.minimum, explained.values.maximum) == (pixels.min(), pixels.max())
    assert sum(explained.left_out.values()) == laid.junk
    assert explained.choices
    row = source[len(source) - 1]
    assert (row[label], int(np.ravel(row[primary])[0])) == (seen[int(pixels[-1].ravel()[0])], int(pixels[-1].ravel()[0]))
    assert json.loads(json.dumps(explained.to_dict()))["rows"] == len(labels)
