"""Rows divided among ranks: what each of many ranks reads, and whether two are as fast as one: ``python -m bench.ranks``.

First a simulation of the order alone: steps, rows and chunks of each of 1,000 ranks, with the processor time and the memory that the order
takes on one of them. Then real processes with a model that does nothing: two ranks with half of the threads each, against one process
with all threads, in turns. Both sides share the processors.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import statistics
import time
import tracemalloc
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

import bitesize as bs
from bench.__main__ import machine, versions
from bench.data import chunked, made, one_npy, small_files
from bitesize.engine.batching import Batching
from bitesize.engine.window.schedule import PrefetchSchedule
from bitesize.kernels.warm import is_warm, warm
from bitesize.order.permutation import FEISTEL, permute_jobs

CHUNK = 100  # rows
BATCH_OF_RANK = 64  # rows
SAMPLED = 3  # ranks whose time and memory are measured
# Two ranks against one process with as many threads.
BAR = 0.9


# --- the order of many ranks ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Ranks:
    """What the ranks have in an epoch: least, median and most of one rank; the chunks that all ranks read; cost of one rank."""

    steps: tuple[int, int]
    rows: tuple[int, int, int]
    chunks: tuple[int, int, int]
    chunk_reads: int
    seconds: float
    megabytes: float


def orders(rows: int, world: int) -> Iterator[tuple[str, bs.Order]]:
    """Yield each order with its name."""
    batch_size = world * BATCH_OF_RANK
    yield "shuffled", bs.Order(rows, seed=1)
    yield "weighted", bs.Order(rows, seed=1, weights=np.random.default_rng(0).random(rows))
    # The default for chunks of 100 rows in batches of 64 has 8 streams; in batches of 64,000, 512.
    for streams in sorted({4, 8, 1 << (batch_size // CHUNK).bit_length() - 1, world}):
        chunks = np.arange(0, rows, CHUNK)
        window = streams * CHUNK
        yield (
            f"window, {streams:,} streams",
            bs.Order(rows, 1, window=window, streams=streams, chunks=chunks, batch_size=batch_size),
        )


def simulated(order: bs.Order, world: int) -> Ranks:
    """Return what all ranks have in an epoch, and what the order costs one of them."""
    batch_size = world * BATCH_OF_RANK
    batchings = [Batching(order, batch_size, "drop", bs.Shard(rank, world)) for rank in range(world)]
    used = len(batchings[0]) * batch_size
    shares = [each.shard.share(batch_size) for each in batchings]
    counts = np.array([len(each) * (stop - start) for each, (start, stop) in zip(batchings, shares, strict=True)])
    # A chunk is read once in an epoch by each rank that has rows of it; without a window, each row is read on its own.
    reads = np.zeros((world, -(-order.n // CHUNK) if order.windows is not None else 0), np.bool_)
    rank_of = np.repeat(np.arange(world), [stop - start for start, stop in shares])
    for start in range(0, used if reads.size else 0, batch_size):
        reads[rank_of, order.rows(0, start, start + batch_size) // CHUNK] = True
    of_rank = reads.sum(axis=1)
    costs = [cost(batchings[rank]) for rank in np.linspace(0, world - 1, SAMPLED).astype(int).tolist()]
    steps = [len(each) for each in batchings]
    return Ranks(
        (min(steps), max(steps)), spread(counts), spread(of_rank), int(of_rank.sum()),
        statistics.median(seconds for seconds, _, _ in costs), statistics.median(megabytes for _, megabytes, _ in costs),
    )  # fmt: skip


def spread(values: NDArray[np.int64]) -> tuple[int, int, int]:
    """Return the least, the median and the greatest value."""
    return int(values.min()), int(np.median(values)), int(values.max())


def cost(batching: Batching) -> tuple[float, float, int]:
    """Return the processor time and the memory, in MB, of one rank's order over an epoch, and the chunks that its schedule reads."""

    def epoch(steps: int) -> int:
        schedule = PrefetchSchedule(batching, 0, 0) if batching.order.windows is not None else None  # type: ignore[arg-type]
        chunks, place = 0, (0, 0)
        for _ in range(steps):
            step = batching.step(*place)
            chunks += 0 if schedule is None else len(schedule.due(step))
            place = batching.after(*place)
        return chunks

    begun = time.process_time()
    chunks = epoch(len(batching))
    seconds = time.process_time() - begun
    tracemalloc.start()
    epoch(min(8, len(batching)))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return seconds, peak / 1e6, chunks


def simulate(console: Console, rows: int, world: int) -> dict[str, Any]:
    """Simulate every order, and print a table."""
    table = Table(
        title=f"{world:,} ranks, {rows:,} rows in chunks of {CHUNK}, {BATCH_OF_RANK} rows of each batch on a rank", box=None
    )
    for name in ("", "steps", "rows of a rank", "chunks of a rank", "reads / chunks", "s of a rank", "MB of a rank"):
        table.add_column(name, justify="left" if not name else "right")
    found = {}
    for name, order in orders(rows, world):
        each = found[name] = simulated(order, world)
        chunks = "" if order.windows is None else "{:,} / {:,} / {:,}".format(*each.chunks)
        reads = "" if order.windows is None else f"{each.chunk_reads / -(-rows // CHUNK):.2f}"
        table.add_row(
            name, " to ".join(map(str, sorted(set(each.steps)))), "{:,} / {:,} / {:,}".format(*each.rows), chunks, reads,
            f"{each.seconds:.3f}", f"{each.megabytes:.1f}",
        )  # fmt: skip
    console.print(table, highlight=False)
    return {name: vars(each) for name, each in found.items()}


# --- two ranks against one process ---------------------------------------------------------------------------------------


def loader_of(name: str, folder: Path, rank: int, world: int, threads: int) -> bs.Loader:
    """Return a loader of one of the data sets."""
    settings: dict[str, Any] = {"memory": "256 MiB", "shard": bs.Shard(rank, world), "threads": threads, "last": "drop"}
    if name == "small JPEGs":
        return bs.Loader(
            bs.open(folder), batch_size=128, transforms=[bs.RandomResizedCrop(64), bs.Flip(), bs.Scale(1 / 255)], **settings
        )
    if name == "npy rows":
        return bs.Loader(bs.open(folder / "x.npy"), batch_size=128, dtype="float32", **settings)
    if name == "HDF5 in windows":
        return bs.Loader(bs.open(folder / "data.h5"), batch_size=128, dtype="float32", **settings)
    source = bs.open(folder / "store")
    return bs.Loader(source, batch_size=128, order=bs.Order(len(source), 1, window=2000), dtype="float32", **settings)


def rank_of_pair(link: Any, name: str, folder: Path, rank: int, world: int, threads: int) -> None:
    """Run an epoch each time that one is asked for, and answer with its rows and when it began and ended."""
    os.environ["LOCAL_WORLD_SIZE"] = str(world)
    with loader_of(name, folder, rank, world, threads) as loader:
        for _ in loader:  # compiles, and fills what is kept in memory
            pass
        link.send(None)
        while link.recv():
            begun, rows = time.time(), 0
            for batch in loader:
                rows += len(batch.rows)
            link.send((rows, begun, time.time()))


class Group:
    """Processes that load together."""

    def __init__(self, name: str, folder: Path, world: int, threads: int) -> None:
        context = multiprocessing.get_context("spawn")
        self.links, self.processes = [], []
        for rank in range(world):
            here, there = context.Pipe()
            process = context.Process(target=rank_of_pair, args=(there, name, folder, rank, world, threads), daemon=True)
            process.start()
            self.links.append(here)
            self.processes.append(process)
        for link in self.links:
            link.recv()

    def speed(self) -> float:
        """Return the rows per second of an epoch, from the first begin to the last end."""
        for link in self.links:
            link.send(True)
        answers = [link.recv() for link in self.links]
        rows, begun, ended = zip(*answers, strict=True)
        return float(sum(rows) / (max(ended) - min(begun)))

    def close(self) -> None:
        """End the processes."""
        for link, process in zip(self.links, self.processes, strict=True):
            link.send(False)
            process.join()


def packed(place: Path) -> None:
    """Pack 20,000 rows of (32, 32, 3) as arrays."""
    x = np.random.default_rng(0).integers(0, 256, (20_000, 32, 32, 3), np.uint8)
    np.save(place / "x.npy", x)
    bs.pack(bs.open(place / "x.npy"), place / "store", memory="128 MiB")


def scale(console: Console, data: Path, rounds: int, threads: int) -> dict[str, dict[str, list[float]]]:
    """Measure one process against two ranks, in turns, and print a table."""
    sets = {
        "small JPEGs": made(data, "small-jpegs-4000", small_files(4000)),
        "npy rows": made(data, "npy-64", one_npy(10_000, (64, 64, 3), "uint8")),
        "HDF5 in windows": made(data, "chunks-hdf5", chunked("hdf5")),
        "packed, in windows": made(data, "packed-32", packed),
    }
    table = Table(title=f"one process with {threads} threads, and 2 ranks with {threads // 2} each", box=None)
    for name in ("", "one process, rows/s", "2 ranks, rows/s", "ratio", "least and greatest"):
        table.add_column(name, justify="left" if not name else "right")
    speeds: dict[str, dict[str, list[float]]] = {}
    for name, folder in sets.items():
        one, two = Group(name, folder, 1, threads), Group(name, folder, 2, threads // 2)
        of_one, of_two = [], []
        for round_ in range(rounds):
            for group, values in [(one, of_one), (two, of_two)][:: 1 if round_ % 2 else -1]:
                values.append(group.speed())
        one.close(), two.close()
        speeds[name] = {"one process": of_one, "two ranks": of_two}
        ratios = sorted(b / a for a, b in zip(of_one, of_two, strict=True))
        ratio = statistics.median(ratios)
        met = "met" if ratio >= BAR else "missed"
        table.add_row(
            name, f"{statistics.median(of_one):,.0f}", f"{statistics.median(of_two):,.0f}", f"{ratio:.2f} ({BAR}: {met})",
            f"{ratios[0]:.2f}, {ratios[-1]:.2f}",
        )  # fmt: skip
    console.print(table, highlight=False)
    return speeds


def main() -> None:
    """Simulate and measure, print tables, and write JSON."""
    parser = argparse.ArgumentParser(prog="python -m bench.ranks", description=__doc__.partition("\n")[0])
    parser.add_argument("--ranks", type=int, default=1000, help="ranks of the simulation (1,000)")
    parser.add_argument("--rows", type=int, default=10_000_000, help="rows of the simulation (10,000,000)")
    parser.add_argument("--rounds", type=int, default=7, help="epochs of each, in turn (7); 0 for the simulation alone")
    parser.add_argument("--threads", type=int, default=2, help="threads of the one process (2)")
    parser.add_argument(
        "--data", type=Path, default=Path(__file__).parent / "data-cache", help="where data is made and kept"
    )
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results", help="where JSON is written")
    chosen = parser.parse_args()
    console = Console(width=140)
    console.print(machine(), versions(), sep="\n", highlight=False)
    warm(permute_jobs(chosen.rows))  # as a loader does
    while permute_jobs(chosen.rows) and not is_warm(FEISTEL):
        time.sleep(0.1)
    record: dict[str, Any] = {"case": "ranks", "machine": machine(), "versions": versions()}
    record["simulation"] = simulate(console, chosen.rows, chosen.ranks)
    record["rows_per_second"] = scale(console, chosen.data, chosen.rounds, chosen.threads) if chosen.rounds else {}
    chosen.out.mkdir(parents=True, exist_ok=True)
    (chosen.out / "ranks.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
