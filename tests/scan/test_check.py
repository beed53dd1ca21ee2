"""`check` finds what may spoil a training, and nothing in data that is as it should be."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.conftest import noise, write_jpeg

import bitesize as bs


@pytest.fixture
def folder(tmp_path):
    """Forty good photographs of two classes."""
    for i in range(40):
        write_jpeg(tmp_path / "photos" / "ab"[i % 2] / f"{i}.jpg", noise(40, 50, seed=i))
    return tmp_path / "photos"


def _check(what, **options):
    found = bs.check(bs.open(what) if not isinstance(what, dict) else what, memory="48 MiB", **options)
    return found, {Path(place.path).name: place.reason for place in found.suspicious}


def test_good_data_is_well(folder):
    found, _ = _check(folder)
    assert found.well
    assert found.rows == {"data": 40}
    assert found.classes == {"data": {"a": 20, "b": 20}}


def test_every_bad_file_is_named_with_its_reason(folder):
    (folder / "a" / "text.jpg").write_text("I am no image")
    (folder / "a" / "empty.jpg").write_bytes(b"")
    whole = (folder / "b" / "1.jpg").read_bytes()
    (folder / "b" / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    found, _ = _check(folder)
    assert {Path(place.path).name for place in found.bad} == {"text.jpg", "empty.jpg", "cut.jpg"}
    assert found.damaged == found.bad
    assert not found.well
    assert found.rows == {"data": 43}


def test_a_file_that_is_gone_is_bad_and_not_damaged(folder):
    source = bs.open(folder)
    (folder / "a" / "0.jpg").unlink()
    found = bs.check(source, memory="48 MiB")
    assert [place.row for place in found.bad] == [0]
    assert not found.damaged


def test_an_image_that_needs_more_memory_than_there_is_is_bad_and_not_damaged(folder):
    Image.fromarray(noise(2000, 3000)).save(folder / "a" / "large.png")
    found = bs.check(bs.open(folder), memory="20 MiB")
    assert [Path(place.path).name for place in found.bad] == ["large.png"]
    assert not found.damaged


def test_files_of_the_same_contents_are_found_also_in_other_classes(folder):
    shutil.copy(folder / "a" / "0.jpg", folder / "a" / "copy.jpg")
    shutil.copy(folder / "a" / "2.jpg", folder / "b" / "copy of 2.jpg")
    found, _ = _check(folder)
    groups = {tuple(Path(place.path).name for place in group): group[0].reason for group in found.duplicates}
    assert groups == {("0.jpg", "copy.jpg"): "", ("2.jpg", "copy of 2.jpg"): "other labels"}
    assert not found.leaks


def test_what_training_and_validation_share_is_a_leak(folder, tmp_path):
    write_jpeg(tmp_path / "val" / "a" / "own.jpg", noise(40, 50, seed=99))
    shutil.copy(folder / "a" / "4.jpg", tmp_path / "val" / "a" / "seen.jpg")
    found, _ = _check({"train": bs.open(folder), "val": bs.open(tmp_path / "val")})
    assert [[(place.part, Path(place.path).name) for place in group] for group in found.leaks] == [
        [("train", "4.jpg"), ("val", "seen.jpg")]
    ]
    assert not found.duplicates


def test_images_worth_a_look(folder):
    Image.new("RGB", (50, 40), "red").save(folder / "a" / "red.png")
    Image.fromarray(noise(3, 400)).save(folder / "a" / "line.png")
    Image.fromarray(noise(900, 1200)).save(folder / "b" / "giant.png")
    Image.fromarray(noise(40, 50)).save(folder / "b" / "other.gif")
    (folder / "b" / "other.gif").rename(folder / "b" / "other.jpg")
    found, reasons = _check(folder)
    assert "one color" in reasons.pop("red.png")
    assert "400 x 3 pixels, an extreme shape" in reasons.pop("line.png")
    assert "1200 x 900" in reasons.pop("giant.png")
    assert "image format differs from its file name" in reasons.pop("other.jpg")
    assert not reasons
    assert not found.bad


@pytest.mark.parametrize("kind", ["array", "files"])
def test_values_that_are_no_numbers_and_rows_of_one_value(tmp_path, kind):
    x = np.random.default_rng(0).random((30, 6, 5)).astype(np.float32)
    x[3, 2, 2], x[7] = np.inf, 0.25
    x[9] = x[8]
    if kind == "files":
        for i, row in enumerate(x):
            np.save(tmp_path / f"{i:02}.npy", row)
        source = bs.open(tmp_path)
    else:
        source = bs.open(x)
    found = bs.check(source, memory="16 MiB")
    assert {place.row: place.reason for place in found.suspicious} == {
        3: "x has NaN or infinite values",
        7: "all values are the same",
    }
    assert [[place.row for place in group] for group in found.duplicates] == [[8, 9]]


def test_targets_that_are_no_numbers(tmp_path):
    np.savez(tmp_path / "a.npz", x=np.random.default_rng(0).random((5, 3)), y=np.array([0.5, 1, np.nan, 2, 3]))
    found = bs.check(bs.open(tmp_path / "a.npz"), memory="16 MiB")
    assert [(place.row, place.reason) for place in found.suspicious] == [(2, "y has NaN or infinite values")]


def test_classes_of_very_different_sizes_are_told_and_no_fault():
    found = bs.check(bs.open(np.random.default_rng(0).random((210, 3)), ["much"] * 200 + ["few"] * 10), memory="16 MiB")
    assert "much has 20 times the rows of few: 200 and 10" in found.unbalanced[0]
    assert found.well


def test_rows_of_chunked_files_are_compared_like_any(tmp_path):
    h5py = pytest.importorskip("h5py")
    x = np.random.default_rng(0).integers(0, 256, (100, 8, 8, 3), np.uint8)
    x[70], x[5] = x[20], 9
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("x", data=x, chunks=(16, 8, 8, 3), compression="gzip")
        file["y"] = np.zeros(100, np.int64)
    found = bs.check(bs.open(tmp_path / "a.h5"), memory="16 MiB")
    assert [[place.row for place in group] for group in found.duplicates] == [[20, 70]]
    assert [place.row for place in found.suspicious] == [5]


def test_what_is_noted_of_each_row_is_charged(folder):
    budget = bs.Budget("48 MiB")
    bs.check(bs.open(folder), budget)
    assert budget.in_use == 0
    with pytest.raises(bs.DoesNotFit, match="facts about each row"):
        bs.check(bs.open(np.zeros(1_000_000)), "1 MiB")


def test_threads_make_no_difference(folder):
    (folder / "a" / "text.jpg").write_text("I am no image")
    shutil.copy(folder / "a" / "0.jpg", folder / "a" / "copy.jpg")
    assert _check(folder, threads=1) == _check(folder, threads=5)
