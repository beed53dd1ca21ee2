"""The kernels against their NumPy references and against Pillow."""

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from tests.kernels.drawing import draw
from tests.properties import examples

import bitesize as bs
from bitesize.kernels.cast import cast_rows_reference
from bitesize.kernels.filters import BICUBIC, BILINEAR
from bitesize.kernels.resample import resample_reference
from bitesize.kernels.store import brain_bits, half_bits
from bitesize.transforms.view import View

PILLOW = {BILINEAR: Image.Resampling.BILINEAR, BICUBIC: Image.Resampling.BICUBIC}
sizes = st.integers(1, 60)


@examples(300)
@given(
    st.integers(0, 2**32),
    sizes,
    sizes,
    sizes,
    sizes,
    st.sampled_from([1, 3, 4]),
    st.sampled_from([BILINEAR, BICUBIC]),
    st.data(),
)
def test_resizing_a_box_is_pillows_within_one_level(seed, height, width, out_h, out_w, channels, kind, data):
    random = np.random.default_rng(seed)
    pixels = random.integers(0, 256, (height, width, channels), np.uint8)
    x0 = data.draw(st.floats(0, width - 0.5))
    y0 = data.draw(st.floats(0, height - 0.5))
    x1 = data.draw(st.floats(x0 + 0.4, width))
    y1 = data.draw(st.floats(y0 + 0.4, height))
    view = View(width, height)
    view.crop(x0, y0, x1 - x0, y1 - y0)
    view.rescale(out_w, out_h)
    view.kind = kind
    expected = np.stack(
        [
            np.asarray(
                Image.fromarray(pixels[..., c]).convert("F").resize((out_w, out_h), PILLOW[kind], box=(x0, y0, x1, y1))
            )
            for c in range(channels)
        ],
        axis=-1,
    )
    np.testing.assert_allclose(draw(pixels, view), expected, atol=0.05)
    rounded = draw(pixels, view, (0.0, 255.0), np.uint8)
    assert np.abs(rounded - np.clip(expected, 0, 255)).max() <= 1


@examples(60)
@given(st.integers(0, 2**32), sizes, sizes, sizes, sizes, st.sampled_from(["u1", "u2", "f4", "f8", "i4"]), st.booleans())
def test_the_kernel_is_its_reference(seed, height, width, out_h, out_w, dtype, bicubic):
    random = np.random.default_rng(seed)
    pixels = (random.random((height, width, 3)) * 200).astype(dtype)
    view = View(width, height)
    view.rescale(out_w, out_h)
    view.kind = BICUBIC if bicubic else BILINEAR
    view.paint(tuple(random.normal(size=12)))
    expected = np.zeros((out_h, out_w, 3))
    color = np.array(view.color, np.float32).reshape(3, 4)
    resample_reference(pixels, (0, 0, width, height), BICUBIC if bicubic else BILINEAR, color, 1.0, expected)
    np.testing.assert_allclose(draw(pixels, view), expected, rtol=1e-4, atol=0.02)


@examples(60)
@given(st.integers(0, 2**32), st.booleans(), st.booleans(), st.booleans())
def test_flips_before_and_after_resizing_are_flips_of_the_pixels(seed, mirror, upend, before):
    pixels = np.random.default_rng(seed).integers(0, 256, (13, 17, 3), np.uint8)
    view = View(17, 13)
    if not before:
        view.rescale(9, 7)
    if mirror:
        view.mirror()
    if upend:
        view.upend()
    if before:
        view.rescale(9, 7)
    plain = View(17, 13)
    plain.rescale(9, 7)
    expected = draw(pixels, plain)
    expected = expected[:, ::-1] if mirror else expected
    expected = expected[::-1] if upend else expected
    np.testing.assert_allclose(draw(pixels, view), expected, atol=1e-3)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_exif_orientation_is_what_pillow_makes_of_it(orientation):
    from PIL import ImageOps

    stored = np.arange(5 * 7 * 3, dtype=np.uint8).reshape(5, 7, 3)
    image = Image.fromarray(stored)
    image.getexif()[0x0112] = orientation
    upright = np.asarray(ImageOps.exif_transpose(image))
    view = View(upright.shape[1], upright.shape[0])
    view.to_stored(orientation, 7, 5, 1.0)
    assert np.array_equal(draw(stored, view, (0.0, 255.0), np.uint8), upright)


@pytest.mark.parametrize(
    ("height", "width", "out_h", "out_w"), [(1, 1, 5, 3), (1, 900, 7, 2), (900, 1, 2, 7), (3, 3, 400, 1)]
)
def test_extreme_shapes(height, width, out_h, out_w):
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    view = View(width, height)
    view.rescale(out_w, out_h)
    expected = np.asarray(Image.fromarray(pixels).resize((out_w, out_h), Image.Resampling.BILINEAR)).astype(float)
    assert np.abs(draw(pixels, view) - expected).max() <= 1


@examples(100)
@given(st.integers(0, 2**32), sizes, sizes, st.sampled_from([1, 3, 4]), st.booleans(), st.integers(0, 7), st.booleans())
def test_layout_flips_and_turns_only_move_pixels(seed, out_h, out_w, channels, chw, way, mixes):
    pixels = np.random.default_rng(seed).integers(0, 256, (19, 23, channels), np.uint8)

    def view():
        made = View(23, 19)
        made.rescale(out_w, out_h)
        if mixes and channels > 1:
            made.paint(tuple(np.random.default_rng(seed).normal(size=12).tolist()))
        return made

    turned = view()
    turned.turn(way % 4)
    expected = np.rot90(draw(pixels, view()), way % 4)
    if way >= 4:
        turned.mirror()
        expected = expected[:, ::-1]
    np.testing.assert_allclose(draw(pixels, turned, chw=chw), expected, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("shape", [(224, 224), (97, 131), (1, 1)])
@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16])
@pytest.mark.parametrize("chw", [False, True])
def test_short_floats_are_float32_rounded_to_the_nearest(shape, dtype, chw):
    pixels = np.random.default_rng(0).integers(0, 256, (40, 50, 3), np.uint8)

    def view():
        made = View(50, 40)
        made.rescale(shape[1], shape[0])
        made.per_channel((1e-7, 1.0, 1e5), (-1e-5, -100.0, 0.0))  # tiny, usual, and beyond float16
        return made

    with np.errstate(over="ignore"):
        expected = draw(pixels, view()).astype(dtype)
    assert np.array_equal(draw(pixels, view(), dtype=dtype, chw=chw), expected)


@examples(300)
@given(st.integers(0, 2**32 - 1))
def test_rounding_to_short_floats_is_numpys_for_any_bits(bits):
    value = np.array([bits], np.uint32).view(np.float32)
    with np.errstate(over="ignore", invalid="ignore"):
        half, brain = value.astype(np.float16)[0], value.astype(ml_dtypes.bfloat16)[0]
    mine_half = np.array([half_bits(np.uint32(bits))], np.uint16).view(np.float16)[0]
    mine_brain = np.array([brain_bits(np.uint32(bits))], np.uint16).view(ml_dtypes.bfloat16)[0]
    assert mine_half == half or (np.isnan(mine_half) and np.isnan(half))
    assert mine_brain == brain or (np.isnan(mine_brain) and np.isnan(brain))


def test_four_bytes_of_a_line_that_nobody_drew_are_never_stored():
    pixels = np.full((5, 5, 3), 200, np.uint8)
    for size in (1, 2, 3, 5, 8, 9):
        view = View(5, 5)
        view.rescale(size, size)
        np.testing.assert_allclose(draw(pixels, view), 200, rtol=1e-5)


@examples(100)
@given(
    st.sampled_from(
        ["u1 f4", "u1 u1", "u1 f2", "i2 f4", "f4 f4", "f4 u1", "f8 f4", "f8 f2", "u8 f4", "i4 f8", "f4 i8", "u8 f2"]
    ),
    st.sampled_from([(), (700,), (20, 30, 1), (20, 30, 3), (20, 30, 4)]),
    st.booleans(),
    st.booleans(),
    st.integers(0, 2**32),
)
def test_casting_rows_is_its_reference(types, shape, chw, plain, seed):
    before, after = types.split()
    random = np.random.default_rng(seed)
    source = (random.random((3, *shape)) * 250).astype(before)
    colors = [] if plain else [bs.Scale(random.random() + 0.1, random.normal())]
    alpha = len(shape) == 3 and shape[2] == 4 and before == "u1"  # other types have four bands
    layout = "CHW" if chw else "HWC"
    with bs.Loader(
        bs.open(source), batch_size=3, transforms=colors, dtype=after, layout=layout, shuffle=False, memory="8 MiB"
    ) as loader:
        out = next(iter(loader))["x"]
    expected = np.zeros(source.shape, after).reshape(3, -1, 1)
    limits = (0.0, 0.0) if after[0] == "f" else (float(np.iinfo(after).min), float(np.iinfo(after).max))
    factor, offset = (1.0, 0.0) if plain else (colors[0].factor, colors[0].offset)
    channels = 4 if alpha else 1  # alpha is multiplied, and nothing added
    cast_rows_reference(
        source.reshape(3, -1, channels), np.full((1, channels), factor), np.array([[offset] * 3 + [0.0]])[:, :channels], limits,
        expected.reshape(3, -1, channels),
    )  # fmt: skip
    expected = expected.reshape(source.shape)
    expected = expected.transpose(0, 3, 1, 2) if chw and len(shape) == 3 else expected
    # A value that falls between two integers, or two float16, may go to either: factors are rounded to float32.
    np.testing.assert_allclose(out, expected, rtol=2e-3 if after == "f2" else 1e-5, atol=1 if after[0] != "f" else 1e-4)
