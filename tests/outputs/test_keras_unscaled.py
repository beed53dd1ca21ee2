"""A loader of floats of 0 to 255 for Keras, whose scale was forgotten, is said."""

import logging

import numpy as np
import pytest

import bitesize as bs

pytest.importorskip("keras")

BYTES = np.random.default_rng(0).integers(0, 256, (24, 12, 14, 3), np.uint8)
BYTES[0, 0, 0], BYTES[0, 0, 1] = 0, 255


def said(caplog, x, *transforms, **options):
    """Return what is said of a loader's values."""
    settings = {"batch_size": 8, "memory": "32 MiB", "transforms": list(transforms)} | options
    with caplog.at_level(logging.WARNING, "bitesize"), bs.Loader(bs.open(x, np.arange(len(x)) % 2), **settings) as loader:
        free = loader.budget.granted
        bs.to_keras(loader)
        assert loader.budget.granted >= free
    return [record.getMessage() for record in caplog.records if "learn badly" in record.getMessage()]


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8"])
@pytest.mark.parametrize("transforms", [[], [bs.Flip(), bs.Resize(8)], [bs.Brightness()], [bs.MixUp(0.2)]], ids=str)
def test_floats_of_0_to_255_are_said_once_with_the_scale(caplog, dtype, transforms):
    if dtype == "f2":
        transforms = [step for step in transforms if not isinstance(step, bs.Flip | bs.Resize)]
    (message,) = said(caplog, BYTES.astype(dtype), *transforms)
    assert message == (
        f"x has {np.dtype(dtype)} values from 0 to 255; models without a scaling layer learn badly from them: "
        "use transforms=[bs.Scale(1 / 255)] to scale them to 0 to 1"
    )


def test_whole_numbers_that_come_out_as_floats_are_said(caplog):
    assert len(said(caplog, BYTES, dtype="float32")) == 1


@pytest.mark.parametrize(
    ("x", "transforms"),
    [
        (BYTES, []),
        (BYTES / 255, []),
        (BYTES * 200.0, []),
        (BYTES - 128.0, []),
        (BYTES[:, 0, :, 0].astype("f4"), []),
        (np.full((8, 12, 14, 3), np.nan), []),
        (BYTES.astype("f4"), [bs.Scale(1 / 255)]),
        (BYTES.astype("f4"), [bs.Normalize("data")]),
        (BYTES.astype("f4"), [bs.Map(lambda x: x / 255)]),
        (BYTES.astype("f4"), [bs.Map(lambda x: x / 255, batch=True)]),
    ],
)
def test_other_values_and_changed_ones_are_not(caplog, x, transforms):
    assert said(caplog, x, *transforms) == []


def test_loaders_that_do_not_shuffle_validate_or_predict(caplog):
    assert said(caplog, BYTES.astype("f4"), shuffle=False) == []


def test_only_inputs_are_measured(caplog):
    with (
        caplog.at_level(logging.WARNING, "bitesize"),
        bs.Loader(bs.open({"a": np.ones((24, 3)), "x": BYTES.astype("f4")}), batch_size=8, memory="32 MiB") as loader,
    ):
        other = "a" if loader.source.primary == "x" else "x"
        bs.to_keras(loader, inputs=other, targets=False)
    assert "learn badly" not in caplog.text
