"""A lazy array as the output of a cell."""

import numpy as np
from tests.html.reading import page_of

import bitesize as bs


def test_its_shape_its_bytes_and_its_parts_are_shown_without_reading(tmp_path):
    for name in ("a", "b"):
        np.save(tmp_path / f"{name}.npy", np.zeros((4, 256)))
    parts = [*(np.load(tmp_path / f"{name}.npy", mmap_mode="r") for name in "ab"), np.ones((2, 256))]
    lazy = bs.concatenate(parts) / 2
    del parts
    for name in ("a", "b"):
        (tmp_path / f"{name}.npy").unlink()  # any read would fail
    page = page_of(lazy)
    assert {"(10, 256)", "float64", "20 KiB", "2.0 KiB", "2 arrays on disk, 1 array in memory"} <= set(page.cells)
    assert page_of(bs.concatenate([np.zeros(0)])).cells[1] == "(0,)"
