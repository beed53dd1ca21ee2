"""Packing keeps rows: what is stored unchanged comes back bit for bit, and pixels are those that a loader makes."""

from __future__ import annotations

import io
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.conftest import noise, write_jpeg

import bitesize as bs
from bitesize.packed.manifest import read_manifest
from bitesize.sources.masks import ImagesWithMasks
from bitesize.sources.registry import installed, kinds
from bitesize.testing import check_source, read_rows


def batches(source, **settings):
    with bs.Loader(source, batch_size=4, memory="256 MiB", shuffle=False, last="short", **settings) as loader:
        parts = [{name: np.array(value) for name, value in batch.items()} for batch in loader]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def same(first, second):
    assert first.keys() == second.keys()
    for name in first:
        np.testing.assert_array_equal(first[name], second[name])


@pytest.mark.parametrize("kind", [*kinds(), ImagesWithMasks], ids=lambda kind: kind.__name__)
def test_rows_of_every_kind_of_source_come_back_unchanged(kind, tmp_path):
    if not installed(kind):
        pytest.skip(f"{kind.package} is not installed")
    (tmp_path / "data").mkdir()
    source = kind.example(tmp_path / "data", 30)
    report = bs.pack(source, tmp_path / "packed", kind="bytes", memory="64 MiB", shard_size="400 B")
    packed = bs.open(tmp_path / "packed")
    assert report.shards > 1
    assert report.rows == {"": 30}
    assert dict(packed.spec) == dict(source.spec)
    assert (packed.primary, packed.label_name, packed.weight_name) == (source.primary, source.label_name, source.weight_name)
    assert (packed.classes, dict(packed.classes_of)) == (source.classes, dict(source.classes_of))
    assert packed.feature_names == source.feature_names
    assert read_rows(packed, range(30)) == read_rows(source, range(30))
    if source.labels is not None:  # those of a dataset of PyTorch are known only when its rows are read
        np.testing.assert_array_equal(packed.labels, source.labels)
    check_source(packed)


@pytest.mark.parametrize("transforms", [[bs.Resize(40)], [bs.Resize(50, "shorter"), bs.CenterCrop(32)]], ids=str)
def test_pixels_after_transforms_are_those_of_a_loader(photos, tmp_path, transforms):
    source = bs.open(photos)
    report = bs.pack(source, tmp_path / "packed", transforms=transforms, memory="64 MiB", shard_size="40 KiB")
    packed = bs.open(tmp_path / "packed")
    assert report.kind == "pixels"
    assert isinstance(packed.spec["x"], bs.Field)
    same(batches(packed), batches(source, transforms=transforms))
    assert any("rounded to uint8" in note for note in report.notes)
    assert "rounded to uint8" in str(packed.explain())
    check_source(packed)


def test_transforms_that_end_in_floats_are_stored_as_floats(photos, tmp_path):
    transforms = [bs.Resize(16), bs.Normalize("imagenet")]
    bs.pack(bs.open(photos), tmp_path / "packed", transforms=transforms, memory="64 MiB")
    same(batches(bs.open(tmp_path / "packed")), batches(bs.open(photos), transforms=transforms))


@pytest.fixture
def turned(tmp_path):
    """Photographs of various sizes with EXIF orientations, one of them gray, one PNG."""
    for i in range(16):
        exif = Image.Exif()
        exif[0x0112] = 1 + i % 8
        write_jpeg(tmp_path / "turned" / "ab"[i % 2] / f"{i}.jpg", noise(40 + i, 60, seed=i), exif=exif)
    Image.fromarray(noise(33, 20)[..., 0]).save(tmp_path / "turned" / "a" / "gray.png")
    return tmp_path / "turned"


@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA"])
def test_pixels_of_varying_shape_are_decoded_and_upright(turned, tmp_path, mode):
    source = bs.open(turned, mode=mode)
    bs.pack(source, tmp_path / "packed", kind="pixels", memory="64 MiB", shard_size="60 KiB")
    packed = bs.open(tmp_path / "packed")
    assert len(packed) == 17
    for row in range(17):
        np.testing.assert_array_equal(packed[row]["x"], source[row]["x"])
    transforms = [bs.RandomResizedCrop(24), bs.Flip()]
    same(batches(packed, transforms=transforms), batches(source, transforms=transforms, fast_decode=False))
    check_source(packed)


def test_images_of_one_shape_are_one_array_that_numpy_opens(tmp_path):
    for i in range(10):
        write_jpeg(tmp_path / "data" / f"{i}.jpg", noise(20, 30, seed=i))
    source = bs.open(tmp_path / "data")
    bs.pack(source, tmp_path / "packed", kind="pixels", memory="64 MiB")
    mapped = np.load(tmp_path / "packed" / "00000" / "x.npy", mmap_mode="r")
    np.testing.assert_array_equal(mapped, [source[row]["x"] for row in range(10)])
    same(batches(bs.open(tmp_path / "packed")), batches(source))


def test_one_image_of_another_shape_makes_rows_of_varying_shape(tmp_path):
    for i in range(200):
        write_jpeg(tmp_path / "data" / f"{i}.jpg", noise(20, 30 if i != 101 else 31, seed=i))
    bs.pack(bs.open(tmp_path / "data"), tmp_path / "packed", kind="pixels", memory="64 MiB")
    packed = bs.open(tmp_path / "packed")
    assert isinstance(packed.spec["x"], bs.Encoded)
    assert packed[101]["x"].shape == (20, 31, 3)


def test_sixteen_bit_gray_keeps_its_values(tmp_path):
    (tmp_path / "data").mkdir()
    values = [np.random.default_rng(i).integers(0, 65_536, (9 + i, 12), np.uint16) for i in range(8)]
    for i, each in enumerate(values):
        Image.fromarray(each).save(tmp_path / "data" / f"{i}.png")
    bs.pack(bs.open(tmp_path / "data", mode="I;16"), tmp_path / "packed", kind="pixels", memory="64 MiB")
    packed = bs.open(tmp_path / "packed")
    for i, each in enumerate(values):
        np.testing.assert_array_equal(packed[i]["x"][..., 0], each)
    check_source(packed)


def test_max_side_reduces_large_images_and_leaves_small_ones(turned, tmp_path):
    source = bs.open(turned)
    report = bs.pack(source, tmp_path / "packed", max_side=48, memory="64 MiB")
    packed = bs.open(tmp_path / "packed")
    assert report.kind == "pixels"
    assert any("48 pixels" in note for note in report.notes)
    for row in range(len(source)):
        before, after = source[row]["x"], packed[row]["x"]
        height, width = before.shape[:2]
        if max(height, width) <= 48:
            np.testing.assert_array_equal(after, before)
            continue
        assert max(after.shape[:2]) == 48
        size = (after.shape[1], after.shape[0])
        expected = np.asarray(Image.fromarray(before).resize(size, Image.Resampling.BILINEAR))
        assert np.abs(after.astype(int) - expected).max() <= 1


def masked(folder, sizes):
    for i, (height, width) in enumerate(sizes):
        write_jpeg(folder / "images" / f"{i}.jpg", noise(height, width, seed=i))
        (folder / "masks").mkdir(exist_ok=True)
        Image.fromarray(np.random.default_rng(i).integers(0, 5, (height, width), np.uint8)).save(
            folder / "masks" / f"{i}.png"
        )
    return bs.open(folder)


@pytest.mark.parametrize(
    "settings", [{"kind": "pixels"}, {"kind": "bytes"}, {"max_side": 30}, {"transforms": [bs.Resize(20)]}], ids=str
)
def test_masks_stay_with_their_images(tmp_path, settings):
    source = masked(tmp_path / "data", [(40, 50), (32, 70), (20, 21), (64, 64)] * 3)
    bs.pack(source, tmp_path / "packed", memory="64 MiB", **settings)
    packed = bs.open(tmp_path / "packed")
    check_source(packed)
    for row in range(len(source)):
        before, after = source[row], packed[row]
        assert after["x"].shape[:2] == after["y"].shape[:2]
        assert set(np.unique(after["y"])) <= set(range(5))
        if "kind" in settings:
            np.testing.assert_array_equal(np.squeeze(after["y"]), np.squeeze(before["y"]))
    if "transforms" in settings:
        same(batches(packed), batches(source, **settings))


def test_images_of_one_size_and_their_masks_are_arrays_of_one_shape(tmp_path):
    source = masked(tmp_path / "data", [(20, 30)] * 9)
    bs.pack(source, tmp_path / "packed", kind="pixels", memory="64 MiB")
    packed = bs.open(tmp_path / "packed")
    assert packed.spec["x"] == bs.Field((20, 30, 3), np.uint8)
    assert packed.spec["y"] == bs.Field((20, 30), np.uint8, mask=True)
    transforms = [bs.RandomResizedCrop(16), bs.Flip()]
    same(batches(packed, transforms=transforms), batches(source, transforms=transforms, fast_decode=False))


def test_a_mask_of_another_size_than_its_image_is_a_bad_row(tmp_path):
    source = masked(tmp_path / "data", [(40, 50), (32, 70), (20, 21), (64, 64)])
    Image.new("L", (9, 9)).save(tmp_path / "data" / "masks" / "2.png")
    with pytest.raises(bs.BadFile, match=r"2\.jpg.*9 x 9"):
        bs.pack(source, tmp_path / "packed", kind="pixels", memory="64 MiB")


def test_jpeg_encodes_again_only_what_is_too_large(turned, tmp_path):
    source = bs.open(turned)
    report = bs.pack(source, tmp_path / "packed", kind="jpeg", max_side=48, memory="64 MiB")
    packed = bs.open(tmp_path / "packed")
    assert report.kind == "jpeg"
    stored = read_rows(packed, range(len(packed)))["x"]
    for row, data in enumerate(stored):
        image, before = Image.open(io.BytesIO(data)), source[row]["x"]
        assert image.format == "JPEG"
        if max(before.shape[:2]) <= 48 and source.path(row).endswith(b".jpg"):
            assert data == Path(os.fsdecode(source.path(row))).read_bytes()
        else:
            assert max(image.size) == min(48, max(before.shape[:2]))
            assert packed[row]["x"].shape[0] == image.size[1]


def test_splits_are_packed_together_and_opened_by_name(photos, tmp_path):
    train, val = bs.open(photos).split(0.75)
    report = bs.pack({"train": train, "val": val}, tmp_path / "packed", memory="64 MiB")
    assert report.rows == {"train": 30, "val": 10}
    with pytest.raises(bs.BadSetting, match="train, val"):
        bs.open(tmp_path / "packed")
    for name, part in (("train", train), ("validation", val)):
        packed = bs.open(tmp_path / "packed", split=name)
        assert packed.classes == part.classes
        np.testing.assert_array_equal(packed.labels, part.labels)


def test_fields_labels_and_weights_are_chosen_when_a_store_is_opened(tmp_path):
    data = {"x": np.arange(20.0).reshape(10, 2), "z": np.arange(10) % 3, "y": ["a", "b"] * 5, "weight": np.arange(10.0)}
    source = bs.open(data)
    bs.pack(source, tmp_path / "packed", memory="64 MiB")
    packed = bs.open(tmp_path / "packed")
    assert packed.weight_name == source.weight_name == "weight"
    assert packed.classes == ("a", "b")
    assert bs.open(tmp_path / "packed", weights="").weight_name is None
    assert bs.open(tmp_path / "packed", labels=False).label_name is None
    assert bs.open(tmp_path / "packed", labels="z").labels.tolist() == data["z"].tolist()
    assert bs.open(tmp_path / "packed", labels=np.arange(10) % 2).labels.tolist() == (np.arange(10) % 2).tolist()
    renamed = bs.open(tmp_path / "packed", fields={"image": "x", "class": "y"})
    assert list(renamed.spec) == ["image", "class"]
    assert (renamed.primary, renamed.label_name, renamed.classes) == ("image", "class", ("a", "b"))
    with pytest.raises(bs.BadSetting, match="has no 'q'"):
        bs.open(tmp_path / "packed", fields=["q"])
    with pytest.raises(bs.BadSetting, match="no splits"):
        bs.open(tmp_path / "packed", split="train")


def test_the_color_mode_of_files_can_still_be_chosen_but_not_that_of_pixels(photos, tmp_path):
    bs.pack(bs.open(photos), tmp_path / "bytes", kind="bytes", memory="64 MiB")
    bs.pack(bs.open(photos), tmp_path / "pixels", kind="pixels", memory="64 MiB")
    assert bs.open(tmp_path / "bytes", mode="L")[0]["x"].shape[2] == 1
    with pytest.raises(bs.BadSetting, match="mode"):
        bs.open(tmp_path / "pixels", mode="L")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"transforms": [bs.RandomResizedCrop(24)]}, "RandomResizedCrop.* is random"),
        ({"transforms": [bs.Resize(24), bs.Flip()]}, "Flip.* is random"),
        ({"transforms": [bs.Map(np.sqrt)]}, "Map cannot be packed"),
        ({"transforms": [bs.Resize(24)], "kind": "bytes"}, "pixels"),
        ({"transforms": [bs.Resize(24)], "max_side": 24}, "choose one"),
        ({"max_side": 24, "kind": "bytes"}, "max_side"),
        ({"max_side": 0}, "max_side"),
        ({"quality": 50}, "quality"),
        ({"kind": "jpeg", "quality": 0}, "quality"),
        ({"kind": "png"}, "kind"),
        ({"on_error": "ignore"}, "on_error"),
        ({"max_bad": 2}, "max_bad"),
        ({"shard_size": "many"}, "size"),
        ({"threads": 0}, "threads"),
        ({"transforms": "Resize"}, "list"),
    ],
    ids=str,
)
def test_settings_that_make_no_sense_are_refused_before_anything_is_written(photos, tmp_path, settings, message):
    with pytest.raises(bs.BadSetting, match=message):
        bs.pack(bs.open(photos), tmp_path / "packed", **settings)
    assert not (tmp_path / "packed").exists()


def test_settings_that_do_not_fit_the_data_are_refused(tmp_path):
    arrays = bs.open(np.zeros((4, 3)))
    for settings in ({"kind": "jpeg"}, {"max_side": 10}):
        with pytest.raises(bs.BadSetting):
            bs.pack(arrays, tmp_path / "packed", **settings)
    with pytest.raises(bs.BadSetting, match="Source"):
        bs.pack(np.zeros(3), tmp_path / "packed")
    with pytest.raises(bs.BadSetting, match="name of a split"):
        bs.pack({"../x": arrays}, tmp_path / "packed")


def test_a_folder_with_other_things_is_refused(photos, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(bs.BadSetting, match="not empty"):
        bs.pack(bs.open(photos), tmp_path)
    assert os.listdir(tmp_path) == ["notes.txt"]


def test_a_store_within_its_data_is_not_read_as_data(tmp_path):
    for i in range(8):
        write_jpeg(tmp_path / "data" / "ab"[i % 2] / f"{i}.jpg", noise(20, 30, seed=i))
    source = bs.open(tmp_path / "data")
    bs.pack(source, tmp_path / "data" / "packed", memory="64 MiB")
    again = bs.open(tmp_path / "data")
    assert again.fingerprint() == source.fingerprint()
    assert again.left_out == {"folders of packed stores": 1}


def test_auto_says_why(tmp_path):
    small, large = tmp_path / "small", tmp_path / "large"
    for i in range(8):
        write_jpeg(small / f"{i}.jpg", noise(40, 50, seed=i))
        write_jpeg(large / f"{i}.jpg", noise(900, 1000, seed=i))
    report = bs.pack(bs.open(small), tmp_path / "a", memory="64 MiB")
    assert report.kind == "pixels"
    assert any(note.startswith("kind: pixels") and "kind=" in note for note in report.notes)
    report = bs.pack(bs.open(large), tmp_path / "b", memory="64 MiB")
    assert report.kind == "bytes"
    assert any(note.startswith("kind: bytes") and "kind=" in note for note in report.notes)


def test_rows_that_need_more_than_a_thread_has_are_packed_alone(tmp_path):
    sizes = [(20, 30)] * 200
    sizes[150] = (1200, 1500)
    for i, (height, width) in enumerate(sizes):
        write_jpeg(tmp_path / "data" / f"{i:03}.jpg", noise(height, width, seed=i))
    with open(tmp_path / "data" / "150.jpg", "ab") as file:
        file.write(bytes(9 << 20))
    source = bs.open(tmp_path / "data")
    for kind in ("bytes", "pixels"):
        budget = bs.Budget("64 MiB")
        bs.pack(source, tmp_path / kind, kind=kind, memory=budget)
        assert budget.granted == 0
        assert budget.peak <= 64 << 20
        packed = bs.open(tmp_path / kind)
        np.testing.assert_array_equal(packed[150]["x"], source[150]["x"])
        np.testing.assert_array_equal(packed[151]["x"], source[151]["x"])


def test_a_row_that_does_not_fit_the_budget_names_what_would(tmp_path):
    write_jpeg(tmp_path / "data" / "0.jpg", noise(3000, 3000))
    with pytest.raises(bs.DoesNotFit, match="Raise memory"):
        bs.pack(bs.open(tmp_path / "data"), tmp_path / "packed", kind="pixels", memory="8 MiB")


def test_bad_rows_end_the_packing_or_are_skipped_and_recorded(tmp_path):
    for i in range(20):
        write_jpeg(tmp_path / "data" / "ab"[i % 2] / f"{i}.jpg", noise(30, 40, seed=i))
    (tmp_path / "data" / "a" / "4.jpg").write_bytes(b"no image")
    source = bs.open(tmp_path / "data")
    for kind in ("pixels", "jpeg"):
        with pytest.raises(bs.BadFile, match=r"4\.jpg"):
            bs.pack(
                source,
                tmp_path / kind,
                kind=kind,
                memory="64 MiB",
                quality=None,
                **({"max_side": 30} if kind == "jpeg" else {}),
            )
    report = bs.pack(source, tmp_path / "skipped", kind="pixels", on_error="skip", memory="64 MiB")
    assert [row.row for row in report.skipped[""]] == [2]
    assert "4.jpg" in report.skipped[""][0].reason
    assert any("1 row could not be read" in note for note in report.notes)
    packed = bs.open(tmp_path / "skipped")
    assert len(packed) == 19
    assert "could not be packed" in str(packed.explain())
    kept = [row for row in range(20) if row != 2]
    np.testing.assert_array_equal(packed.labels, source.labels[kept])
    np.testing.assert_array_equal(packed[5]["x"], source[6]["x"])
    for name in ("6", "8"):
        (tmp_path / "data" / "a" / f"{name}.jpg").write_bytes(b"no image")
    with pytest.raises(bs.TooManyBadRows):
        bs.pack(source, tmp_path / "many", kind="pixels", on_error="skip", memory="64 MiB")


def test_it_says_what_a_store_does_not_know(photos, tmp_path):
    source = bs.open(photos)
    report = bs.pack(bs.mix([source, source], [0.5, 0.5]), tmp_path / "mixed", kind="bytes", memory="64 MiB")
    assert any("bs.mix" in note for note in report.notes)
    report = bs.pack(source.one_hot(), tmp_path / "hot", kind="bytes", memory="64 MiB")
    assert any("one_hot" in note for note in report.notes)
    assert bs.open(tmp_path / "hot").spec["y"].shape == (2,)


def test_progress_counts_every_row_once(photos, tmp_path):
    seen = []
    bs.pack(bs.open(photos), tmp_path / "packed", memory="64 MiB", shard_size="20 KiB", progress=lambda *at: seen.append(at))
    assert seen[-1] == (40, 40)
    assert seen == sorted(set(seen))


def test_the_manifest_names_everything(photos, tmp_path):
    bs.pack(bs.open(photos), tmp_path / "packed", transforms=[bs.Resize(16)], memory="64 MiB", verify=True)
    manifest = read_manifest(tmp_path / "packed")
    part = manifest.parts[""]
    assert manifest.made_by["kind"] == "pixels"
    assert manifest.made_by["transforms"] == [bs.Resize(16).to_dict()]
    assert manifest.made_by["bitesize"] == bs.__version__
    assert part.made_from["fingerprint"] == bs.open(photos).fingerprint()
    assert part.made_from["rounded"] == "uint8"
    assert {file.name for file in (tmp_path / "packed").iterdir()} == {"manifest.json", "00000"}
