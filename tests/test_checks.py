"""Checks of settings, and texts of messages, that several parts share."""

import json

import numpy as np
import pytest

import bitesize as bs
from bitesize.checks import is_whole
from bitesize.errors import first_few, one_line


@pytest.mark.parametrize("value", [0, 7, -1, np.int64(7), np.uint8(0), 10**30])
def test_whole_numbers_of_python_and_numpy(value):
    assert is_whole(value)


@pytest.mark.parametrize("value", [True, np.True_, 1.0, np.float64(1), "1", None, [1], np.array([1])])
def test_other_values_are_no_whole_numbers(value):
    assert not is_whole(value)


def test_limits_are_included():
    assert [n for n in range(6) if is_whole(n, 2, 4)] == [2, 3, 4]
    assert is_whole(np.uint8(255), most=255)
    assert not is_whole(np.uint8(255), least=256)


def test_settings_of_transforms_may_be_numbers_of_numpy_and_are_saved_as_json():
    one = np.int64(1)
    steps = [
        bs.RandomCrop(4, padding=one),
        bs.Rotate90(quarters=(one, np.uint8(2))),
        bs.Rotate(10, mask_fill=np.uint8(255)),
    ]
    for step, plain in zip(
        steps, [bs.RandomCrop(4, padding=1), bs.Rotate90(quarters=(1, 2)), bs.Rotate(10, mask_fill=255)], strict=True
    ):
        assert json.loads(json.dumps(step.to_dict())) == json.loads(json.dumps(plain.to_dict()))


def test_other_settings_may_be_numbers_of_numpy():
    data = bs.open(np.zeros((8, 2)))
    with bs.Loader(data, batch_size=np.int32(4), threads=np.int64(1), memory="1 MiB") as loader:
        loader.set_epoch(np.uint8(2))
        assert sum(1 for _ in loader) == 2


def test_an_error_in_one_line():
    assert one_line(ValueError("a\n  b\tc")) == "a b c"
    assert one_line("x" * 500) == "x" * 200
    assert one_line("x" * 500, 3) == "xxx"


def test_the_first_few_of_a_list():
    assert first_few([], 2) == ""
    assert first_few(np.arange(2), 2) == "0, 1"
    assert first_few(("a", "b", "c"), 2, repr) == "'a', 'b', ..."
