"""Transforms are printed as they are written, and saved to JSON."""

import json

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
    "Colour((0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0, 11.0))",
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


def test_a_function_cannot_be_saved_and_says_so():
    with pytest.raises(bs.BadSetting, match="cannot be saved"):
        bs.Map(len).to_dict()


@pytest.mark.parametrize("settings", [{"name": "Sharpen"}, {"name": "Flip", "diagonal": 1}, {}])
def test_what_is_no_transform_is_refused(settings):
    with pytest.raises(bs.BadSetting):
        from_dict(settings)
