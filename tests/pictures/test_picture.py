"""`bitesize inspect` shows images and volumes of any type and number of channels."""

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from bitesize.cli.app import app
from bitesize.pictures.picture import as_picture, said_of_pictures, thinned
from bitesize.spec import Field

RANDOM = np.random.default_rng(0)


def inspected(data, out, *options):
    done = CliRunner().invoke(app, ["inspect", str(data), "--out", str(out), "--rows", "2", "--draws", "1", *options])
    return done.exit_code, done.output


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float32"])
@pytest.mark.parametrize(
    ("shape", "options"),
    [
        ((20, 24), []),
        ((20, 24, 2), []),
        ((20, 24, 5), []),
        ((20, 24, 4), []),
        ((6, 20, 24), ["--axes", "DHW"]),
        ((6, 20, 24, 2), []),
    ],
)
def test_rows_of_any_type_are_shown(tmp_path, shape, options, dtype):
    np.save(tmp_path / "x.npy", RANDOM.integers(0, 120, (4, *shape)).astype(dtype))
    code, said = inspected(tmp_path / "x.npy", tmp_path / "out.png", *options)
    assert code == 0, said
    with Image.open(tmp_path / "out.png") as picture:
        assert len(np.unique(np.asarray(picture)[20:160, 10:160])) > 2
    assert ("middle of the depth" in said) == bool(options or len(shape) == 4)


def test_rows_of_features_are_refused(tmp_path):
    np.save(tmp_path / "x.npy", np.zeros((4, 7)))
    assert inspected(tmp_path / "x.npy", tmp_path / "out.png")[0] != 0


def test_the_middle_of_a_volume_is_scaled_from_its_lowest_to_its_highest_value():
    volume = np.full((5, 2, 2), 9000, np.int16)
    volume[2] = [[-100, 0], [100, 155]]
    assert as_picture(volume, "DHW")[..., 1].tolist() == [[0, 100], [200, 255]]


def test_values_that_are_not_finite_do_not_hide_the_others():
    row = np.array([[np.nan, 0.0], [1.0, np.inf]], np.float32)
    assert as_picture(row, "HW")[..., 0].tolist() == [[0, 0], [255, 255]]


def test_what_a_picture_leaves_out_is_said():
    assert said_of_pictures(Field((8, 8, 3), np.uint8)) == []
    assert said_of_pictures(Field((8, 8, 5), np.uint8)) == ["the first 3 of 5 channels are shown as red, green and blue"]
    assert "the first of 2 channels is shown" in said_of_pictures(Field((4, 8, 8, 2), np.uint16))


def test_rows_much_larger_than_a_picture_are_drawn_from_evenly_spaced_pixels():
    row = np.arange(2000 * 1000).reshape(2000, 1000)
    assert thinned(row, 100).tolist() == row[::5, ::5].tolist()
    assert thinned(row, 1000).shape == row.shape
