"""Stores that earlier versions packed are opened, row for row. The files in ``v1-store`` are never recorded again."""

from __future__ import annotations

import numpy as np
import pytest

import bitesize as bs
from bitesize.packing.verify import damaged_shards
from tests.golden.store import ROWS, STORES, arrays, images


@pytest.mark.parametrize("name", ["bytes", "pixels", "splits", "resized"])
def test_every_checksum_agrees(name):
    assert damaged_shards(STORES / name) == []


@pytest.mark.parametrize("kind", ["bytes", "pixels"])
def test_images_of_varying_size(tmp_path, kind):
    packed, made = bs.open(STORES / kind), bs.open(images(tmp_path))
    assert packed.classes == ("a", "b")
    assert packed.labels.tolist() == made.labels.tolist()
    for row in range(ROWS):
        np.testing.assert_array_equal(packed[row]["x"], made[row]["x"])


def test_images_of_one_size(tmp_path):
    packed, made = bs.open(STORES / "resized"), bs.open(images(tmp_path))
    with bs.Loader(
        made, batch_size=ROWS, memory="64 MiB", shuffle=False, transforms=[bs.Resize((2, 3), interpolation="nearest")]
    ) as loader:
        expected = next(iter(loader))["x"].copy()
    np.testing.assert_array_equal([packed[row]["x"] for row in range(ROWS)], expected)
    np.testing.assert_array_equal(np.load(STORES / "resized" / "00000" / "x.npy"), expected)


def test_arrays_of_splits():
    made = bs.open(arrays())
    for split, rows in (("train", [0, 1, 2]), ("val", [3, 4])):
        packed = bs.open(STORES / "splits", split=split)
        assert packed.classes == ("a", "b")
        assert packed.weight_name == "weight"
        for i, row in enumerate(rows):
            for name in ("x", "Size (mm)", "y", "weight"):
                np.testing.assert_array_equal(packed[i][name], made[row][name])
