"""Tar and zip files, and what Hugging Face exports."""

import io
import json
import tarfile
import zipfile

import pytest

from tests.layouts.catalog.registry import (
    CAT_DOG,
    DIGITS,
    MORE_DIGITS,
    TEST,
    TRAIN,
    Given,
    image_bytes,
    labels_of,
    layout,
    write_file,
    write_parquet,
)


def write_tar(path, members, mode="w"):
    with tarfile.open(path, mode) as file:
        for name, content in members:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            file.addfile(member, io.BytesIO(content))


def write_shard(path, rows, **members):
    """Write a shard of WebDataset: an image for each row, and text members by their suffix."""
    contents = []
    for i in rows:
        contents.append((f"{i:06d}.png", image_bytes(i)))
        contents += [(f"{i:06d}.{suffix}", text(i).encode()) for suffix, text in members.items()]
    write_tar(path, contents)


def hugging_face_table(rows):
    """Return images as Hugging Face stores them, with the names of classes in the metadata."""
    arrow = pytest.importorskip("pyarrow")
    image = arrow.struct([("bytes", arrow.binary()), ("path", arrow.string())])
    table = arrow.table(
        {
            "image": arrow.array([{"bytes": image_bytes(i), "path": f"{i}.png"} for i in rows], image),
            "label": arrow.array([i % 2 for i in rows], arrow.int64()),
        }
    )
    kinds = {"image": {"_type": "Image"}, "label": {"names": list(CAT_DOG), "_type": "ClassLabel"}}
    return table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": kinds}})})


def write_hugging_face(path, rows):
    path.parent.mkdir(exist_ok=True)
    pytest.importorskip("pyarrow.parquet").write_table(hugging_face_table(rows), path)


ZERO_ONE = labels_of(range(24), lambda i: i % 2)


@layout(DIGITS)
def wds_png_cls(root):
    """WebDataset: 000000.png and 000000.cls."""
    write_shard(root / "train-000000.tar", range(12), cls=lambda i: str(i % 3))
    return Given(str(root / "train-000000.tar"))


@layout(DIGITS)
def wds_shards_folder(root):
    """WebDataset: three shards."""
    for k in range(3):
        write_shard(root / f"shard-{k:06d}.tar", range(4 * k, 4 * k + 4), cls=lambda i: str(i % 3))
    return Given(str(root))


@layout(DIGITS, splits={"train": DIGITS, "val": MORE_DIGITS})
def wds_train_val_shards(root):
    """WebDataset: a shard for each split."""
    for part, rows in (("train", range(12)), ("val", range(12, 18))):
        write_shard(root / f"{part}-000000.tar", rows, cls=lambda i: str(i % 3))
    return Given(str(root))


@layout(TRAIN, kind="may_refuse")
def wds_png_json(root):
    """WebDataset: labels in members .json."""
    write_shard(root / "d.tar", range(12), json=lambda i: json.dumps({"label": CAT_DOG[i % 2], "width": 8}))
    return Given(str(root / "d.tar"))


@layout(labels_of(range(12), lambda i: f"a photo of thing {i}"), kind="may_refuse")
def wds_png_txt_captions(root):
    """img2dataset: captions, with a Parquet file and statistics beside the shard."""
    write_shard(root / "00000.tar", range(12), txt=lambda i: f"a photo of thing {i}", json=lambda i: '{"status": "success"}')
    write_parquet(root / "00000.parquet", url=[f"http://x/{i}" for i in range(12)], key=[f"{i:06d}" for i in range(12)])
    write_file(root / "00000_stats.json", "{}")
    return Given(str(root))


@layout(TRAIN, kind="may_refuse")
def tar_of_imagefolder(root):
    """Class folders in a tar file."""
    write_tar(root / "animals.tar", [(f"animals/{CAT_DOG[i % 2]}/{i}.png", image_bytes(i)) for i in range(12)])
    return Given(str(root / "animals.tar"))


@layout(TRAIN, kind="must_refuse", named=(".tgz",))
def tar_gz_images(root):
    """Class folders in a compressed tar file."""
    write_tar(root / "images.tgz", [(f"{CAT_DOG[i % 2]}/{i}.png", image_bytes(i)) for i in range(12)], "w:gz")
    return Given(str(root / "images.tgz"))


@layout(TRAIN, kind="must_refuse", named=(".zip",))
def zip_of_images(root):
    """Class folders in a zip file."""
    with zipfile.ZipFile(root / "archive.zip", "w") as archive:
        for i in range(12):
            archive.writestr(f"{CAT_DOG[i % 2]}/{i}.png", image_bytes(i))
    return Given(str(root / "archive.zip"))


@layout(TRAIN, kind="must_refuse", named=(".zip",))
def folder_of_zips_per_class(root):
    """A zip file for each class."""
    for name in CAT_DOG:
        with zipfile.ZipFile(root / f"{name}.zip", "w") as archive:
            archive.writestr("0.png", b"x")
    return Given(str(root))


@layout(TRAIN, also_right=(ZERO_ONE,))
def parquet_hf_image_bytes(root):
    """Hugging Face: images in a column, names of classes in the metadata."""
    write_hugging_face(root / "train-00000-of-00001.parquet", range(12))
    return Given(str(root / "train-00000-of-00001.parquet"))


@layout(TRAIN, splits={"train": TRAIN, "test": TEST}, also_right=(ZERO_ONE,))
def hf_data_folder_shards(root):
    """Hugging Face: shards of two splits in data/."""
    for k in range(2):
        write_hugging_face(root / "data" / f"train-{k:05d}-of-00002.parquet", range(6 * k, 6 * k + 6))
    write_hugging_face(root / "data" / "test-00000-of-00001.parquet", range(18, 24))
    write_file(root / "README.md", "---\ndataset_info: {}\n---\n")
    write_file(root / ".gitattributes", "*.parquet filter=lfs\n")
    return Given(str(root))


@layout(labels_of(range(12), lambda i: i % 2), kind="may_refuse", also_right=(TRAIN,))
def hf_save_to_disk_arrow(root):
    """Hugging Face: what save_to_disk writes."""
    table = hugging_face_table(range(12))
    stream = pytest.importorskip("pyarrow.ipc").new_stream(str(root / "data-00000-of-00001.arrow"), table.schema)
    with stream:
        stream.write_table(table)
    write_file(root / "dataset_info.json", "{}")
    write_file(root / "state.json", '{"_data_files": [{"filename": "data-00000-of-00001.arrow"}]}')
    return Given(str(root))
