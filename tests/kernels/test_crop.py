"""Parts of images that move by whole pixels: they are the pixels of NumPy's slices, and one pass gives the bits of two."""

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.kernels.drawing import draw
from tests.properties import examples

import bitesize as bs
from bitesize.kernels.crop import crop_reference
from bitesize.kernels.filters import BICUBIC, BILINEAR
from bitesize.transforms.render import most_values, plan_render
from bitesize.transforms.view import View

CHANNELS = [1, 2, 3, 4, 5, 10]
# Sizes around the eight pixels and sixteen lines that are computed together, and the extremes.
sides = st.sampled_from([1, 2, 3, 7, 8, 9, 15, 16, 17, 23, 33])
read_types = st.sampled_from(["u1", "i1", "u2", "i2", "i4", "u8", "f4", "f8"])


def noise(seed, height, width, channels, dtype="u1"):
    return (np.random.default_rng(seed).random((height, width, channels)) * 127).astype(dtype)


def new_view(width, height, channels):
    view = View(width, height)
    if channels not in (1, 3, 4):
        view.spread(channels)
    return view


def colored(view, channels, seed, mixes=False):
    """Apply some colors: to each channel by itself, or mixed."""
    random = np.random.default_rng(seed)
    if mixes and channels in (3, 4):
        view.paint(tuple(random.normal(size=12)))
    elif view.gains is not None:
        view.per_channel(tuple(random.normal(size=channels)), tuple(random.normal(size=channels)))
    else:
        view.per_channel(tuple(random.normal(size=3)), tuple(random.normal(size=3)))
        view.alpha *= random.normal()
    return view


def moved(view, way, crop):
    """Crop, turn and mirror a view."""
    if crop:
        view.crop(*crop)
    view.turn(way % 4)
    if way >= 4:
        view.mirror()
    return view


def moved_pixels(pixels, way, crop, fill):
    """Crop, turn and mirror pixels, with a fill value around them."""
    if crop:
        left, top, width, height = crop
        room = 60
        padded = np.full((pixels.shape[0] + 2 * room, pixels.shape[1] + 2 * room, pixels.shape[2]), fill, pixels.dtype)
        padded[room:-room, room:-room] = pixels
        if pixels.shape[2] == 4:
            alpha = np.zeros(padded.shape[:2], pixels.dtype)
            alpha[room:-room, room:-room] = pixels[..., 3]
            padded[..., 3] = alpha
        pixels = padded[top + room : top + room + height, left + room : left + room + width]
    pixels = np.rot90(pixels, way % 4)
    return pixels[:, ::-1] if way >= 4 else pixels


crops = st.none() | st.tuples(st.integers(-9, 20), st.integers(-9, 20), sides, sides)


@examples(300)
@given(st.integers(0, 2**32), sides, sides, st.sampled_from(CHANNELS), read_types, crops, st.integers(0, 7), st.booleans())
def test_crops_flips_and_turns_are_those_of_numpy(seed, height, width, channels, dtype, crop, way, chw):
    pixels = noise(seed, height, width, channels, dtype)
    view = new_view(width, height, channels)
    view.fill = (9.0,) * (3 if view.gains is None else channels)
    moved(view, way, crop)
    assert plan_render(view, width, height, channels).kernel == "crop"
    assert np.array_equal(draw(pixels, view, chw=chw), moved_pixels(pixels, way, crop, 9).astype(np.float32))


@examples(100)
@given(st.integers(0, 2**32), sides, sides, st.sampled_from(CHANNELS), st.integers(0, 7), st.booleans())
def test_colors_are_those_of_the_reference(seed, height, width, channels, way, chw):
    pixels = noise(seed, height, width, channels)
    view = colored(moved(new_view(width, height, channels), way, None), channels, seed)
    if view.gains is not None:
        colors = np.array([view.gains, view.offsets], np.float32)
    else:
        c = view.color
        colors = np.array([(c[0], c[5], c[10], view.alpha)[:channels], (c[3], c[7], c[11], 0.0)[:channels]], np.float32)
    expected = np.zeros(np.rot90(pixels, way % 4).shape)
    crop_reference(pixels, colors.reshape(-1), way % 4, way >= 4, expected)
    np.testing.assert_allclose(draw(pixels, view, chw=chw), expected, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("channels", CHANNELS)
@pytest.mark.parametrize("chw", [False, True])
@pytest.mark.parametrize("dtype", ["u1", "u2", "i2", "i4", "f2", "bfloat16", "f8"])
def test_every_type_of_batch_is_float32_rounded_to_it(channels, chw, dtype):
    dtype = np.dtype(ml_dtypes.bfloat16 if dtype == "bfloat16" else dtype)
    pixels = noise(3, 33, 41, channels)
    limits = (float(np.iinfo(dtype).min), float(np.iinfo(dtype).max)) if dtype.kind in "iu" else (0.0, 0.0)
    for way in range(8):
        view = colored(moved(new_view(41, 33, channels), way, (3, 2, 30, 31)), channels, 5)
        expected = draw(pixels, view).astype(np.float64)
        if dtype.kind in "iu":
            expected = np.clip(np.floor(expected + 0.5), *limits)
        assert np.array_equal(draw(pixels, view, limits, dtype, chw), expected.astype(dtype)), way


@examples(60)
@given(st.integers(0, 2**32), sides, sides, st.sampled_from(CHANNELS), st.integers(0, 7), st.booleans())
def test_erased_rectangles_hide_what_is_behind(seed, height, width, channels, way, chw):
    pixels = noise(seed, height, width, channels)
    view = moved(new_view(width, height, channels), way, None)
    expected = moved_pixels(pixels, way, None, 0).astype(np.float32)
    view.erase(1, 2, 5, 3, (7.0,) * 3)
    expected[2:5, 1:6] = ([7.0] * 3 + [0.0])[:channels] if channels <= 4 and view.gains is None else 7.0
    assert np.array_equal(draw(pixels, view, chw=chw), expected)


@examples(200)
@given(
    st.integers(0, 2**32), sides, sides, sides, sides, st.sampled_from(CHANNELS), st.sampled_from(["u1", "u2", "f4"]),
    st.sampled_from([BILINEAR, BICUBIC]), crops, st.integers(0, 7), st.integers(1, 8), st.booleans()
)  # fmt: skip
def test_a_resized_image_and_a_crop_of_it_have_the_same_bits(
    seed, height, width, out_h, out_w, channels, dtype, kind, crop, way, orientation, chw
):
    pixels = noise(seed, height, width, channels, dtype)
    upright = (height, width) if orientation >= 5 else (width, height)

    def resized():
        view = new_view(*upright, channels)
        view.rescale(out_w, out_h)
        view.kind = kind
        view.fill = (9.0,) * (3 if view.gains is None else channels)
        return view

    def drawn(view):
        view.to_stored(orientation, width, height, 1.0)
        return draw(pixels, view, chw=chw)

    whole = drawn(resized())
    assert np.array_equal(drawn(moved(resized(), way, crop)), moved_pixels(whole, way, crop, 9.0))


@examples(200)
@given(
    st.integers(0, 2**32), sides, sides, sides, sides, st.sampled_from(CHANNELS), st.sampled_from(["u1", "u2", "f4"]),
    st.integers(0, 7), st.booleans(), st.booleans()
)  # fmt: skip
def test_colors_in_the_same_pass_and_afterwards_give_the_same_bits(
    seed, height, width, out_h, out_w, channels, dtype, way, mixes, chw
):
    pixels = noise(seed, height, width, channels, dtype)
    view = new_view(width, height, channels)
    view.rescale(out_w, out_h)
    moved(view, way, None)
    plain = draw(pixels, view)
    afterwards = colored(new_view(view.width, view.height, channels), channels, seed, mixes)
    assert plan_render(afterwards, plain.shape[1], plain.shape[0], channels).kernel == "crop"
    expected = draw(plain, afterwards, chw=chw)
    assert np.array_equal(draw(pixels, colored(view, channels, seed, mixes), chw=chw), expected)


def first_batch(rows, transforms, **options):
    with bs.Loader(
        bs.open(rows), batch_size=len(rows), transforms=transforms, shuffle=False, memory="32 MiB", **options
    ) as loader:
        return np.array(next(iter(loader))["x"])


@pytest.mark.parametrize("layout", ["HWC", "CHW"])
@pytest.mark.parametrize("steps", [[], [bs.CenterCrop((17, 21))], [bs.CenterCrop((17, 21)), bs.Rotate90((1,))]])
def test_rows_that_are_resized_first_and_those_that_are_resized_in_one_pass_give_the_same_batches(layout, steps):
    rows = np.stack([noise(i, 50, 61, 3) for i in range(4)])
    scale = bs.Scale(1 / 127.5, -1.0)
    resized = first_batch(rows, [bs.Resize((32, 40))], dtype="float32")
    expected = first_batch(rows, [bs.Resize((32, 40)), *steps, scale], layout=layout)
    assert np.array_equal(first_batch(resized, [*steps, scale], layout=layout), expected)


def test_rows_of_one_bite_keep_their_own_crops_and_colors():
    rows = np.stack([noise(i, 20, 30, 3) for i in range(12)])
    steps = [bs.RandomCrop((9, 11), padding=2), bs.Flip(0.5, 0.5), bs.Grayscale(0.5), bs.Scale(1 / 255)]
    together = first_batch(rows, steps, seed=3)
    with bs.Loader(bs.open(rows), batch_size=1, transforms=steps, shuffle=False, seed=3, memory="32 MiB") as loader:
        alone = np.concatenate([np.array(batch["x"]) for batch in loader])
    assert np.array_equal(together, alone)


@examples(100)
@given(
    sides, sides, sides, sides, st.sampled_from(CHANNELS), st.floats(0, 1), st.floats(0.05, 1), st.integers(0, 7),
    st.sampled_from([BILINEAR, BICUBIC])
)  # fmt: skip
def test_no_view_needs_more_scratch_than_the_most(height, width, out_h, out_w, channels, where, part, way, kind):
    if way % 2 and out_h != out_w:
        way -= 1
    view = new_view(width, height, channels)
    view.crop(where * width * (1 - part), where * height * (1 - part), part * width, part * height)
    view.rescale(out_w, out_h)
    view.kind = kind
    moved(view, way, None)
    assert plan_render(view, width, height, channels).scratch <= most_values(width, height, channels, out_w, out_h)
