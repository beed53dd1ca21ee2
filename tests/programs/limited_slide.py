"""Patches of a slide that is larger than memory: ``python -m tests.programs.limited_slide SLIDE OUT BUDGET SIZE STRIDE``.

It prints "ready" when a small slide has been read, and waits for a line; then it runs an epoch, stitches a prediction, and prints one
line of JSON.
"""

import json
import sys
import tempfile
import threading
from pathlib import Path

import numpy as np

import bitesize as bs

TILE, KINDS = 256, 16


def tiles():
    """Return a few tiles, of which a slide is made."""
    random = np.random.default_rng(0)
    return (
        random.integers(0, 32, (KINDS, TILE, TILE, 3), np.uint8) + np.arange(KINDS, dtype=np.uint8)[:, None, None, None] * 14
    )


def kind_of(i, j):
    """Return which tile is at a place."""
    return (i * 7919 + j * 104_729 + i * j) % KINDS


def write_slide(path, side):
    """Write a slide of ``side`` x ``side`` tiles, each of which is encoded once."""
    if path.suffix == ".tif":
        import imagecodecs
        import tifffile

        encoded = [imagecodecs.zlib_encode(tile, level=1) for tile in tiles()]
        data = (encoded[kind_of(i, j)] for i in range(side) for j in range(side))
        shape = (side * TILE, side * TILE, 3)
        tifffile.imwrite(path, data, shape=shape, dtype=np.uint8, tile=(TILE, TILE), compression="zlib", photometric="rgb")
        return
    import zarr

    array = zarr.create_array(
        str(path), shape=(side * TILE, side * TILE, 3), dtype=np.uint8, chunks=(TILE, TILE, 3), fill_value=255
    )
    every = tiles()
    for i in range(side):
        row = np.concatenate([every[kind_of(i, j)] for j in range(side)], axis=1)
        array[i * TILE : (i + 1) * TILE] = row


def predict(x):
    """Return a class for each pixel."""
    return x[..., 0] ^ x[..., 2]


def loop(source, budget):
    """Run an epoch; return its rows, and what was planned."""
    with bs.Loader(source, batch_size=32, memory=budget, threads=2, seed=0) as loader:
        rows = sum(len(batch["at"]) for batch in loader)
        return rows, loader.plan.total


def main():
    """Do it."""
    slide, out, budget, size, stride = sys.argv[1:]
    settings = {"size": int(size), "stride": int(stride)}
    with tempfile.TemporaryDirectory() as folder:  # packages and compiled code are loaded before the limit
        small = Path(folder) / f"small{Path(slide).suffix}"
        write_slide(small, 4)
        loop(bs.patches(small, **settings), "64 MiB")
        bs.stitch(bs.patches(small, **settings), predict, Path(folder) / "small.npy", memory="64 MiB")
    for thread in threading.enumerate():
        if thread.name == "bitesize-compile":
            thread.join()
    print("ready", flush=True)
    sys.stdin.readline()
    memory = bs.Budget(budget)
    source = bs.patches(slide, **settings)
    rows, planned = loop(source, memory)
    reads = source.tiles_read / source.tiles
    source.close()
    bs.stitch(source, predict, out, memory=memory)
    told = {"rows": rows, "of": len(source), "reads": reads, "planned": planned, "peak": memory.peak}
    print(json.dumps(told | {"left": memory.in_use}), flush=True)
    sys.stdin.readline()


if __name__ == "__main__":
    main()
