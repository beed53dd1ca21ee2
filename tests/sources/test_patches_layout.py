"""How patches are read: the reads per tile that are promised are those that are made."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import bitesize as bs
from bitesize.sources.patches.grid import Grid, Scattered, tiles_of
from bitesize.sources.patches.layout import Tile, block_tiles, cell_tiles, choose_block, choose_cells, choose_grid

tifffile = pytest.importorskip("tifffile")
pytest.importorskip("imagecodecs")

# Size, stride, pixels beyond the size, (unused), tile.
AXIS = st.tuples(st.integers(1, 12), st.integers(1, 15), st.integers(0, 40), st.just(0), st.integers(1, 20))


def tiles_in(layout, first, stop, tile):
    """The tiles that the patches of some rows touch."""
    return np.unique(tiles_of(layout.places(np.arange(first, stop)), layout.size, tile)[0], axis=0)


@given(st.lists(AXIS, min_size=2, max_size=2), st.integers(1, 30))
@example([(1, 1, 1, 0, 1), (1, 1, 2, 0, 1)], 5)
def test_the_reads_that_a_block_promises_are_those_that_are_made(axes, most):
    size, stride, more, _, tile = zip(*axes, strict=True)
    shape = tuple(s + m for s, m in zip(size, more, strict=True))
    block, promised = choose_block(shape, size, stride, [tile], most)
    grid = Grid(shape, size, stride, block)
    starts = [*grid.starts().tolist(), len(grid)]
    # A stride larger than a tile skips tiles within a block, so fewer are read than the block spans.
    read = 0
    for first, stop in itertools.pairwise(starts):
        tiles, _ = tiles_of(grid.places(np.arange(first, stop)), grid.size, tile)
        read += len(np.unique(tiles, axis=0))
    total = math.prod(-(-n // t) for n, t in zip(grid.shape, tile, strict=True))
    assert math.prod(block) <= max(1, most)
    if all(stride <= size for size, stride, *_ in axes):
        assert math.isclose(read / total, promised)
    else:
        assert read / total <= promised + 1e-9


@given(st.lists(AXIS, min_size=2, max_size=3), st.integers(10, 2_000), st.integers(1, 20))
def test_blocks_and_bands_promise_the_reads_that_are_made(axes, most, row):
    size, shape, tile = (tuple(a[0] for a in axes), tuple(a[0] + a[2] for a in axes), tuple(a[4] for a in axes))
    stride = tuple(min(a[0], a[1]) for a in axes)
    extent, promised, streams = choose_grid(shape, size, stride, [Tile(tile, math.prod(tile))], row, most)
    grid = Grid(shape, size, stride, extent)
    together = grid.swaths() if streams else grid.starts()
    edges = [*together.tolist(), len(grid)]
    read = sum(len(tiles_in(grid, first, stop, tile)) for first, stop in itertools.pairwise(edges))
    assert math.isclose(read / math.prod(-(-n // t) for n, t in zip(shape, tile, strict=True)), promised)
    of_block = math.prod(block_tiles(shape, size, stride, tile, extent))
    blocks = itertools.pairwise([*grid.starts().tolist(), len(grid)])
    assert of_block >= max(len(tiles_in(grid, first, stop, tile)) for first, stop in blocks)
    if streams:
        assert streams * (of_block * math.prod(tile) + math.prod(extent) * row) <= 2 * most


@given(st.lists(AXIS, min_size=2, max_size=2), st.integers(1, 300), st.integers(20, 3_000))
def test_a_cell_of_random_places_touches_no_more_tiles_than_promised(axes, n, most):
    size, shape, tile = (tuple(a[0] for a in axes), tuple(a[0] + a[2] for a in axes), tuple(a[4] for a in axes))
    cell = choose_cells(shape, size, n, [Tile(tile, math.prod(tile))], 1, most).extent
    places = Scattered(shape, size, cell, 0, 0, n)
    for first, stop in itertools.pairwise([*places.starts().tolist(), n]):
        assert len(tiles_in(places, first, stop, tile)) <= cell_tiles(cell, size, tile)
    assert set(places.swaths().tolist()) <= set(places.starts().tolist())


CASES = {
    "256 at 128 of tiles of 256": (64, 64, {"stride": 32}),
    "256 at 128 of tiles of 512": (128, 64, {"stride": 32}),
    "224 at 112 of tiles of 256": (64, 56, {"stride": 28}),
    "224 at 112 of tiles of 512": (128, 56, {"stride": 28}),
    "256 at 192 of tiles of 256": (64, 64, {"stride": 48}),
    "random places": (64, 64, {"count": 4_000}),
    "few random places": (64, 64, {"count": 300}),
    "random places of large tiles": (128, 64, {"count": 4_000}),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("threads", [1, 3])
def test_a_shuffled_epoch_of_overlapping_patches_reads_each_tile_at_most_1_2_times(case, threads, tmp_path):
    """As 256 px of tiles of 256 px in 128 MiB; all lengths are a quarter, and bytes a sixteenth."""
    tile, size, where = CASES[case]
    image = np.zeros((2048, 2048, 3), np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", image, tile=(tile, tile), compression="zlib")
    source = bs.patches(tmp_path / "a.tif", size, block="1280 KiB", **where)
    with bs.Loader(source, batch_size=32, memory="16 MiB", threads=threads, seed=0) as loader:
        for _ in loader:  # the first epoch also reads some rows to look at them
            pass
        before, seen = source.tiles_read, []
        for batch in loader:
            seen += batch["at"].tolist()
        reads = (source.tiles_read - before) / source.tiles
    assert reads <= 1.2
    assert source.reads_per_tile <= 1.2
    _, places = source.places(np.arange(len(source)))
    assert sorted(seen) == sorted(places.tolist())
    assert seen != places.tolist()


def test_a_batch_of_a_banded_source_comes_from_several_places():
    source = bs.patches(np.zeros((2048, 2048, 3), np.uint8), 64, stride=32, block="1280 KiB")
    assert source.chunks().streams >= 2
    with bs.Loader(source, batch_size=32, memory="32 MiB", seed=0) as loader:
        first = next(iter(loader))["at"].copy()
        assert len(np.unique(first[:, 0] // 512)) > 1
        assert (np.ptp(first, axis=0) > 512).any()
    assert "one after another in swaths" in str(source.explain())


@pytest.mark.parametrize("keep", [None, lambda x: bool(x.mean() > 120)])
def test_bands_stay_bands_without_refused_patches_and_in_a_split(keep):
    image = np.random.default_rng(0).integers(0, 256, (1024, 1024), np.uint8)
    image[:200] = 0  # the first swaths have no patch that is kept
    source = bs.patches(image, 64, stride=32, block="128 KiB", keep=keep)
    train, rest = source.split(0.8, seed=1)
    for part in (source, train, rest):
        chunks = part.chunks()
        assert len(chunks.groups) < len(chunks.starts) - 1
        assert set(chunks.groups.tolist()) <= set(chunks.starts.tolist())
        with bs.Loader(part, batch_size=8, memory="32 MiB", seed=0) as loader:
            rows = np.concatenate([batch["at"] for batch in loader])
        assert len(np.unique(rows, axis=0)) == len(part)


def test_an_interrupted_epoch_of_bands_continues_exactly(tmp_path):
    image = np.arange(512 * 512, dtype=np.int32).reshape(512, 512)
    source = bs.patches(image, 64, stride=32, block="512 KiB")
    assert source.chunks().groups is not None
    with bs.Loader(source, batch_size=8, memory="32 MiB", seed=3) as loader:
        whole = [batch["x"].copy() for batch in loader]
    with bs.Loader(source, batch_size=8, memory="32 MiB", seed=3) as first:
        batches = iter(first)
        for _ in range(9):
            next(batches)
        state = first.state_dict()
    again = bs.patches(image, 64, stride=32, block="512 KiB")
    with bs.Loader(again, batch_size=8, memory="32 MiB", seed=3) as second:
        second.load_state_dict(state)
        rest = [batch["x"].copy() for batch in second]
    assert len(rest) == len(whole) - 9
    assert all((a == b).all() for a, b in zip(whole[9:], rest, strict=True))


def test_images_of_other_sizes_and_tiles_fit_one_window(tmp_path):
    """As 256 px in 128 MiB; all lengths are a quarter, and bytes a sixteenth."""
    paths = []
    for i, (height, width, tile) in enumerate(((512, 512, 64), (64, 64, 64), (175, 1000, 128), (100, 100, 128))):
        paths.append(tmp_path / f"{i}.tif")
        tifffile.imwrite(paths[-1], np.zeros((height, width, 3), np.uint8), tile=(tile, tile), compression="zlib")
    masks = [np.zeros(shape[:2], np.uint8) for shape in bs.patches(paths, 64).shapes]
    source = bs.patches(paths, 64, stride=32, masks=masks, block="1280 KiB")
    starts, streams = source.chunks().starts, source.chunks().streams
    assert int(np.diff(starts).max()) * streams * 64 * 64 * 4 <= 1280 << 10
    with bs.Loader(source, batch_size=8, memory="10 MiB", seed=0) as loader:
        seen = sum(len(batch["at"]) for batch in loader)
        needed = loader.plan.total
    assert seen == len(source)
    assert needed <= 10 << 20
