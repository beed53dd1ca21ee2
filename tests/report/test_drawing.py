"""Pictures of rows for pages: small whatever the size of the rows, and within the budget."""

import tracemalloc

import numpy as np
import pytest
from PIL import Image

import bitesize as bs
from bitesize.errors import DoesNotFit
from bitesize.report.drawing import data_uri, draw_rows, draw_stored


def test_drawing_holds_one_row_at_a_time(tmp_path):
    for i in range(6):
        np.save(tmp_path / f"{i}.npy", np.full((3000, 2000, 3), i, np.uint8))  # 18 MB
    source = bs.open(tmp_path, labels=False)
    tracemalloc.start()
    pictures, problems = draw_stored(source, 100, memory="96MiB")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert not problems
    assert [picture[0, 0, 0] for picture in pictures] == list(range(6))
    assert max(picture.size for picture in pictures) < 3 * (8 * 100) ** 2
    assert peak < 96 << 20
    with pytest.raises(DoesNotFit):
        draw_stored(source, 100, memory="8MiB")


def test_masks_are_over_their_pixels():
    images, masks = np.zeros((1, 8, 8, 3), np.uint8), np.zeros((1, 8, 8), np.uint8)
    masks[0, :4] = 1
    source = bs.open(images, masks)
    drawn = draw_rows(source, [], 100)[0][0]
    assert drawn[:4].any(axis=-1).all()
    assert not drawn[4:].any()
    assert not draw_rows(source, [], 100, masks=False)[0][0].any()


def test_a_tiny_picture_is_enlarged_and_a_large_one_is_reduced():
    assert data_uri(np.zeros((2, 4, 3), np.uint8), 100).startswith("data:image/jpeg;base64,")
    assert len(data_uri(np.zeros((2000, 2000, 3), np.uint8), 100)) < 2000


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_images_of_files_have_their_own_shape_and_range(tmp_path, dtype):
    values = np.linspace(40, 240, 20 * 60).reshape(20, 60).astype(dtype) * dtype(1 if dtype == np.uint8 else 200)
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        Image.fromarray(values if folder == "a" else values.T.copy()).save(tmp_path / folder / "x.png")
    (wide, tall), problems = draw_stored(bs.open(tmp_path, mode="unchanged"), 120)
    assert not problems
    assert wide.shape == (40, 120, 3)
    assert tall.shape == (120, 40, 3)
    low, high = (40, 240) if dtype == np.uint8 else (0, 255)
    assert abs(int(wide.min()) - low) <= 2
    assert abs(int(wide.max()) - high) <= 2
