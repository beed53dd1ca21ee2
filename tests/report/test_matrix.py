"""Confusion matrices of few and many classes."""

import base64
import io
import tracemalloc

import numpy as np
import pytest
from PIL import Image

from bitesize.report.matrix import MOST_CELLS, confusion_of


def test_cells_have_their_counts_and_the_share_of_the_true_class():
    found = confusion_of(["a", "b"], [[0, 0, 3], [0, 1, 1], [1, 1, 2]])
    assert [[cell.count for cell in line] for line in found.cells] == [[3, 1], [0, 2]]
    assert found.cells[1][0].heat == 0 < found.cells[0][1].heat < found.cells[0][0].heat < found.cells[1][1].heat
    assert found.frequent == [("a", "b", 1, 0.25)]


@pytest.mark.parametrize("classes", [MOST_CELLS + 1, 1000])
def test_many_classes_are_a_small_picture_with_one_pixel_per_pair(classes):
    random = np.random.default_rng(0)
    pairs = [[i, i, 10] for i in range(classes)] + [
        [int(i), int(i + 1) % classes, 3] for i in random.choice(classes, 15, replace=False)
    ]
    found = confusion_of([f"class {i}" for i in range(classes)], pairs)
    assert found.cells == []
    assert len(found.picture) < 100_000
    image = np.asarray(Image.open(io.BytesIO(base64.b64decode(found.picture.partition(",")[2]))).convert("RGBA"))
    assert image.shape == (classes, classes, 4)
    assert {(i, j) for i, j in np.argwhere(image[..., 3])} == {(i, j) for i, j, _ in pairs}
    assert image[0, 0, 3] in (255, round(255 * (10 / 13) ** 0.5))
    assert len(found.frequent) == 15


def test_a_picture_of_thousands_of_classes_needs_about_a_byte_per_pair():
    names, pairs = [str(i) for i in range(2000)], [[i, (i * 7 + k) % 2000, 1] for i in range(2000) for k in range(3)]
    confusion_of(names, pairs)
    tracemalloc.start()
    try:
        confusion_of(names, pairs)
        assert tracemalloc.get_traced_memory()[1] < 3 * len(names) ** 2
    finally:
        tracemalloc.stop()
