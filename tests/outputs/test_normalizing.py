"""Normalization on the device: the values of a loader that normalizes, from batches of integers."""

import gc
import logging

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import bitesize as bs
from bitesize.engine.loader import driver_of

ROWS = 21
NAMES = [pytest.param("torch", marks=pytest.mark.framework), "jax"]
NORMALIZE = [bs.Normalize("imagenet")]
pytestmark = pytest.mark.filterwarnings("ignore")  # the frameworks', about themselves


@pytest.fixture(params=NAMES)
def output(request):
    """An output by name, which gives tensors in the layout of the loader."""
    pytest.importorskip(request.param)
    if request.param == "jax":
        return bs.to_jax
    return lambda loader, **settings: bs.to_torch(loader, channels_last=False, **settings)


def pixels(*shape, dtype="uint8"):
    return np.random.default_rng(0).integers(0, np.iinfo(dtype).max + 1, (ROWS, *shape)).astype(dtype)


def make_loader(x, transforms=(), **settings):
    settings = {"batch_size": 4, "memory": "16 MiB", "last": "drop", "seed": 3} | settings
    return bs.Loader(bs.open(x, np.arange(len(x))), transforms=transforms, **settings)


def plain(array):
    """What was computed, as NumPy's, in float32 where it was narrower."""
    if hasattr(array, "untyped_storage"):
        import torch

        array = array.clone()
        array = array.to(torch.float32).numpy() if array.dtype == torch.bfloat16 else array.numpy()
    else:
        array = np.array(array)
    return array.astype(np.float32) if array.dtype.itemsize == 2 else array


def all_of(batches, epochs=2):
    return [{name: plain(array) for name, array in batch.items()} for _ in range(epochs) for batch in batches]


def assert_same(found, expected, tolerance):
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        assert one.keys() >= other.keys()
        for name in other:
            assert one[name].dtype == other[name].dtype or name == "y"  # which JAX has in 32 bits
            np.testing.assert_allclose(one[name], other[name], rtol=tolerance, atol=tolerance)


IMAGES = {
    "three channels": ((9, 8, 3), "uint8", NORMALIZE),
    "one channel": ((9, 8, 1), "uint8", [bs.Normalize(0.5, 0.2)]),
    "alpha beside colors": ((9, 8, 4), "uint8", NORMALIZE),
    "four channels of their own": ((9, 8, 4), "uint8", [bs.Normalize((0.1, 0.2, 0.3, 0.4), (0.5, 0.6, 0.7, 0.8))]),
    "the mean of the data": ((9, 8, 3), "uint8", [bs.Normalize("data")]),
    "16 bits, ten bands": ((9, 8, 10), "uint16", [bs.Scale(1 / 65535), bs.Normalize("data")]),
    "a scale": ((9, 8, 3), "uint8", [bs.Scale(1 / 255, -0.5)]),
}


@pytest.mark.parametrize("layout", ["HWC", "CHW"])
@pytest.mark.parametrize("case", IMAGES)
def test_values_are_those_of_a_loader_that_normalizes(output, case, layout):
    shape, dtype, steps = IMAGES[case]
    x = pixels(*shape, dtype=dtype)
    with make_loader(x, [bs.Flip(), *steps], layout=layout) as loader:
        expected = all_of(loader)
    with make_loader(x, [bs.Flip()], layout=layout) as loader:
        assert_same(all_of(output(loader, normalize=steps)), expected, 1e-6)
        assert loader.spec["x"].dtype == dtype


NUMBERS = st.floats(-0.5, 1.5, allow_subnormal=False)


@pytest.mark.framework
@settings(max_examples=30, deadline=None)
@given(
    shape=st.tuples(st.integers(8, 10), st.integers(8, 10), st.sampled_from([1, 3, 4, 7])),
    layout=st.sampled_from(["HWC", "CHW"]),
    scaled=st.booleans(),
    mean=st.lists(NUMBERS, min_size=7, max_size=7),
    std=st.lists(st.floats(0.05, 2), min_size=7, max_size=7),
    each=st.booleans(),
)
def test_any_numbers_give_what_the_loader_gives(shape, layout, scaled, mean, std, each):
    pytest.importorskip("torch")
    channels = shape[2] if each else 1
    steps = [bs.Scale(1 / 255)] if scaled else []
    steps.append(bs.Normalize(tuple(mean[:channels]), tuple(std[:channels])))
    x = pixels(*shape)
    with make_loader(x, [bs.Flip(), *steps], layout=layout) as loader:
        expected = all_of(loader, 1)
    with make_loader(x, [bs.Flip()], layout=layout) as loader:
        batches = bs.to_torch(loader, channels_last=False, normalize=steps)
        for one, other in zip(all_of(batches, 1), expected, strict=True):
            np.testing.assert_allclose(one["x"], other["x"], rtol=1e-5, atol=1e-5 * (1 + np.abs(other["x"]).max()))


@pytest.mark.parametrize(
    ("shape", "step"),
    [
        ((), bs.Scale(2.0, 1.0)),
        ((50,), bs.Normalize("data")),
        ((3,), bs.Normalize("imagenet")),
        ((9, 8), bs.Scale(1 / 255)),
        ((2, 3, 4, 5), bs.Scale(0.5)),
    ],
    ids=str,
)
def test_rows_that_are_no_images_are_normalized_too(output, shape, step):
    x = pixels(*shape)
    with make_loader(x, [step]) as loader:
        expected = all_of(loader)
    with make_loader(x) as loader:
        assert_same(all_of(output(loader, normalize=step)), expected, 1e-6)


@pytest.mark.parametrize(("dtype", "tolerance"), [("float16", 1e-3), ("bfloat16", 1e-2)])
def test_the_result_may_be_narrower(output, dtype, tolerance):
    pytest.importorskip("ml_dtypes")
    x = pixels(9, 8, 3)
    with make_loader(x, NORMALIZE, dtype=dtype) as loader:
        expected = all_of(loader)
    with make_loader(x) as loader:
        batches = output(loader, normalize=NORMALIZE, dtype=dtype)
        assert str(next(iter(batches))["x"].dtype).removeprefix("torch.") == dtype
        loader.set_epoch(0)
        assert_same(all_of(batches), expected, tolerance)


@pytest.mark.framework
def test_a_dtype_of_the_framework_is_understood():
    torch, jax = pytest.importorskip("torch"), pytest.importorskip("jax")
    with make_loader(pixels(9, 8, 3)) as loader:
        assert next(iter(bs.to_torch(loader, normalize=NORMALIZE, dtype=torch.float16)))["x"].dtype == torch.float16
        assert next(iter(bs.to_jax(loader, normalize=NORMALIZE, dtype=jax.numpy.bfloat16)))["x"].dtype == "bfloat16"
        assert next(iter(bs.to_jax(loader, normalize=NORMALIZE, dtype=np.dtype("float16"))))["x"].dtype == "float16"


def test_resampled_pixels_are_whole_levels_first(output, caplog):
    steps = [bs.RandomResizedCrop(7), bs.Flip()]
    x = pixels(20, 24, 3)
    with make_loader(x, [*steps, bs.Scale(1 / 255)]) as loader:
        expected = all_of(loader)
    with make_loader(x, steps) as loader, caplog.at_level(logging.INFO, "bitesize"):
        found = all_of(output(loader, normalize=bs.Scale(1 / 255)))
    worst = max(np.abs(one["x"] - other["x"]).max() for one, other in zip(found, expected, strict=True))
    assert 0.3 / 255 < worst < 0.501 / 255  # noise reaches nearly half a level, and never more
    assert "RandomResizedCrop(7) before it rounds to whole levels" in caplog.text
    assert "Flip" not in caplog.text


def test_what_the_device_computes_is_logged_without_a_difference_that_there_is_not(output, caplog):
    with make_loader(pixels(9, 8, 3), [bs.CenterCrop(8), bs.Flip()]) as loader, caplog.at_level(logging.INFO, "bitesize"):
        output(loader, normalize=NORMALIZE)
    assert "'x' is sent as uint8, and the device computes float32 of it by Normalize('imagenet')" in caplog.text
    assert "rounds" not in caplog.text


@pytest.mark.parametrize("layout", ["HWC", "CHW"])
def test_images_of_files_are_normalized(output, tmp_path, layout):
    from PIL import Image

    for i, image in enumerate(pixels(9, 8, 3)):
        Image.fromarray(image).save(tmp_path / f"{i:02}.png")
    settings = {"batch_size": 4, "memory": "16 MiB", "last": "drop", "layout": layout}
    with bs.Loader(bs.open(tmp_path), transforms=NORMALIZE, **settings) as loader:
        expected = all_of(loader)
    with bs.Loader(bs.open(tmp_path), **settings) as loader:
        assert_same(all_of(output(loader, normalize=NORMALIZE)), expected, 1e-6)


def test_padding_and_rows_that_cannot_be_read_stay_zero(output, tmp_path):
    for i, row in enumerate(pixels(9, 8, 3)):
        np.save(tmp_path / f"{i:02}.npy", row)
    (tmp_path / "05.npy").write_bytes(b"nothing")
    settings = {"batch_size": 4, "memory": "16 MiB", "shuffle": False, "last": "pad", "on_error": "skip", "max_bad": 0.5}
    with bs.Loader(bs.open(tmp_path), transforms=NORMALIZE, **settings) as loader:
        expected = all_of(loader)
    with bs.Loader(bs.open(tmp_path), **settings) as loader:
        found = all_of(output(loader, normalize=NORMALIZE))
    assert_same(found, expected, 1e-6)
    assert [int(batch["mask"].sum()) for batch in found[:6]] == [4, 3, 4, 4, 4, 1]
    assert not found[1]["x"][1].any()


def test_order_and_place_are_those_of_the_loader(output):
    x = pixels(9, 8, 3)
    with make_loader(x) as loader:
        whole = [batch["y"].tolist() for _ in range(2) for batch in output(loader, normalize=NORMALIZE)]
    with make_loader(x, NORMALIZE) as loader:
        assert [batch["y"].tolist() for _ in range(2) for batch in loader] == whole
    with make_loader(x) as loader:
        batches = iter(output(loader, normalize=NORMALIZE))
        for _ in range(3):
            next(batches)
        state = loader.state_dict()
    with make_loader(x) as loader:
        resumed = output(loader, normalize=NORMALIZE)
        resumed.load_state_dict(state)
        assert [batch["y"].tolist() for _ in range(2) for batch in resumed] == whole[3:]


def test_measured_numbers_go_to_the_loader_of_the_validation(output):
    train, val = pixels(9, 8, 3), pixels(9, 8, 3) // 2
    with make_loader(train) as train_loader, make_loader(val, shuffle=False) as val_loader:
        batches = output(train_loader, normalize=bs.Normalize("data"))
        mean, std = bs.statistics(train_loader.source).normalization
        assert batches.normalize == (bs.Normalize(mean, std),)
        found = all_of(output(val_loader, normalize=batches.normalize))
    with make_loader(val, [bs.Normalize(mean, std)], shuffle=False) as loader:
        assert_same(found, all_of(loader), 1e-6)
    with make_loader(train) as loader:
        assert output(loader).normalize is None


def double(x):
    return x * 2.0


@pytest.mark.parametrize(
    ("x", "settings", "normalize", "message"),
    [
        ("uint8", {"transforms": NORMALIZE}, NORMALIZE[0], r"normalizes already, by Normalize\('imagenet'\): remove it"),
        ("uint8", {"transforms": [bs.Scale(1 / 255)]}, NORMALIZE[0], "normalizes already, by Scale"),
        ("uint8", {"transforms": [bs.Scale(1 / 255)], "dtype": "uint8"}, NORMALIZE[0], "normalizes already, by Scale"),
        ("float32", {}, NORMALIZE[0], r"'x' is float32 as stored: put Normalize\('imagenet'\) into the transforms of the loader$"),
        ("int32", {}, NORMALIZE[0], "'x' is int32 as stored"),
        ("uint8", {"dtype": "float16"}, NORMALIZE[0], "'x' is float16 by its dtype="),
        ("uint8", {"transforms": [bs.ColorMatrix((1,) * 12)]}, NORMALIZE[0], r'after ColorMatrix.*dtype="uint8"'),
        ("uint8", {"transforms": [bs.Map(double)]}, NORMALIZE[0], r"'x' is float64 after Map\(double\)"),
        ("uint8", {"transforms": [bs.Map(np.flipud)]}, bs.Normalize("data"), "pass a mean and a std"),
        ("uint8", {"dtype": "int16"}, bs.Normalize("data"), "pass a mean and a std"),
        ("uint8", {}, "imagenet", r"takes bs\.Normalize\(\.\.\.\), bs\.Scale\(\.\.\.\) or a list of them, not 'imagenet'"),
        ("uint8", {}, [], "not \\[\\]"),
        ("uint8", {}, bs.Brightness(0.3), r"not Brightness\(amount=0\.3\), which belongs into the transforms of the loader"),
        ("uint8", {}, [bs.ColorMatrix((1,) * 12)], "belongs into the transforms"),
        ("uint8", {}, bs.Normalize((120.0,) * 3, (60.0,) * 3), "divide them by 255"),
        ("uint8", {}, bs.Normalize((0.5,) * 5, (0.2,) * 5), "5 means"),
        ("uint16", {}, NORMALIZE[0], "expects 0 to 1"),
    ],
    ids=str,
)  # fmt: skip
def test_what_the_device_cannot_compute_is_refused(output, x, settings, normalize, message):
    with make_loader(pixels(9, 8, 3).astype(x) * (256 if x == "uint16" else 1), **settings) as loader:
        with pytest.raises(bs.BadSetting, match=message):
            output(loader, normalize=normalize)
        assert len(next(iter(loader))["x"]) == 4  # which is as it was


def test_settings_without_each_other_are_refused(output):
    with make_loader(pixels(9, 8, 3)) as loader:
        with pytest.raises(bs.BadSetting, match="dtype= belongs to normalize="):
            output(loader, dtype="float16")
        with pytest.raises(bs.BadSetting, match="dtype= must be 'float32', 'float16', 'bfloat16', not 'float64'"):
            output(loader, normalize=NORMALIZE, dtype="float64")


def test_8_bit_values_that_were_cast_keep_their_scale(output):
    x = pixels(9, 8, 3)
    with make_loader(x, NORMALIZE) as loader:
        expected = all_of(loader)
    with make_loader(x, dtype="int16") as loader:
        assert_same(all_of(output(loader, normalize=NORMALIZE)), expected, 1e-6)


def test_on_the_cpu_the_result_is_charged_and_planned(output):
    with make_loader(pixels(32, 32, 3)) as loader:
        before = loader.budget.granted
        output(loader)
        slots = driver_of(loader).slots
        grown = loader.budget.granted - before
        output(loader, normalize=NORMALIZE)
        assert loader.budget.granted - before - grown == slots * 4 * 32 * 32 * 3 * 4
        output(loader, normalize=NORMALIZE)  # at the same time only one of them has the batches
        assert loader.plan.as_dict()["parts"]["normalized batches"] == slots * 4 * 32 * 32 * 3 * 4
        assert loader.plan.total == loader.budget.granted
        driver_of(loader).hold(10)
        assert loader.plan.total == loader.budget.granted
    assert loader.budget.in_use == 0


def test_what_does_not_fit_the_budget_is_refused(output):
    with (
        make_loader(pixels(64, 64, 3), memory="400 KiB", threads=1) as loader,
        pytest.raises(bs.DoesNotFit, match="normalized batches"),
    ):
        output(loader, normalize=NORMALIZE)


def test_on_the_cpu_results_that_a_program_keeps_hold_their_slots(output, monkeypatch):
    """There are never more results than slots, which is what was charged."""
    monkeypatch.setattr("bitesize.engine.holding.KEPT_SECONDS", 0.3)
    x = np.repeat(pixels(9, 8, 3), 3, axis=0)
    with make_loader(x, shuffle=False) as loader:
        batches = output(loader, normalize=NORMALIZE)
        with pytest.raises(bs.BatchesHeld):
            _ = [batch["x"] for batch in batches]
        kept = [plain(batch["x"]) for batch in batches]
        assert len(kept) == len(loader)
        gc.collect()
        again = [plain(batch["x"]) for batch in batches]
    np.testing.assert_array_equal(kept, again)


# --- PyTorch's own ---------------------------------------------------------------------------------------------------


@pytest.mark.framework
def test_tensors_of_images_are_channels_last_and_tuples_are_normalized():
    torch = pytest.importorskip("torch")
    x = pixels(9, 8, 3)
    with make_loader(x, NORMALIZE, shuffle=False) as loader:
        expected = next(iter(loader))["x"].copy()
    with make_loader(x, shuffle=False) as loader:
        tensor, labels = next(iter(bs.to_torch(loader, normalize=NORMALIZE, as_tuple=True)))
        assert tensor.shape == (4, 3, 9, 8)
        assert tensor.is_contiguous(memory_format=torch.channels_last)
        np.testing.assert_allclose(tensor.permute(0, 2, 3, 1).numpy(), expected, atol=1e-6)
        assert labels.tolist() == [0, 1, 2, 3]
        with pytest.raises(bs.BadSetting, match="as_tuple= selects y"):
            bs.to_torch(loader, normalize=NORMALIZE, as_tuple=["y"])


# --- JAX's own -------------------------------------------------------------------------------------------------------


def test_a_sharding_of_one_device_is_that_device():
    jax = pytest.importorskip("jax")
    one = jax.sharding.SingleDeviceSharding(jax.devices()[0])
    x = pixels(9, 8, 3)
    with make_loader(x, NORMALIZE) as loader:
        expected = all_of(loader)
    with make_loader(x) as loader:
        batches = bs.to_jax(loader, sharding=one, normalize=NORMALIZE)
        assert next(iter(batches))["x"].sharding == one
        loader.set_epoch(0)
        assert_same(all_of(batches), expected, 1e-6)
        assert "normalized batches" in loader.plan.as_dict()["parts"]


def test_jax_computes_on_the_shards():
    from tests.outputs.test_jax import run

    pytest.importorskip("jax")
    told = run(
        """
        import numpy as np, jax, bitesize as bs
        from jax.sharding import Mesh, NamedSharding, PartitionSpec
        sharding = NamedSharding(Mesh(np.array(jax.devices()), ("data",)), PartitionSpec("data"))
        x = np.random.default_rng(0).integers(0, 256, (50, 9, 8, 3)).astype(np.uint8)
        settings = dict(batch_size=16, memory="16 MiB", last="pad", shuffle=False)
        with bs.Loader(bs.open(x), transforms=[bs.Normalize("imagenet")], **settings) as loader:
            expected = [batch["x"].copy() for batch in loader]
        with bs.Loader(bs.open(x), **settings) as loader:
            batches = bs.to_jax(loader, sharding=sharding, normalize=bs.Normalize("imagenet"))
            for batch, whole in zip(batches, expected, strict=True):
                assert batch["x"].sharding == sharding, batch["x"].sharding
                assert {shard.data.shape for shard in batch["x"].addressable_shards} == {(2, 9, 8, 3)}
                np.testing.assert_allclose(batch["x"], whole, atol=1e-6)
            assert "normalized batches" not in loader.plan.as_dict()["parts"]
        print(len(jax.devices()), "devices")
        """,
        XLA_FLAGS="--xla_force_host_platform_device_count=8",
    )
    assert "8 devices" in told


def test_arrays_keep_their_values_while_a_step_still_looks_at_them():
    """JAX begins a step and goes on: the memory of the result and its slot must stay until it has ended."""
    pytest.importorskip("jax")
    from tests.outputs.test_jax import slow_means

    slow = slow_means(sorts=1)
    x = np.repeat(np.arange(64, dtype=np.uint8), 200_000).reshape(64, 200_000)
    with make_loader(x, memory="64 MiB", shuffle=False) as loader:
        sums = [slow(batch["x"]) for batch in bs.to_jax(loader, normalize=bs.Scale(0.5))]
    np.testing.assert_allclose(np.concatenate(sums), np.arange(64) / 2)


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
@pytest.mark.parametrize("fill", [0.0, (1.0, 2.0, 3.0), (1.0, 2.0, 3.0, 4.0)])
def test_the_fourth_channel_is_alpha_or_a_band_as_for_the_loader(output, fill, dtype):
    x, step = pixels(6, 9, 4, dtype=dtype), bs.Scale(0.5, 3.0)
    resize = bs.Resize((9, 9), "pad", fill=fill, interpolation="nearest")
    with make_loader(x, [resize, step]) as own, make_loader(x, [resize]) as raw:
        # Alpha is not offset.
        assert_same(all_of(output(raw, normalize=step), 1), all_of(output(own), 1), 1e-6)
