"""Polygons: pixels whose centers are inside, by the even-odd rule."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from bitesize.sources import shapes
from bitesize.sources.shapes import fill_polygon

corner = st.tuples(st.integers(-20, 60), st.integers(-20, 60))


def inside(points, height, width):
    """Return which centers are inside, pixel by pixel: a line to the left crosses an odd number of edges."""
    x, y = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    odd = np.zeros((height, width), np.bool_)
    for (x0, y0), (x1, y1) in zip(points, np.roll(points, -1, axis=0), strict=True):
        if y0 == y1:
            continue
        crosses = (np.minimum(y0, y1) <= y) & (y < np.maximum(y0, y1))
        odd ^= crosses & (x0 + (y - y0) / (y1 - y0) * (x1 - x0) <= x)
    return odd


@given(corners=st.lists(corner, min_size=3, max_size=9))
def test_exactly_the_centers_inside_are_filled(corners):
    points = np.array(corners) + np.array([0.123, 0.271])  # no center is on an edge
    out = np.zeros((31, 40), np.uint8)
    fill_polygon(points, 5, out)
    np.testing.assert_array_equal(out == 5, inside(points, 31, 40))


def test_large_polygons_are_filled_in_bands(monkeypatch):
    points = np.random.default_rng(0).uniform(-10, 110, (50, 2))
    whole, bands = np.zeros((100, 100), np.uint8), np.zeros((100, 100), np.uint8)
    fill_polygon(points, 1, whole)
    monkeypatch.setattr(shapes, "_CROSSINGS", 150)
    fill_polygon(points, 1, bands)
    assert whole.any()
    np.testing.assert_array_equal(bands, whole)
