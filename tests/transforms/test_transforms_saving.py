"""Transforms are printed as they are written, and saved to JSON."""

import json
import subprocess
import sys

import numpy as np
import pytest

import bitesize as bs
from bitesize.transforms.base import from_dict

WRITTEN = [
    "Resize(5)",
    "Resize((3, 4), interpolation='bicubic')",
    "Resize((3, 4), mode='pad', fill=(1.0, 2.0, 3.0))",
    "CenterCrop(5)",
    "RandomCrop((3, 4), padding=2)",
    "RandomResizedCrop(8)",
    "Flip()",
    "Flip(horizontal=0.3)",
    "Rotate90()",
    "Rotate(10)",
    "Rotate((-5, 10), fill=127.5, mask_fill=255)",
    "Shear(10)",
    "Translate(y=0.0)",
    "Zoom(factor=(1.0, 2.0))",
    "Normalize('imagenet')",
    "Normalize((0.1, 0.2, 0.3), std=0.5)",
    "Scale(0.00392156862745098)",
    "CenterCrop((5, 6, 7))",
    "Flip(depth=0.5)",
    "Window(40, 400)",
    "Window((40.0, 50.0), (400.0, 300.0))",
    "Percentiles()",
    "Percentiles(low=2, high=98, per='data')",
    "ColorMatrix((0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0, 11.0))",
    "Brightness()",
    "Contrast(amount=0.4)",
    "Saturation(amount=(0.0, 1.0))",
    "Hue(amount=0.1)",
    "ColorJitter(brightness=0.2, hue=0.1)",
    "Grayscale(p=0.1)",
    "Cutout(p=1.0)",
    "MixUp()",
    "CutMix(alpha=0.5)",
]


@pytest.mark.parametrize("written", WRITTEN)
def test_a_transform_is_printed_as_it_is_written_and_read_back_from_json(written):
    made = eval(written, vars(bs) | {name: getattr(bs, name) for name in bs.__all__})
    assert repr(made) == written
    assert from_dict(json.loads(json.dumps(made.to_dict()))) == made


def test_every_public_transform_is_among_them():
    from bitesize.transforms.base import Step

    public = {name for name in bs.__all__ if isinstance(getattr(bs, name), type) and issubclass(getattr(bs, name), Step)}
    assert public - {"Transform", "Map"} == {written.split("(")[0] for written in WRITTEN}


def test_transforms_are_read_from_json_in_a_process_that_has_imported_none():
    made = [eval(written, vars(bs) | {name: getattr(bs, name) for name in bs.__all__}) for written in WRITTEN]
    program = "import json, sys; from bitesize.transforms.base import from_dict; print(*(from_dict(s) for s in json.load(sys.stdin)), sep='\\n')"
    saved = json.dumps([step.to_dict() for step in made])
    done = subprocess.run([sys.executable, "-c", program], input=saved, capture_output=True, text=True, check=False)
    assert done.stdout.splitlines() == WRITTEN, done.stderr


def test_a_function_cannot_be_saved_and_says_so():
    with pytest.raises(bs.BadSetting, match="cannot be saved"):
        bs.Map(len).to_dict()


@pytest.mark.parametrize("settings", [{"name": "Sharpen"}, {"name": "Flip", "diagonal": 1}, {}])
def test_what_is_no_transform_is_refused(settings):
    with pytest.raises(bs.BadSetting):
        from_dict(settings)


@pytest.mark.parametrize(
    ("given", "plain"),
    [
        (lambda: bs.Rotate(np.int64(10)), bs.Rotate(10)),
        (lambda: bs.Normalize(np.float32(0.5), np.float64(0.25)), bs.Normalize(0.5, 0.25)),
        (
            lambda: bs.Normalize(np.array([0.5, 0.25, 0.5]), np.array([1.0, 2.0, 4.0])),
            bs.Normalize((0.5, 0.25, 0.5), (1, 2, 4)),
        ),
        (lambda: bs.Scale(np.float32(0.5), np.int64(2)), bs.Scale(0.5, 2)),
        (lambda: bs.Rotate90(np.array([1, 2])), bs.Rotate90((1, 2))),
        (lambda: bs.Flip(np.float32(0.5)), bs.Flip(0.5)),
        (lambda: bs.Cutout(p=np.float64(0.5), fill=np.int64(3)), bs.Cutout(p=0.5, fill=3)),
        (lambda: bs.MixUp(np.float32(0.5)), bs.MixUp(0.5)),
        (lambda: bs.Brightness(np.float32(0.5)), bs.Brightness(0.5)),
        (lambda: bs.CenterCrop(np.int64(8), mask_fill=np.int64(3)), bs.CenterCrop(8, mask_fill=3)),
    ],
    ids=range(10),
)
def test_numpys_numbers_are_taken_as_numbers(given, plain):
    step = given()
    assert step == plain
    assert "np." not in repr(step)
    assert from_dict(json.loads(json.dumps(step.to_dict()))) == plain


@pytest.mark.parametrize(
    "make",
    [
        lambda: bs.Normalize(None, 1), lambda: bs.Normalize(0.5, "a"), lambda: bs.Normalize((), ()), lambda: bs.Scale("a"),
        lambda: bs.Scale((1,)), lambda: bs.Scale(10**400), lambda: bs.ColorMatrix(None), lambda: bs.ColorMatrix(("a",) * 12),
        lambda: bs.Resize(8, interpolation=[]), lambda: bs.Rotate(10**400), lambda: bs.Map(len, fields=None),
        lambda: bs.Rotate90(1.0), lambda: bs.CutMix(True), lambda: from_dict({"name": ["a"]}), lambda: from_dict("Flip"),
    ],
    ids=range(15),
)  # fmt: skip
def test_whatever_is_no_number_is_a_bad_setting(make):
    with pytest.raises(bs.BadSetting):
        make()


@pytest.mark.parametrize(
    ("old", "new"), [("draws", "random_count"), ("pictorial", "needs_image"), ("slants", "non_axis_aligned")]
)
def test_a_transform_that_sets_an_attribute_by_its_former_name_is_refused(old, new):
    with pytest.raises(bs.BadSetting, match=f"Darken.{old} is called {new} now"):
        type("Darken", (bs.Transform,), {old: 1})
