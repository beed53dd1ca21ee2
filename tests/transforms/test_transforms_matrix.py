"""Every transform, for every common dtype and number of channels, equals NumPy and SciPy."""

import math

import numpy as np
import pytest
from tests.transforms import numpy_reference as ref

import bitesize as bs
from bitesize.errors import BadSetting
from bitesize.order.keyed_random import uniform

HEIGHT, WIDTH = 14, 20
CHANNELS = (1, 2, 3, 4, 5, 10)
# Each dtype compiles kernels of its own.
DTYPES = ["u1", "f4", *(pytest.param(dtype, marks=pytest.mark.slow) for dtype in ("u2", "i2"))]


def values(dtype, shape):
    random = np.random.default_rng(sum(shape))
    kind = np.dtype(dtype)
    if kind.kind == "f":
        return random.random(shape).astype(kind)
    return random.integers(np.iinfo(kind).min, np.iinfo(kind).max, shape, endpoint=True).astype(kind)


def loaded(source, transforms, **options):
    with bs.Loader(
        source, batch_size=len(source), memory="64 MiB", shuffle=False, transforms=transforms, **options
    ) as loader:
        return {name: array.copy() for name, array in next(iter(loader)).items()}


def numbers(count, transform=0, rows=2):
    """Return the random numbers of a transform for each row of the first epoch of a loader with the default seed."""
    return uniform(0, 0, np.arange(rows, dtype=np.int64), transform, count)


def check(got, expected, dtype, steep=1.0):
    """Compare with values before rounding: integers round half up and clip."""
    assert got.shape == expected.shape
    kind = np.dtype(dtype)
    if kind.kind == "f":
        scale = max(1.0, float(np.abs(expected).max()))
        np.testing.assert_allclose(got, expected, rtol=0, atol=steep * (2e-3 if kind.itemsize == 2 else 4e-6) * scale)
        return
    info = np.iinfo(kind)
    clipped = expected.clip(info.min, info.max)
    assert np.abs(got - clipped).max() <= 0.5 + steep * max(1e-4, 3e-7 * info.max)


def alpha_of(dtype, x, transform):
    """Return whether the fourth channel is alpha: of 8-bit images."""
    return dtype == "u1" and x.shape[-1] == 4


def whole_of(dtype):
    return 255.0 if dtype == "u1" else 1.0


def boxes_of_resized_crop(u):
    area = HEIGHT * WIDTH * (0.2 + u[0] * 0.6)
    ratio = math.exp(math.log(0.75) + u[1] * (math.log(4 / 3) - math.log(0.75)))
    width, height = min(math.sqrt(area * ratio), WIDTH), min(math.sqrt(area / ratio), HEIGHT)
    left, top = u[2] * (WIDTH - width), u[3] * (HEIGHT - height)
    return [(top, top + height), (left, left + width)]


def resized_crop(x, u):
    return ref.resize(x, (8, 9), "bilinear", boxes_of_resized_crop(u))


def cutout(x, u, alpha):
    out = x.astype(np.float64)
    area, ratio = HEIGHT * WIDTH * (0.1 + u[1] * 0.2), math.exp(math.log(0.5) + u[2] * math.log(4))
    width, height = round(min(math.sqrt(area * ratio), WIDTH)), round(min(math.sqrt(area / ratio), HEIGHT))
    left, top = math.floor(u[3] * (WIDTH - width + 1)), math.floor(u[4] * (HEIGHT - height + 1))
    out[top : top + height, left : left + width, : 3 if alpha else None] = 0.5
    out[top : top + height, left : left + width, 3 if alpha else x.shape[-1] :] = 0.0
    return out


def filled(y, alpha, fill=3.0):
    """Return the fill of each channel: alpha is 0 outside."""
    return np.array([fill] * 3 + [0.0]) if alpha else fill


# Transform, number of random numbers, and its result for an image, its random numbers and whether its fourth channel is alpha.
GEOMETRY = {
    "resize": (bs.Resize((9, 30)), 0, lambda x, u, a: ref.resize(x, (9, 30))),
    "bicubic": (
        bs.Resize((9, 30), interpolation="bicubic"), 0, lambda x, u, a: ref.resize(x, (9, 30), "bicubic"),
    ),
    "nearest": (
        bs.Resize((9, 30), interpolation="nearest"), 0, lambda x, u, a: ref.resize(x, (9, 30), "nearest"),
    ),
    "center crop": (
        bs.CenterCrop((18, 6), fill=3), 0, lambda x, u, a: ref.crop(x, (-2, 7), (18, 6), filled(x, a)),
    ),
    "random crop": (
        bs.RandomCrop((8, 9), padding=2, fill=3), 2,
        lambda x, u, a: ref.crop(
            x, (math.floor(u[1] * 11) - 2, math.floor(u[0] * 16) - 2), (8, 9), filled(x, a)
        ),
    ),
    "resized crop": (bs.RandomResizedCrop((8, 9), (0.2, 0.8)), 4, lambda x, u, a: resized_crop(x, u)),
    "flip": (
        bs.Flip(0.5, 0.5), 2,
        lambda x, u, a: x[:: -1 if u[1] < 0.5 else 1, :: -1 if u[0] < 0.5 else 1].astype(float),
    ),
    "quarter turn": (bs.Rotate90((3,)), 0, lambda x, u, a: np.rot90(x, 3).astype(float)),
    "rotate": (bs.Rotate((25, 25), fill=0), 0, lambda x, u, a: ref.rotate(x, 25, 0.0)),
    "shear": (bs.Shear((20, 20), fill=0), 0, lambda x, u, a: ref.shear(x, 20, 0.0)),
    "translate": (
        bs.Translate((0.11, 0.11), (-0.3, -0.3), fill=3), 0,
        lambda x, u, a: ref.placed(x, (0.3 * HEIGHT, -0.11 * WIDTH), (1.0, 1.0), filled(x, a)),
    ),
    "zoom out": (
        bs.Zoom((0.7, 0.7), fill=3), 0,
        lambda x, u, a: ref.placed(
            x, (HEIGHT / 2 * (1 - 1 / 0.7), WIDTH / 2 * (1 - 1 / 0.7)), (1 / 0.7, 1 / 0.7), filled(x, a)
        ),
    ),
    "cutout": (bs.Cutout((0.1, 0.3), (0.5, 2.0), p=1.0, fill=0.5), 5, cutout),
}  # fmt: skip


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", GEOMETRY)
def test_geometry_equals_numpy_for_any_channels(name, dtype):
    transform, count, expect = GEOMETRY[name]
    u = numbers(count)
    for channels in CHANNELS:
        x = values(dtype, (2, HEIGHT, WIDTH, channels))
        alpha = alpha_of(dtype, x, transform)
        expected = np.stack([expect(row, u[i], alpha) for i, row in enumerate(x)])
        for target in (None, "float32"):
            for layout in ("HWC", "CHW"):
                got = loaded(bs.open(x), [transform], dtype=target, layout=layout)["x"]
                assert got.dtype == np.dtype(target or dtype)
                check(got if layout == "HWC" else got.transpose(0, 2, 3, 1), expected, got.dtype)


def numbered(channels):
    mean, std = np.linspace(0.2, 0.5, channels), np.linspace(0.1, 0.3, channels)
    return bs.Normalize(tuple(mean), tuple(std)), mean, std


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("channels", CHANNELS)
@pytest.mark.parametrize("moves", [False, True], ids=["values", "with a flip"])
def test_values_equal_numpy_for_any_channels(dtype, channels, moves):
    x = values(dtype, (2, HEIGHT, WIDTH, channels))
    whole = whole_of(dtype)
    source, first = bs.open(x), [bs.Flip(1.0)] if moves else []
    start = (x[:, :, ::-1] if moves else x).astype(np.float64)
    factor = {"u1": 1 / 255, "u2": 1 / 65535, "i2": 1 / 65536, "f4": 1.0}[dtype]
    offset = 0.5 if dtype == "i2" else 0.0
    unit = start * factor + offset
    of_each, mean, std = numbered(channels)
    alpha = alpha_of(dtype, x, None)
    is_alpha = np.arange(channels) == (3 if alpha else -1)

    def expect(changed, kept):
        """Return ``changed``, or ``kept`` for alpha."""
        return np.where(is_alpha, kept, changed)

    data_mean, data_std = x.mean((0, 1, 2), np.float64), x.astype(np.float64).std((0, 1, 2))
    steps = [
        ([bs.Scale(2.5, -3)], expect(start * 2.5 - 3, start * 2.5)),
        ([bs.Normalize("data")], expect((start - data_mean) / data_std, start / whole)),
        ([bs.Scale(factor, offset), of_each], (unit - mean) / std),
        ([bs.Scale(factor, offset), bs.Normalize(0.4, 0.2)], expect((unit - 0.4) / 0.2, unit)),
        ([bs.Brightness((1.3, 1.3))], expect(start * 1.3, start)),
        ([bs.Scale(factor, offset), bs.Contrast((0.6, 0.6))], expect((unit - 0.5) * 0.6 + 0.5, unit)),
    ]
    if dtype == "u1":
        steps.append(([of_each], (start / 255 - mean) / std))
        steps.append(([bs.Contrast((0.6, 0.6))], expect((start - 127.5) * 0.6 + 127.5, start)))
    for transforms, expected in steps:
        for layout in ("HWC", "CHW"):
            for target in (None, "float32", "float16"):
                if target == "float16" and np.abs(expected).max() > 6e4:
                    continue
                got = loaded(source, [*first, *transforms], layout=layout, dtype=target)["x"]
                check(got if layout == "HWC" else got.transpose(0, 2, 3, 1), expected, got.dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("channels", CHANNELS)
def test_pairs_are_mixed_for_any_channels(dtype, channels):
    x = values(dtype, (2, HEIGHT, WIDTH, channels))
    for layout in ("HWC", "CHW"):
        mixed = loaded(bs.open(x, [0, 1]), [bs.MixUp(1.0)], layout=layout)
        got, share = mixed["x"] if layout == "HWC" else mixed["x"].transpose(0, 2, 3, 1), mixed["y"][0, 0]
        check(
            got,
            np.stack([share * x[0] + (1 - share) * x[1].astype(float), share * x[1] + (1 - share) * x[0].astype(float)]),
            dtype,
        )
        cut = loaded(bs.open(x, [0, 1]), [bs.CutMix()], layout=layout)
        got = cut["x"] if layout == "HWC" else cut["x"].transpose(0, 2, 3, 1)
        own = (got[0] == x[0]).all(axis=-1)
        assert np.where(own[..., None], got[1] == x[1], (got[0] == x[1]) & (got[1] == x[0])).all()
        assert own.mean() == pytest.approx(cut["y"][0, 0], abs=0.02)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    "transform",
    [bs.Hue(), bs.Saturation(), bs.Grayscale(), bs.ColorMatrix((1, 0, 0, 0) * 3), bs.ColorJitter(hue=0.1)],
    ids=str,
)
def test_transforms_of_colors_need_colors(transform, dtype):
    for channels in (1, 2, 5, 10):
        with pytest.raises(BadSetting, match=f"red, green and blue, not {channels} channel"):
            loaded(bs.open(values(dtype, (2, HEIGHT, WIDTH, channels))), [transform])
    for channels in (3, 4):
        loaded(bs.open(values(dtype, (2, HEIGHT, WIDTH, channels))), [transform])


@pytest.mark.parametrize("dtype", DTYPES)
def test_colors_of_any_dtype_are_mixed_beside_alpha(dtype):
    for channels in (3, 4):
        x = values(dtype, (2, HEIGHT, WIDTH, channels))
        gray = x[..., :3].astype(float) @ (0.299, 0.587, 0.114)
        for transforms, steep in (([bs.Grayscale()], 1.0), ([bs.Flip(1.0), bs.Grayscale()], 1.0)):
            expected = x.astype(float)
            expected[..., :3] = gray[..., None]
            check(
                loaded(bs.open(x), transforms)["x"], expected[:, :, ::-1] if len(transforms) > 1 else expected, dtype, steep
            )


def test_four_bands_are_not_colors_with_alpha():
    x = values("u2", (2, HEIGHT, WIDTH, 4))
    with pytest.raises(BadSetting, match="independent channels"):
        loaded(bs.open(x), [bs.Scale(1 / 65535), bs.Normalize((0.5,) * 4, (0.2,) * 4), bs.Hue()])
    # Three means say that the fourth channel is alpha.
    got = loaded(bs.open(x), [bs.Scale(1 / 65535), bs.Normalize((0.5,) * 3, (0.2,) * 3)])["x"]
    np.testing.assert_allclose(got[..., 3], x[..., 3] / 65535, rtol=1e-6)
    # Four fill values say that none of four 8-bit channels is alpha.
    got = loaded(bs.open(values("u1", (2, 4, 4, 4))), [bs.CenterCrop(6, fill=(1, 2, 3, 4)), bs.Brightness((2, 2))])["x"]
    assert got[0, 0, 0].tolist() == [2, 4, 6, 8]
