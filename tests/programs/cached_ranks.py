"""Ranks in processes of their own, which share one cache, take their steps together, and count what each epoch reads from the data.

Argument: settings in JSON. Prints, in JSON, for each rank and epoch its rows and how many were in the cache; and the sum of the pixels of each row.
"""

from __future__ import annotations

import json
import multiprocessing
import sys
import time
from typing import Any

import bitesize as bs
from bitesize.packed import row_cache


def rank(number: int, settings: dict[str, Any], together: Any, told: Any) -> None:
    row_cache._REST = row_cache._REST_LATER = row_cache._LOOK = 0.0  # rows are written, and found, as fast as they come
    if settings.get("shard_bytes"):
        row_cache._SHARD_BYTES = settings["shard_bytes"]
    world, rows, pixels = settings["world"], [], dict[int, float]()
    try:
        transforms = [bs.Resize(16), bs.Flip()] if settings["flips"] else [bs.Resize(16)]
        source = bs.open(settings["data"], storage_options=settings.get("options"))
        cache = bs.Cache(settings["cache"], "64 MiB", **settings.get("kind", {}))
        loader = bs.Loader(
            source, batch_size=12, transforms=transforms, memory="64 MiB", seed=3, threads=1, cache=cache, last="pad",
            shard=bs.Shard(number, world),
        )  # fmt: skip
        with loader:
            for _ in range(settings["epochs"]):
                hits, there = loader.stats.cache_hits, 0
                for batch in loader:
                    there += int(batch.mask.sum())
                    pixels.update(
                        {int(row): float(x.sum()) for row, x in zip(batch.rows, batch["x"], strict=True) if row >= 0}
                    )
                    time.sleep(settings.get("step", 0.0))
                    together.wait(60)  # as gradients are averaged after each step
                rows.append((there, loader.stats.cache_hits - hits))
            together.wait(60)
        told.put((number, rows, pixels))
    except BaseException:
        together.abort()
        raise


def main() -> None:
    settings = json.loads(sys.argv[1])
    context = multiprocessing.get_context("spawn")
    together, told = context.Barrier(settings["world"]), context.Queue()
    ranks = [context.Process(target=rank, args=(i, settings, together, told)) for i in range(settings["world"])]
    for process in ranks:
        process.start()
    answers = sorted(told.get(timeout=60) for _ in ranks)
    for process in ranks:
        process.join()
    pixels = {row: value for _, _, of_rank in answers for row, value in of_rank.items()}
    print(json.dumps({"rows": [rows for _, rows, _ in answers], "pixels": [pixels[row] for row in sorted(pixels)]}))


if __name__ == "__main__":
    main()
