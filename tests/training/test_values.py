"""What is done to values of every range, and to those of other data than a run was trained on."""

import numpy as np
import pytest
from PIL import Image

import bitesize as bs
from bitesize.errors import BadSetting
from bitesize.memory.budget import Budget
from bitesize.training.values import adapt_scaling, choose_scaling, measure_values

X = np.linspace(0, 1, 20 * 6 * 6 * 3).reshape(20, 6, 6, 3)


def scaling_of(x, normalize="model"):
    source, budget = bs.open(x), Budget("64 MiB")
    return choose_scaling(source, normalize, None, measure_values(source, budget), budget)


def values_of(x):
    return measure_values(bs.open(x), Budget("64 MiB"))


@pytest.mark.parametrize(
    ("name", "x", "done"),
    [
        ("uint8", (X * 255).astype(np.uint8), "scaled by 1/255"),
        ("float64 of bytes", X * 255, "scaled by 1/255"),
        ("float32 of dim bytes", (X * 120).astype(np.float32), "scaled by 1/255"),
        ("int64 of bytes", (X * 255).astype(np.int64), "scaled by 1/255"),
        ("unit", X, "taken as stored"),
        ("minus one to one", X * 2 - 1, "taken as stored"),
        ("bool", X > 0.5, "taken as stored"),
        ("uint8 of 0 and 1", (X > 0.5).astype(np.uint8), "taken as stored"),
        ("uint16", (X * 65535).astype(np.uint16), "scaled by 1/65535"),
        ("uint16 of 12 bits", (X * 4095).astype(np.uint16), "brought to mean 0"),
        ("CT", X * 4000 - 1000, "brought to mean 0"),
        ("digits", X * 16, "brought to mean 0"),
        ("int8", (X * 255 - 128).astype(np.int8), "brought to mean 0"),
    ],
)
def test_each_range_is_brought_to_about_0_to_1(name, x, done):
    found = scaling_of(x)
    assert done in found.line
    with bs.Loader(bs.open(x), batch_size=20, memory="16 MiB", transforms=found.steps, dtype="float32") as loader:
        out = next(iter(loader))["x"]
        assert -3 < out.min() <= 0.01
        assert 0.3 < out.max() < 3


@pytest.mark.parametrize(("most", "done"), [(4095, "brought to mean 0"), (65535, "scaled by 1/65535")])
@pytest.mark.parametrize("expected", [None, np.eye(3, 4)], ids=["own", "pretrained"])
def test_images_of_12_bits_are_measured_as_arrays_are(tmp_path, most, done, expected):
    for i, row in enumerate(X[..., 0]):
        Image.fromarray((row * most).astype(np.uint16)).save(tmp_path / f"{i:02}.png")
    source, budget = bs.open(tmp_path), Budget("64 MiB")
    found = choose_scaling(source, "model", expected, measure_values(source, budget), budget)
    assert (done if expected is None or most == 4095 else "what the model expects") in found.line
    with bs.Loader(source, batch_size=20, memory="32 MiB", transforms=found.steps, dtype="float32") as loader:
        assert next(iter(loader))["x"].max() > 0.9


@pytest.mark.parametrize("x", [X * 255, (X * 255).astype(np.uint8), X, (X * 65535).astype(np.uint16), (X > 0.5), X[..., 0]])
def test_values_are_standardized_where_the_model_wants_that(x):
    source, budget = bs.open(x), Budget("64 MiB")
    found = choose_scaling(source, "model", None, measure_values(source, budget), budget, standardize=True)
    assert "brought to mean 0 and deviation 1, as in a sample of 20 rows" in found.line
    with bs.Loader(source, batch_size=20, memory="16 MiB", transforms=found.steps, dtype="float32") as loader:
        out = next(iter(loader))["x"].reshape(-1, x.shape[3] if x.ndim == 4 else 1)
        np.testing.assert_allclose(out.mean(axis=0), 0, atol=1e-3)
        np.testing.assert_allclose(out.std(axis=0), 1, atol=1e-3)


def test_a_small_table_of_whole_numbers_is_no_picture():
    ages = np.random.default_rng(0).integers(0, 90, (50, 4))
    assert "each of 4 columns brought to mean 0" in scaling_of(ages).line
    assert "scaled by 1/255" in scaling_of((X * 255).reshape(20, -1)).line  # flat pictures


def test_the_same_range_in_another_dtype_is_scaled_alike():
    for first, second in (((X * 255).round(), (X * 255).round().astype(np.uint8)), (X * 250, X * 20)):
        for normalize in ("model", "data"):
            trained = scaling_of(first, normalize)
            steps, said = adapt_scaling(trained.steps, trained.values, values_of(second))
            assert said is None
            outputs = []
            for x, transforms in ((first, trained.steps), (second * (first.max() / second.max()), steps)):
                kind = second.dtype if second.dtype == np.uint8 and x is not first else x.dtype
                with bs.Loader(
                    bs.open(x.astype(kind)), batch_size=20, memory="16 MiB", shuffle=False, transforms=transforms
                ) as one:
                    outputs.append(next(iter(one))["x"].astype(np.float32).copy())
            np.testing.assert_allclose(outputs[0], outputs[1], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("trained", "given", "says"),
    [
        (X * 255, X, "multiply the data by 255 first"),
        (X, X * 255, "divide the data by 255 first"),
        (X, (X * 65535).astype(np.uint16), "divide the data by 65535 first"),
        ((X * 65535).astype(np.uint16), (X * 255).astype(np.uint8), "use 16-bit data"),
    ],
)
def test_other_units_are_refused(trained, given, says):
    with pytest.raises(BadSetting, match=says):
        adapt_scaling([], values_of(trained), values_of(given))


def test_a_range_far_from_the_runs_is_a_warning():
    _, said = adapt_scaling([], values_of(X * 4000 - 1000), values_of(X * 1e6))
    assert said is not None
    assert said.startswith("warning: the run was trained on values of float64 from -1000 to 3000")
