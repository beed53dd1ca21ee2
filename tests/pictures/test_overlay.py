"""Masks over pictures."""

import numpy as np
from PIL import Image
from tests.cli.running import run

from bitesize.pictures.overlay import blended


def test_each_class_but_0_has_a_color_of_its_own():
    picture = np.full((2, 2, 3), 100, np.uint8)
    colored = blended(picture, np.array([[0, 1], [2, 255]], np.uint8)).reshape(-1, 3)
    assert colored[0].tolist() == [100, 100, 100]
    assert len(np.unique(colored, axis=0)) == 4


def test_pixels_without_a_class_have_no_color_of_a_class():
    colored = blended(np.full((16, 16, 3), 100, np.uint8), np.arange(256).reshape(16, 16)).reshape(-1, 3)
    assert colored[255].tolist() not in colored[:255].tolist()


def test_inspect_shows_masks_over_images(tmp_path):
    for kind, pixels in (("images", np.full((16, 16, 3), 100, np.uint8)), ("masks", np.eye(16, dtype=np.uint8))):
        (tmp_path / kind).mkdir()
        for i in range(2):
            Image.fromarray(pixels).save(tmp_path / kind / f"{i}.png")
    run("inspect", tmp_path, "--out", tmp_path / "grid.png", "--rows", 1, "--draws", 1)
    colors = {color for _, color in Image.open(tmp_path / "grid.png").convert("RGB").getcolors(100_000)}
    assert (100, 100, 100) in colors
    assert tuple(blended(np.full((1, 1, 3), 100, np.uint8), np.ones((1, 1), np.uint8))[0, 0].tolist()) in colors
