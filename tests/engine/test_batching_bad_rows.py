"""Rows that cannot be read: named, replaced or masked, never silent."""

import os

import numpy as np
import pytest
from tests.conftest import noise, write_jpeg

import bitesize as bs


@pytest.fixture
def mixed(tmp_path):
    """Sixty images, of which 17 is a text file and 31 is cut off."""
    for i in range(60):
        write_jpeg(tmp_path / f"{i}.jpg", noise(30, 30, seed=i))
    (tmp_path / "17.jpg").write_text("I am no image")
    cut = (tmp_path / "31.jpg").read_bytes()
    (tmp_path / "31.jpg").write_bytes(cut[: len(cut) // 2])
    return tmp_path


OPTIONS = {"batch_size": 8, "transforms": [bs.Resize(16)], "memory": "32 MiB"}


@pytest.mark.parametrize("shuffle", [True, False])
def test_a_bad_row_is_an_error_that_names_file_row_and_epoch(mixed, shuffle):
    with bs.Loader(bs.open(mixed), shuffle=shuffle, **OPTIONS) as loader:
        with pytest.raises(bs.BadFile, match=r"(17\.jpg: not an image|31\.jpg: damaged JPEG).*\(row (17|31), epoch 0\)"):
            for _ in loader:
                pass
        with pytest.raises(bs.BadFile):  # and the loader can be used again
            for _ in loader:
                pass


def test_when_shuffling_other_rows_take_the_places_of_bad_ones(mixed):
    rows = []
    for threads in (1, 4):
        with bs.Loader(bs.open(mixed), on_error="skip", max_bad=0.1, threads=threads, **OPTIONS) as loader:
            rows.append([(batch.rows.tolist(), batch["x"].sum()) for batch in loader])
            assert [(bad.row, os.path.basename(bad.path)) for bad in loader.bad] == [(17, "17.jpg"), (31, "31.jpg")]
            assert "not an image" in loader.bad[0].reason
    assert rows[0] == rows[1]
    seen = sum((batch for batch, _ in rows[0]), [])
    assert len(seen) == 60
    assert not {17, 31} & set(seen)


def test_when_not_shuffling_bad_rows_keep_their_places_and_are_masked(mixed):
    with bs.Loader(bs.open(mixed), on_error="skip", max_bad=0.1, shuffle=False, **OPTIONS) as loader:
        mask, first = [], []
        for batch in loader:
            mask += batch.mask.tolist()
            first += batch["x"].reshape(len(batch.rows), -1).any(axis=1).tolist()
    assert [i for i, good in enumerate(mask) if not good] == [17, 31]
    assert mask == first  # nothing of an earlier image is left in their places


def test_more_bad_rows_than_allowed_end_the_epoch(mixed):
    with (
        bs.Loader(bs.open(mixed), on_error="skip", max_bad=0.01, **OPTIONS) as loader,
        pytest.raises(bs.TooManyBadRows, match="2 of 60"),
    ):
        for _ in loader:
            pass


def test_one_bad_row_is_always_allowed(mixed):
    (mixed / "31.jpg").unlink()
    with bs.Loader(bs.open(mixed), on_error="skip", max_bad=0, **OPTIONS) as loader:
        assert sum(len(batch.rows) for batch in loader) == 59


def test_a_file_that_vanishes_is_named(mixed):
    source = bs.open(mixed)
    (mixed / "3.jpg").unlink()
    with (
        bs.Loader(source, shuffle=False, **OPTIONS) as loader,
        pytest.raises(bs.FileChanged, match=r"3\.jpg no longer exists"),
    ):
        next(iter(loader))


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="the superuser may read everything")
def test_a_file_that_may_not_be_read_is_named(mixed):
    (mixed / "3.jpg").chmod(0)
    with bs.Loader(bs.open(mixed), shuffle=False, **OPTIONS) as loader, pytest.raises(bs.NoPermission, match=r"3\.jpg"):
        next(iter(loader))


def test_a_failed_row_leaves_no_pixels_of_an_earlier_image(tmp_path):
    for i in range(12):
        write_jpeg(tmp_path / f"{i}.jpg", np.full((64, 64, 3), 255, np.uint8))
        if i % 3 == 2:
            data = (tmp_path / f"{i}.jpg").read_bytes()
            (tmp_path / f"{i}.jpg").write_bytes(data[: len(data) - 40])
    with bs.Loader(
        bs.open(tmp_path),
        batch_size=3,
        transforms=[bs.Resize(16)],
        memory="32 MiB",
        shuffle=False,
        on_error="skip",
        max_bad=1,
    ) as loader:
        for batch in loader:
            assert batch.mask.tolist() == [True, True, False]
            assert batch["x"][:2].min() > 250
            assert not batch["x"][2].any()


def test_images_of_different_sizes_without_a_resize_are_an_error_that_says_so(photos):
    with (
        bs.Loader(bs.open(photos), batch_size=4, memory="32 MiB") as loader,
        pytest.raises(bs.BadFile, match=r"add a transform such as bs\.Resize"),
    ):
        for _ in loader:
            pass


def test_an_npy_file_of_another_shape_is_named_with_both_shapes(tmp_path):
    for i in range(5):
        np.save(tmp_path / f"{i}.npy", np.zeros((3, 4) if i != 3 else (4, 3)))
    with bs.Loader(bs.open(tmp_path), batch_size=2, memory="32 MiB", shuffle=False) as loader:
        iterator = iter(loader)
        next(iterator)
        with pytest.raises(bs.BadFile, match=r"3\.npy is \(4, 3\) float64, but .*0\.npy is \(3, 4\) float64.*row 3"):
            next(iterator)


def test_when_shuffling_a_row_without_a_good_replacement_is_masked(tmp_path):
    for i in range(20):
        write_jpeg(tmp_path / "good" / f"{i}.jpg", noise(30, 30, seed=i))
    (tmp_path / "bad").mkdir()
    for i in range(5):
        (tmp_path / "bad" / f"{i}.jpg").write_text("I am no image")
    both = bs.mix([bs.open(tmp_path / "good"), bs.open(tmp_path / "bad")], [0.8, 0.2])
    with bs.Loader(both, on_error="skip", max_bad=1.0, **OPTIONS) as loader:
        assert loader.masks
        for batch in loader:
            assert (batch["x"].reshape(len(batch.mask), -1).any(axis=1) == batch.mask).all()
