"""Every transform of volumes, for every common dtype and number of channels, equals NumPy; masks move along."""

import math

import numpy as np
import pytest
from tests.transforms import numpy_reference as ref
from tests.transforms.test_transforms_matrix import check, loaded, numbers, values

import bitesize as bs
from bitesize.errors import BadSetting

SIDES = (6, 9, 11)
CHANNELS = (None, 1, 2, 3, 4)
DTYPES = ["u1", "f4", *(pytest.param(dtype, marks=pytest.mark.slow) for dtype in ("u2", "i2"))]


def opened(dtype, channels, labels=None):
    x = values(dtype, (2, *SIDES) if channels is None else (2, *SIDES, channels))
    return x, bs.open(x, labels, axes="DHW" if channels is None else None)


def last(got, layout, channels):
    """Return a batch with its channels last."""
    return got.transpose(0, 2, 3, 4, 1) if layout == "CHW" and channels is not None else got


def random_crop(x, u):
    starts = [math.floor(u[i] * (side - part + 5)) - 2 for i, side, part in zip((2, 1, 0), SIDES, (4, 5, 7), strict=True)]
    return ref.crop(x, starts, (4, 5, 7), 3.0)


def flip(x, u):
    return x[tuple(slice(None, None, -1 if u[i] < 0.5 else 1) for i in (2, 1, 0))].astype(float)


def padded(x, u):
    sizes = [round(side * 8 / 11) for side in SIDES]
    return ref.crop(ref.resize(x, sizes), [(size - 8) // 2 for size in sizes], (8, 8, 8), 3.0)


# Transforms, random numbers of the first, and their result.
GEOMETRY = {
    "resize": ([bs.Resize((4, 14, 7))], 0, lambda x, u: ref.resize(x, (4, 14, 7))),
    "resize all": ([bs.Resize(8)], 0, lambda x, u: ref.resize(x, (8, 8, 8))),
    "resize the depth": ([bs.Resize((13, 9, 11))], 0, lambda x, u: ref.resize(x, (13, 9, 11))),
    "resize slices": ([bs.Resize((6, 5, 20))], 0, lambda x, u: ref.resize(x, (6, 5, 20))),
    "bicubic": ([bs.Resize((4, 14, 7), interpolation="bicubic")], 0, lambda x, u: ref.resize(x, (4, 14, 7), "bicubic")),
    "nearest": ([bs.Resize((4, 14, 7), interpolation="nearest")], 0, lambda x, u: ref.resize(x, (4, 14, 7), "nearest")),
    "cover": ([bs.Resize((6, 3, 3), "cover")], 0, lambda x, u: ref.crop(x, (0, 3, 4), (6, 3, 3))),
    "pad": ([bs.Resize(8, "pad", fill=3)], 0, padded),
    "center crop": ([bs.CenterCrop((8, 4, 5), fill=3)], 0, lambda x, u: ref.crop(x, (-1, 2, 3), (8, 4, 5), 3.0)),
    "cube": ([bs.CenterCrop(4)], 0, lambda x, u: ref.crop(x, (1, 2, 3), (4, 4, 4))),
    "random crop": ([bs.RandomCrop((4, 5, 7), padding=2, fill=3)], 3, random_crop),
    "flip": ([bs.Flip(0.5, 0.5, 0.5)], 3, flip),
    "flip slices": ([bs.Flip(1.0)], 2, lambda x, u: x[:, :, ::-1].astype(float)),
    "quarter turn": ([bs.Rotate90((1,))], 1, lambda x, u: np.rot90(x, 1, (1, 2)).astype(float)),
    "turned crop": (
        [bs.CenterCrop((4, 7, 5)), bs.Rotate90((3,)), bs.Flip(1.0, 0.0, 1.0)],
        0,
        lambda x, u: np.rot90(ref.crop(x, (1, 1, 3), (4, 7, 5)), 3, (1, 2))[::-1, :, ::-1],
    ),
    "resized, turned and cropped": (
        [bs.Resize((9, 14, 7)), bs.Flip(1.0, 0.0, 1.0), bs.Rotate90((1,)), bs.CenterCrop((5, 6, 9))],
        0,
        lambda x, u: np.rot90(ref.resize(x, (9, 14, 7))[::-1, :, ::-1], 1, (1, 2))[2:7, 0:6, 2:11],
    ),
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", GEOMETRY)
def test_geometry_equals_numpy_for_any_channels(name, dtype):
    transforms, count, expect = GEOMETRY[name]
    u = numbers(count)
    for channels in CHANNELS:
        x, source = opened(dtype, channels)
        expected = np.stack([expect(row, u[i]) for i, row in enumerate(x)])
        for target in (None, "float32"):
            for layout in ("HWC", "CHW"):
                got = loaded(source, transforms, dtype=target, layout=layout)["x"]
                assert got.dtype == np.dtype(target or dtype)
                check(last(got, layout, channels), expected, got.dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("channels", CHANNELS)
@pytest.mark.parametrize("moves", [False, True], ids=["values", "with a flip"])
def test_values_equal_numpy_for_any_channels(dtype, channels, moves):
    x, source = opened(dtype, channels)
    count = channels or 1
    first, start = ([bs.Flip(0, 0, 1.0)], x[:, ::-1]) if moves else ([], x)
    start = start.astype(np.float64)
    mean, std = np.linspace(0.2, 0.5, count), np.linspace(0.1, 0.3, count)
    if channels is None:
        mean, std = mean[0], std[0]
    factor = {"u1": 1 / 255, "u2": 1 / 65535, "i2": 1 / 65536, "f4": 1.0}[dtype]
    offset = 0.5 if dtype == "i2" else 0.0
    unit, scale = start * factor + offset, bs.Scale(factor, offset)
    given = (mean, std) if channels is None else (tuple(mean), tuple(std))
    over = (0, 1, 2, 3)
    data = start.mean(over), start.std(over)
    cases = [
        ([scale, bs.Normalize(*given)], (unit - mean) / std),
        ([scale, bs.Normalize(0.4, 0.2)], (unit - 0.4) / 0.2),
        ([bs.Normalize("data")], (start - (data[0] if channels else start.mean())) / (data[1] if channels else start.std())),
        ([bs.Brightness((1.3, 1.3))], start * 1.3),
        ([scale, bs.Contrast((0.6, 0.6))], (unit - 0.5) * 0.6 + 0.5),
        ([bs.Window(0.4 / factor, 0.5 / factor)], ((start - 0.4 / factor) * factor / 0.5 + 0.5).clip(0, 1)),
    ]
    rows = start.reshape(2, -1, count)
    lows, highs = np.percentile(rows, (10, 80), axis=1)
    stretched = ((rows - lows[:, None]) / (highs - lows)[:, None]).clip(0, 1).reshape(start.shape)
    lows, highs = np.percentile(rows, (10, 80), axis=(0, 1))
    of_data = ((rows - lows) / (highs - lows)).clip(0, 1).reshape(start.shape)
    both = [([bs.Percentiles(10, 80)], stretched), ([bs.Percentiles(10, 80, "data")], of_data)]
    for order, expected in [([*first, *steps], expected) for steps, expected in cases + both]:
        for layout in ("HWC", "CHW"):
            for target in (None, "float32"):
                got = loaded(source, order, layout=layout, dtype=target)["x"]
                check(last(got, layout, channels), expected, got.dtype, steep=4.0)


@pytest.mark.parametrize("kind", ["u1", "i2", "u2"])
def test_masks_move_with_their_volumes_and_are_never_interpolated(kind):
    masks = values(kind, (2, *SIDES))
    x = masks.astype(np.float32)
    source = bs.open(x, masks, axes="DHW")
    moved = [bs.RandomCrop(5, padding=2, fill=7, mask_fill=7), bs.Flip(0.5, 0.5, 0.5), bs.Rotate90()]
    for transforms in (moved, [bs.Resize((4, 14, 7), interpolation="nearest"), bs.Flip(0.5, 0.5, 0.5)]):
        got = loaded(source, transforms)
        assert got["y"].dtype == masks.dtype
        np.testing.assert_array_equal(got["x"], got["y"])
    # Colors do not change masks, and where the volume is interpolated, the mask has the nearest label.
    got = loaded(source, [bs.Resize((4, 14, 7)), bs.Window(3, 5)])["y"]
    np.testing.assert_array_equal(got, np.stack([ref.resize(mask, (4, 14, 7), "nearest") for mask in masks]))


@pytest.mark.parametrize(
    "transform",
    [
        bs.RandomResizedCrop(4), bs.Rotate(5), bs.Shear(5), bs.Translate(), bs.Zoom(), bs.Cutout(), bs.Hue(), bs.Saturation(),
        bs.Grayscale(), bs.ColorMatrix((1, 0, 0, 0) * 3), bs.ColorJitter(0.1),
    ],
    ids=str,
)  # fmt: skip
def test_other_transforms_are_for_images(transform):
    with pytest.raises(BadSetting, match=f"{type(transform).__name__} is for images, but rows are volumes.*bs.Map"):
        loaded(opened("u1", 3)[1], [transform])


def test_settings_of_volumes_and_of_images_are_told_apart():
    volumes, images = opened("u1", None)[1], bs.open(values("u1", (2, 9, 9, 3)))
    with pytest.raises(BadSetting, match=r"pass one side, or \(depth, height, width\), not \(4, 5\)"):
        loaded(volumes, [bs.CenterCrop((4, 5))])
    with pytest.raises(BadSetting, match='mode="shorter" is for images'):
        loaded(volumes, [bs.Resize(4, "shorter")])
    with pytest.raises(BadSetting, match=r"CenterCrop\(\(4, 5, 6\)\) is for volumes"):
        loaded(images, [bs.CenterCrop((4, 5, 6))])
    with pytest.raises(BadSetting, match=r"Flip: depth=0.5 is for volumes"):
        loaded(images, [bs.Flip(depth=0.5)])
    with pytest.raises(BadSetting, match="one number, or 4 are needed"):
        loaded(opened("u1", 4)[1], [bs.CenterCrop(4), bs.Normalize((0.5, 0.4, 0.3), (0.5,) * 3)])
    with pytest.raises(BadSetting, match="different sizes"):
        loaded(volumes, [bs.Rotate90()])


def test_random_volumes_do_not_depend_on_batches_and_resume_exactly():
    x = values("u1", (12, *SIDES))
    steps = [bs.RandomCrop(4), bs.Flip(0.5, 0.5, 0.5), bs.Rotate90()]

    def rows(batch_size, threads, start=None):
        with bs.Loader(
            bs.open(x, axes="DHW"), batch_size=batch_size, memory="64 MiB", seed=3, transforms=steps, threads=threads
        ) as loader:
            if start is not None:
                loader.load_state_dict(start)
            out = []
            for batch in loader:
                out.extend(batch["x"].copy())
                if len(out) == 4:
                    state = loader.state_dict()
            return np.array(out), None if start is not None else state

    whole, state = rows(4, 1)
    np.testing.assert_array_equal(rows(2, 3)[0], whole)
    np.testing.assert_array_equal(rows(4, 2, state)[0], whole[4:])


@pytest.mark.parametrize(
    "transforms",
    [
        [bs.Resize((4, 14, 7))],
        [bs.RandomCrop(4)],
        [bs.RandomCrop(5), bs.Resize(8), bs.Rotate90()],
        [bs.Percentiles(), bs.Flip()],
    ],
    ids=str,
)
def test_the_scratch_of_volumes_is_in_the_plan(transforms):
    x = values("u1", (9, *SIDES))
    with bs.Loader(bs.open(x, axes="DHW"), batch_size=2, memory="64 MiB", transforms=transforms, threads=2) as loader:
        for _ in loader:
            pass
        planned = {part.name: part.nbytes for part in loader.plan.parts}
        assert loader.budget.breakdown() == planned
        assert 0 < loader.budget.peak <= loader.plan.total


def test_the_plan_has_the_exact_scratch_of_a_volume():
    """One float32 slice that is the sum of others, weights along the depth, and what an image of that size takes."""
    x = values("u1", (2, 40, 64, 64))

    def scratch(rows, *transforms, axes=None):
        with bs.Loader(
            bs.open(rows, axes=axes), batch_size=1, memory="64 MiB", transforms=list(transforms), threads=1
        ) as loader:
            return next(part.nbytes for part in loader.plan.parts if "scratch" in part.name)

    volume, image = scratch(x, bs.Resize((10, 32, 32)), axes="DHW"), scratch(x[:, 0], bs.Resize((32, 32)))
    read = 39 * 64 * 64  # more bytes of the row as stored
    assert volume - image - read == 4 * (
        64 * 64 + 112
    )  # weights of 9 slices and 2 numbers for 10 slices, rounded up to 8 values
