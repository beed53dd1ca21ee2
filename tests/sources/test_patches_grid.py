"""The places of patches: all pixels are in a patch, and neighbors share a block."""

import itertools
import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from bitesize.sources.patches.grid import Grid, Scattered, count, tiles_of

AXIS = st.tuples(st.integers(1, 12), st.integers(1, 15), st.integers(0, 40), st.integers(1, 5), st.integers(1, 20))


def grid_of(axes):
    """A grid of axes (size, stride, pixels beyond the size, patches of a block, tile)."""
    size, stride, more, block, _ = zip(*axes, strict=True)
    return Grid(tuple(s + m for s, m in zip(size, more, strict=True)), size, stride, block)


@given(st.lists(AXIS, min_size=2, max_size=3))
def test_every_patch_of_the_grid_has_one_number(axes):
    grid = grid_of(axes)
    indices = grid.indices(np.arange(len(grid)))
    assert {tuple(each) for each in indices.tolist()} == set(np.ndindex(grid.counts))


@given(st.lists(AXIS, min_size=2, max_size=3))
def test_patches_lie_inside_and_cover_all_pixels_that_a_stride_does_not_skip(axes):
    grid = grid_of(axes)
    places = grid.places(np.arange(len(grid)))
    for axis, (size, stride, more, _, _) in enumerate(axes):
        begins = np.unique(places[:, axis])
        assert begins[0] == 0
        assert begins[-1] == more
        assert np.diff(begins).max(initial=0) <= stride
        assert len(begins) == count(size + more, size, stride)


@given(st.lists(AXIS, min_size=2, max_size=3))
def test_the_patches_of_a_block_are_neighbors(axes):
    grid = grid_of(axes)
    starts = [*grid.starts().tolist(), len(grid)]
    assert len(starts) - 1 == math.prod(-(-n // b) for n, b in zip(grid.counts, grid.block, strict=True))
    for first, stop in itertools.pairwise(starts):
        blocks = grid.indices(np.arange(first, stop)) // np.array(grid.block)
        assert (blocks == blocks[0]).all()


@given(st.lists(AXIS, min_size=2, max_size=3))
def test_a_band_is_all_blocks_beside_each_other_along_the_last_axis(axes):
    grid = grid_of(axes)
    assert set(grid.swaths().tolist()) <= set(grid.starts().tolist())
    for first, stop in itertools.pairwise([*grid.swaths().tolist(), len(grid)]):
        indices = grid.indices(np.arange(first, stop))
        assert set(indices[:, -1].tolist()) == set(range(grid.counts[-1]))
        blocks = indices[:, :-1] // np.array(grid.block[:-1])
        assert (blocks == blocks[0]).all()


@given(st.lists(AXIS, min_size=2, max_size=3), st.integers(1, 50), st.integers(0, 5))
def test_random_places_lie_inside_and_depend_on_the_seed_only(axes, n, seed):
    shape, size, cell = (tuple(a[0] + a[2] for a in axes), tuple(a[0] for a in axes), tuple(a[4] for a in axes))
    places = Scattered(shape, size, cell, seed, 0, n).places(np.arange(n))
    assert (places >= 0).all()
    assert (places + np.array(size) <= np.array(shape)).all()
    assert (places == Scattered(shape, size, cell, seed, 0, n).places(np.arange(n))).all()


@given(st.lists(AXIS, min_size=2, max_size=3))
def test_tiles_of_a_patch_are_all_that_it_touches(axes):
    grid = grid_of(axes)
    tile = tuple(axis[-1] for axis in axes)
    places = grid.places(np.arange(min(len(grid), 20)))
    tiles, patches = tiles_of(places, grid.size, tile)
    for i, first in enumerate(places.tolist()):
        expected = {
            tuple(pixel // t for pixel, t in zip(corner, tile, strict=True))
            for corner in np.ndindex(*grid.size)
            for corner in [tuple(a + b for a, b in zip(first, corner, strict=True))]
        }
        assert {tuple(each) for each in tiles[patches == i].tolist()} == expected
