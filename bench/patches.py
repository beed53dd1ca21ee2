"""Patches of a slide larger than memory, against tifffile and Zarr that read its tiles in order: ``python -m bench.patches``.

Makes a slide as a tiled TIFF (JPEG) and as a Zarr array, from some tiles that are encoded once. In a process whose memory is limited by a
cgroup, if those can be made, it trains an epoch without a model, counts the reads of tiles, and stitches a prediction. Then epochs and
plain reading take turns in one process; medians are compared.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

import bitesize as bs
from bench.__main__ import machine, versions
from bitesize.spec import Field

TILE, KINDS, BATCH = 256, 64, 32
_MIB = 1 << 20
# Room beside base and budget, as in tests/contract: page tables and stacks, which no budget can know.
_MARGIN = 24 * _MIB
_CASES = ((256, 256), (224, 224), (256, 192), (256, 128))
MOST_READS, LEAST_RATE = 1.2, 0.7


def kinds() -> list[NDArray[np.uint8]]:
    """Return tiles of smooth noise, as tissue compresses."""
    random = np.random.default_rng(0)
    small = random.integers(0, 256, (KINDS, TILE // 8, TILE // 8, 3), np.uint8)
    fine = random.integers(0, 24, (KINDS, TILE, TILE, 3), np.uint8)
    return [np.kron(a // 2, np.ones((8, 8, 1), np.uint8)) + b for a, b in zip(small, fine, strict=True)]


def kind_of(i: int, j: int) -> int:
    """Return which tile is at a place."""
    return (i * 7919 + j * 104_729 + i * j) % KINDS


def make_tiff(path: Path, tiles: int) -> None:
    """Write a BigTIFF of ``tiles`` x ``tiles`` tiles as JPEG."""
    import imagecodecs
    import tifffile

    encoded = [imagecodecs.jpeg_encode(tile, level=85, colorspace="RGB", outcolorspace="YCBCR") for tile in kinds()]
    data = (encoded[kind_of(i, j)] for i in range(tiles) for j in range(tiles))
    tifffile.imwrite(
        path, data, shape=(tiles * TILE, tiles * TILE, 3), dtype=np.uint8, tile=(TILE, TILE), compression="jpeg", photometric="ycbcr",
        subsampling=(2, 2), bigtiff=True,
    )  # fmt: skip


def make_zarr(path: Path, tiles: int, linked: bool = False) -> None:
    """Write a Zarr array of ``tiles`` x ``tiles`` chunks, whose files are copies of some, or links to some where a disk is small."""
    import zarr

    shape = (tiles * TILE, tiles * TILE, 3)
    array = zarr.create_array(str(path), shape=shape, dtype=np.uint8, chunks=(TILE, TILE, 3))
    first = {kind_of(i, j): (i, j) for i in range(tiles) for j in range(tiles)}
    every = kinds()
    for k, (i, j) in first.items():
        array[i * TILE : (i + 1) * TILE, j * TILE : (j + 1) * TILE] = every[k]
    written = {
        kind_of(*map(int, file.parts[-3:-1])): file.read_bytes() for file in (path / "c").rglob("0") if file.is_file()
    }
    links = {}
    for k, data in written.items() if linked else ():
        links[k] = path.with_name(f"chunk-{k}")
        links[k].write_bytes(data)
    for i in range(tiles):
        for j in range(tiles):
            file = path / "c" / str(i) / str(j) / "0"
            file.parent.mkdir(parents=True, exist_ok=True)
            if linked:
                file.unlink(missing_ok=True)
                os.link(links[kind_of(i, j)], file)
            else:
                file.write_bytes(written[kind_of(i, j)])


def brightness(x: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return a prediction for each pixel."""
    return x[..., 1]


def read_tiff(path: Path, threads: int) -> None:
    """Decode all tiles in order."""
    import tifffile

    with tifffile.TiffFile(path) as tiff:
        for _ in tiff.pages[0].segments(maxworkers=threads):
            pass


def read_zarr(path: Path, threads: int) -> None:
    """Decode all chunks in order, a row of chunks at a time."""
    import zarr

    array = zarr.open_array(str(path), mode="r")
    for start in range(0, array.shape[0], TILE):
        array[start : start + TILE]


def epoch(loader: bs.Loader) -> None:
    """Run through an epoch."""
    for _ in loader:
        pass


def seconds(work: Callable[[], None]) -> float:
    """Return how long it takes."""
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def limited(path: Path, size: int, stride: int, out: Path) -> None:
    """Be the process whose memory is limited: an epoch, and a stitched image; prints what it counted."""
    with tempfile.TemporaryDirectory() as folder:  # packages and compiled code are loaded before the limit
        small = Path(folder) / f"small{path.suffix}"
        (make_tiff if path.suffix == ".tif" else make_zarr)(small, KINDS // 8)
        with bs.Loader(bs.patches(str(small), size), batch_size=2, memory="64 MiB") as loader:
            epoch(loader)
        bs.stitch(bs.patches(str(small), size), brightness, Path(folder) / "small.npy", memory="64 MiB")
    for thread in threading.enumerate():
        if thread.name == "bitesize-compile":
            thread.join()
    print("ready", flush=True)
    sys.stdin.readline()
    source = bs.patches(str(path), size, stride=stride)
    with bs.Loader(source, batch_size=BATCH, memory="128 MiB", seed=0) as loader:
        took = seconds(lambda: epoch(loader))
        planned = loader.plan.total
    reads = source.tiles_read / source.tiles
    source.close()
    stitched = seconds(lambda: bs.stitch(source, brightness, out, memory="128 MiB"))
    told = {"rows": len(source), "reads": reads, "seconds": took, "planned": planned, "stitch": stitched}
    print(json.dumps(told), flush=True)
    sys.stdin.readline()


@contextlib.contextmanager
def group() -> Iterator[Path | None]:
    """Yield a memory cgroup, or None where none can be made."""
    with contextlib.ExitStack() as stack:
        try:
            from tests.contract.measure import small_group

            yield stack.enter_context(small_group())
        except (ImportError, OSError):
            yield None


def under_limit(path: Path, size: int, stride: int, out: Path) -> dict[str, Any]:
    """Run `limited` in a process of its own; return what it counted, and its memory in bytes."""
    with group() as limit:
        child = subprocess.Popen(
            [sys.executable, "-m", "bench.patches", "--child", str(path), str(size), str(stride), str(out)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert child.stdin is not None
        assert child.stdout is not None
        if limit is not None:
            (limit / "cgroup.procs").write_text(str(child.pid))
        assert child.stdout.readline() == "ready\n"
        status = Path("/proc") / str(child.pid) / "status"
        base = _status(status, "VmRSS") if status.exists() else 0
        if limit is not None:
            (limit / "memory.limit_in_bytes").write_text(str(base + 128 * _MIB + _MARGIN))
            (Path("/proc") / str(child.pid) / "clear_refs").write_text("5")
        child.stdin.write("go\n")
        child.stdin.flush()
        line = child.stdout.readline()
        if not line:
            child.wait()
            return {"killed": True}
        peak = _status(status, "VmHWM") - base if status.exists() else 0
        child.communicate("go\n")
        return {**json.loads(line), "held": peak, "limited": limit is not None}


def _status(path: Path, name: str) -> int:
    return next(int(line.split()[1]) * 1024 for line in path.read_text().splitlines() if line.startswith(name))


def wrong_pixels(path: Path, out: Path, tiles: int) -> int:
    """Return the number of pixels that differ from the prediction of the whole."""
    import tifffile

    decoded = {}
    if path.suffix == ".tif":
        with tifffile.TiffFile(path) as tiff:
            page = tiff.pages[0]
            for k in range(KINDS):
                i, j = next((i, j) for i in range(tiles) for j in range(tiles) if kind_of(i, j) == k)
                number = i * tiles + j
                tiff.filehandle.seek(page.dataoffsets[number])
                data = tiff.filehandle.read(page.databytecounts[number])
                decoded[k] = brightness(page.decode(data, number, jpegtables=page.jpegtables)[0][0])
    else:
        decoded = {k: brightness(tile) for k, tile in enumerate(kinds())}
    wrong = 0
    stitched = np.load(out, mmap_mode="r")
    for i in range(tiles):
        band = np.concatenate([decoded[kind_of(i, j)] for j in range(tiles)], axis=1)
        wrong += int((stitched[i * TILE : (i + 1) * TILE] != band).sum())
    return wrong


def rates(path: Path, size: int, stride: int, rounds: int, threads: int) -> dict[str, float]:
    """Return the medians of seconds for an epoch and for plain reading, in turns, and how often a tile was read."""
    source = bs.patches(str(path), size, stride=stride)
    plain = read_tiff if path.suffix == ".tif" else read_zarr
    ours, theirs = [], []
    with bs.Loader(source, batch_size=BATCH, memory="128 MiB", threads=threads, seed=0) as loader:
        epoch(loader)
        begun = source.tiles_read
        for _ in range(rounds):
            theirs.append(seconds(lambda: plain(path, threads)))
            ours.append(seconds(lambda: epoch(loader)))
        reads = (source.tiles_read - begun) / rounds / source.tiles
    row, image = source.spec["x"], source.shapes[0]
    assert isinstance(row, Field)
    overlap = len(source) * row.nbytes / (image[0] * image[1] * 3)
    return {
        "ours": statistics.median(ours), "theirs": statistics.median(theirs), "reads": reads, "overlap": overlap
    }  # fmt: skip


def main() -> None:
    """Make slides, run, and print a table."""
    parser = argparse.ArgumentParser(prog="python -m bench.patches")
    parser.add_argument("--child", nargs=4, metavar=("PATH", "SIZE", "STRIDE", "OUT"), help=argparse.SUPPRESS)
    parser.add_argument("--gigabytes", type=float, default=0.8, help="decoded size of the slide (0.8)")
    parser.add_argument("--rounds", type=int, default=5, help="epochs of each, in turn (5); 0 leaves rates out")
    parser.add_argument("--threads", type=int, default=2, help="threads of each (2)")
    parser.add_argument(
        "--linked", action="store_true", help="chunks of Zarr are links to a few files, which needs little disk"
    )
    parser.add_argument("--cases", type=int, nargs="*", default=range(len(_CASES)), help=f"numbers of cases of {_CASES}")
    parser.add_argument("--kinds", nargs="*", default=["tif", "zarr"], choices=["tif", "zarr"])
    chosen = parser.parse_args()
    if chosen.child:
        path, size, stride, out = chosen.child
        limited(Path(path), int(size), int(stride), Path(out))
        return
    console = Console()
    console.print(machine(), versions(), sep="\n", highlight=False)
    tiles = max(8, round((chosen.gigabytes * 1e9 / 3) ** 0.5 / TILE))
    table = Table(
        "slide", "patches", "reads a tile", "held", "wrong pixels", "epoch", "in order", "share", "in bytes of patches"
    )
    folder = Path(tempfile.mkdtemp(prefix="bitesize-patches-"))
    try:
        for kind in chosen.kinds:
            path, out = folder / f"slide.{kind}", folder / "out.npy"
            if kind == "tif":
                make_tiff(path, tiles)
            else:
                make_zarr(path, tiles, chosen.linked)
            for size, stride in (_CASES[i] for i in chosen.cases):
                told = under_limit(path, size, stride, out)
                wrong = "killed" if told.get("killed") else str(wrong_pixels(path, out, tiles))
                held = f"{told.get('held', 0) / _MIB:.0f} MiB" + ("" if told.get("limited") else " (no limit)")
                rate = rates(path, size, stride, chosen.rounds, chosen.threads) if chosen.rounds else None
                shown = (
                    [
                        f"{rate['ours']:.1f} s",
                        f"{rate['theirs']:.1f} s",
                        f"{rate['theirs'] / rate['ours']:.2f}",
                        f"{rate['overlap'] * rate['theirs'] / rate['ours']:.2f}",
                    ]
                    if rate
                    else ["", "", "", ""]
                )
                if not rate and told.get("seconds"):
                    shown[0] = f"{told['seconds']:.1f} s, stitch {told['stitch']:.1f} s"
                table.add_row(
                    f"{tiles * TILE}² {kind}", f"{size}, stride {stride}", f"{told.get('reads', 0):.2f}", held, wrong, *shown
                )
                console.print(told)
                os.unlink(out) if out.exists() else None
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    console.print(table)
    console.print(f"Bars: at most {MOST_READS} reads of a tile, at least {LEAST_RATE} of the rate of reading in order.")


if __name__ == "__main__":
    main()
