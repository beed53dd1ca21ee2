"""Slanted pixels against the reference, Pillow and geometry."""

import math

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from PIL import Image
from tests.conftest import noise
from tests.kernels.drawing import draw
from tests.properties import examples

from bitesize.kernels.filters import BICUBIC, BILINEAR, NEAREST
from bitesize.kernels.warp import warp_reference
from bitesize.transforms.render import plan_render
from bitesize.transforms.view import View

numbers = st.floats(-1.5, 1.5)


def on_an_edge(view, drawing, out_h, out_w):
    """Output pixels with a point on the edge between two source pixels: it falls to either, as sums are rounded."""
    y, x = np.mgrid[:out_h, :out_w]
    edge = np.zeros((out_h, out_w), bool)
    for i, j in np.ndindex(drawing.x, drawing.y):
        px, py = x + (i + 0.5) / drawing.x, y + (j + 0.5) / drawing.y
        for at in (view.a * px + view.b * py + view.c, view.d * px + view.e * py + view.f):
            edge |= np.abs(at - np.round(at)) < 1e-9
    return edge


@examples(80)
@example(0, 0.0, 0.75, 0.5, 0.15625, NEAREST, 1, 3, 11)
@example(0, 0.0, 1.0, 1.0, 0.0, BILINEAR, 1, 1, 1)
@given(
    st.integers(0, 2**32), numbers, numbers, numbers, numbers, st.sampled_from([BILINEAR, BICUBIC, NEAREST]),
    st.sampled_from([1, 3, 4]), st.integers(1, 20), st.integers(1, 20)
)  # fmt: skip
def test_the_kernel_is_its_reference(seed, xx, xy, yx, yy, kind, channels, out_h, out_w):
    if abs(xx * yy - xy * yx) < 0.1:
        return
    pixels = np.random.default_rng(seed).integers(0, 256, (11, 14, channels), np.uint8)
    view = View(14, 11)
    view.rescale(out_w, out_h)
    view.bend(xx, xy + 1e-3, yx + 1e-3, yy)
    view.kind = kind
    view.fill = (9.0, 99.0, 199.0)
    if (view.a, view.e) == (0, 0) or (view.b, view.d) == (0, 0):
        return  # quarter turns are the other kernel's
    drawing = plan_render(view, 14, 11, channels)
    assert drawing.kernel == "warp"
    expected = np.zeros((out_h, out_w, channels))
    fill = np.array([9, 99, 199, 0][:channels], np.float32)
    warp_reference(pixels, (view.a, view.b, view.c, view.d, view.e, view.f), kind, (drawing.x, drawing.y), fill, expected)
    got = draw(pixels, view)
    if kind == NEAREST:
        ties = on_an_edge(view, drawing, out_h, out_w)
        got[ties] = expected[ties]
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=0.05)


@pytest.mark.parametrize("degrees", [-170, -45, -3, 10, 30, 90, 200])
@pytest.mark.parametrize(("kind", "filter_"), [(BILINEAR, Image.Resampling.BILINEAR), (NEAREST, Image.Resampling.NEAREST)])
def test_rotation_is_pillows_inside_the_image(degrees, kind, filter_):
    pixels = noise(61, 61)
    view = View(61, 61)
    angle = math.radians(degrees)
    view.bend(math.cos(angle), math.sin(angle), -math.sin(angle), math.cos(angle))
    view.kind = kind
    expected = np.asarray(Image.fromarray(pixels).rotate(degrees, filter_)).astype(float)
    y, x = np.mgrid[:61, :61] - 30
    inside = np.hypot(x, y) < 28
    off = np.abs(draw(pixels, view) - expected).max(axis=-1)[inside]
    assert off.max() <= 2 if kind == BILINEAR else np.mean(off > 1) < 0.02  # a tie may fall to either neighbor


@examples(40)
@given(st.floats(1.0, 12.0), st.floats(0.1, 80.0))
def test_shrinking_while_turning_is_antialiased(shrink, degrees):
    # A checkerboard is gray from far away; without antialiasing it would be black and white noise.
    pixels = np.indices((240, 240)).sum(axis=0)[..., None].astype(np.uint8) % 2 * 255
    view = View(240, 240)
    angle = math.radians(degrees)
    view.bend(math.cos(angle), math.sin(angle), -math.sin(angle), math.cos(angle))
    view.crop(60, 60, 120, 120)
    size = max(1, round(120 / shrink))
    view.rescale(size, size)
    if shrink >= 3:
        assert np.abs(draw(pixels, view) - 127.5).max() < 60


def test_what_is_around_the_image_is_blended_at_its_edge():
    pixels = np.full((10, 10, 3), 100, np.uint8)
    view = View(10, 10)
    view.bend(math.cos(0.6), math.sin(0.6), -math.sin(0.6), math.cos(0.6))
    view.fill = (200.0, 0.0, 50.0)
    out = draw(pixels, view)
    np.testing.assert_allclose(out[0, 0], view.fill)
    np.testing.assert_allclose(out[5, 5], 100, rtol=1e-5)
    assert out[..., 0].min() >= 99.99
    assert out[..., 1].max() <= 100.01
