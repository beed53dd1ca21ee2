"""Photographs in an object store, with latency, against plain obstore and LitData: ``python -m bench.remote``.

Starts an S3 server and, in another process, a proxy that adds latency, puts photographs there, and reads them in turns: bitesize without a
cache; obstore alone, with asyncio and threads that decode; LitData's StreamingRawDataset, if it is installed. Then bitesize from its
cache, against the same files on disk. Server, proxy and readers share the processors.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from tests.servers.proxy import separate_proxy
from tests.servers.s3 import s3_server

import bitesize as bs
from bench.__main__ import machine, versions
from bench.cases import MEAN, STD
from bench.data import made, photographs

SIDE, BATCH, IN_FLIGHT, THREADS = 224, 32, 64, 2
BUCKET = "photographs"
# name, compared with one of, the least share of the best of them
BARS = (
    ("bitesize, first epoch", ("obstore alone", "LitData raw"), 0.9),
    ("bitesize, from its cache", ("bitesize, local files",), 0.95),
)
Load = Callable[[], Iterator[int]]


def loaded(load: Load) -> float:
    """Return the rows per second of one epoch."""
    begun, rows = time.perf_counter(), 0
    for count in load():
        rows += count
    return rows / (time.perf_counter() - begun)


def bitesize(source: Any, cache: bs.Cache | None) -> Load:
    """Return the epochs of one loader."""
    loader = bs.Loader(
        source,
        batch_size=BATCH,
        transforms=[bs.Resize((SIDE, SIDE)), bs.Normalize(MEAN, STD)],
        memory="1 GiB",
        seed=0,
        cache=cache,
    )

    def load() -> Iterator[int]:
        for batch in loader:
            yield len(batch["x"])

    return load


def decoded(data: Any) -> NDArray[np.float32]:
    """Decode a photograph, resize and normalize it, as tutorials do."""
    from PIL import Image

    with Image.open(io.BytesIO(data)) as image:
        image.draft("RGB", (SIDE, SIDE))  # decodes a large JPEG at a fraction of its size
        pixels = np.asarray(image.convert("RGB").resize((SIDE, SIDE), Image.Resampling.BILINEAR), np.float32)
    return (pixels / 255 - np.float32(MEAN)) / np.float32(STD)  # type: ignore[no-any-return]


def plain(options: dict[str, Any], keys: list[str]) -> Load:
    """Return epochs of obstore alone: requests of one event loop, decoding in threads."""
    import obstore
    from obstore.store import S3Store

    store, random = S3Store(BUCKET, **options), np.random.default_rng(0)
    pool = ThreadPoolExecutor(THREADS)

    async def epoch() -> list[int]:
        loop, limit, order = asyncio.get_running_loop(), asyncio.Semaphore(IN_FLIGHT), random.permutation(len(keys)).tolist()

        async def row(i: int) -> NDArray[np.float32]:
            async with limit:
                answer = await obstore.get_async(store, keys[i])
                data = await answer.bytes_async()
            return await loop.run_in_executor(pool, decoded, memoryview(data))

        rows, counts = [asyncio.ensure_future(row(i)) for i in order], []
        for start in range(0, len(rows), BATCH):
            counts.append(len(np.stack([await each for each in rows[start : start + BATCH]])))
            rows[start : start + BATCH] = [None] * BATCH  # type: ignore[list-item]
        return counts

    def load() -> Iterator[int]:
        yield from asyncio.run(epoch())

    return load


def litdata(options: dict[str, Any]) -> Load | None:
    """Return epochs of LitData's raw files, with workers that stay alive; None if it is not installed."""
    try:
        from litdata.raw.dataset import StreamingRawDataset
        from torch.utils.data import DataLoader
    except ImportError:
        return None
    os.environ |= {  # read by its workers, whatever they send requests with
        "AWS_ACCESS_KEY_ID": options["access_key_id"],
        "AWS_SECRET_ACCESS_KEY": options["secret_access_key"],
        "AWS_ENDPOINT_URL": options["endpoint"],
        "AWS_REGION": options["region"],
        "AWS_DEFAULT_REGION": options["region"],
        "AWS_ALLOW_HTTP": "true",
    }
    cache = tempfile.mkdtemp(prefix="litdata-")
    data = StreamingRawDataset(f"s3://{BUCKET}/", cache_dir=cache, transform=decoded)
    loader = DataLoader(data, batch_size=BATCH, shuffle=True, num_workers=THREADS, persistent_workers=True)

    def load() -> Iterator[int]:
        for x in loader:
            yield len(x)

    return load


def main() -> None:
    """Measure, and print a table and what the bars say."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--rows", type=int, default=1000)
    parser.add_argument("--latency", type=float, default=0.02, help="seconds")
    parser.add_argument("--data", type=Path, default=Path("bench/data-cache"))
    parser.add_argument("--out", type=Path, default=None)
    parsed = parser.parse_args()
    folder = made(parsed.data, "photographs", photographs)
    files = sorted(folder.rglob("*.jpg"))[: parsed.rows]
    speeds: dict[str, list[float]] = {}
    with (
        s3_server() as server,
        separate_proxy(server.address, latency=parsed.latency) as address,
        tempfile.TemporaryDirectory() as own,
    ):
        server.make_bucket(BUCKET)
        keys = [file.relative_to(folder).as_posix() for file in files]
        for key, file in zip(keys, files, strict=True):
            server.put(BUCKET, key, file.read_bytes())
        options = server.options(address)
        remote = bs.open([f"s3://{BUCKET}/{key}" for key in keys], storage_options=options)
        local = bs.open(list(files))
        loads: dict[str, Load | None] = {
            "bitesize, first epoch": None,
            "obstore alone": plain(options, keys),
            "LitData raw": litdata(options),
            "bitesize, from its cache": bitesize(remote, bs.Cache(Path(own) / "cache", "4 GiB")),
            "bitesize, local files": bitesize(local, None),
        }
        warm = loads["bitesize, from its cache"]
        assert warm is not None
        loaded(warm)
        for _ in range(parsed.rounds):
            for name in loads:
                load = bitesize(remote, None) if name == "bitesize, first epoch" else loads[name]
                if load is not None:
                    speeds.setdefault(name, []).append(loaded(load))
    medians = {name: statistics.median(values) for name, values in speeds.items()}
    report(medians, speeds)
    if parsed.out is not None:
        parsed.out.mkdir(parents=True, exist_ok=True)
        result = {"machine": machine(), "versions": versions(), "rows_per_second": speeds, "latency": parsed.latency}
        (parsed.out / "remote.json").write_text(json.dumps(result, indent=1) + "\n")


def report(medians: dict[str, float], speeds: dict[str, list[float]]) -> None:
    """Print the speeds, and whether they are as hoped."""
    console, table = Console(), Table("", "rows/s", "spread")
    for name, median in medians.items():
        table.add_row(name, f"{median:,.0f}", f"{(max(speeds[name]) - min(speeds[name])) / median:.0%}")
    console.print(table)
    for name, others, least in BARS:
        best = max((medians[other], other) for other in others if other in medians)
        share = medians[name] / best[0]
        console.print(f"{name} / {best[1]}: {share:.2f}, hoped for {least}: {'met' if share >= least else 'missed'}")


if __name__ == "__main__":
    main()
