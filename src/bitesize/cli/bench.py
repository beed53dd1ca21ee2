"""`bitesize bench`: how fast this data loads on this machine, and what bounds it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from bitesize.cli.console import console, print_json, print_understood
from bitesize.cli.options import BatchSize, Data, ImageSize, Json, Memory, Opening, opens_data, parse_batch_size

if TYPE_CHECKING:
    from bitesize.engine.loader import Loader


@opens_data
def bench(
    data: Data,
    opening: Opening,
    batch_size: BatchSize = "32",
    image_size: ImageSize = None,
    memory: Memory = "auto",
    threads: Annotated[
        int | None, typer.Option(metavar="N", help="Threads that read and decode; by default one a processor, and two more.")
    ] = None,
    seconds: Annotated[
        float, typer.Option(metavar="S", help="How long to measure. 5 seconds even out what else the machine does.")
    ] = 5.0,
    json: Json = False,
) -> None:
    """Measure how fast the data loads, what bounds it, and what would help. Images come out as for training, with chance."""
    import numpy as np

    import bitesize as bs
    from bitesize.errors import BadFile, BadSetting
    from bitesize.training.settings import preparation

    if not 0 < seconds < 86_400:
        raise BadSetting(f"--seconds must be above 0, not {seconds:g}")
    source = opening.open(data)
    if not json:
        print_understood(source)
    transforms = preparation(source, image_size, augment=True)
    size = parse_batch_size(batch_size)
    options = {"transforms": transforms, "memory": memory, "threads": threads, "dtype": np.float32}
    with bs.Loader(source, batch_size=size, on_error="skip", max_bad=1.0, **options) as loader:  # type: ignore[arg-type]
        cold, rows = load_for(loader, seconds / 2)
        loader.stats.reset()
        rate, rows = load_for(loader, seconds)
        if len(loader.bad) == len(source):
            raise BadFile(f"no row of {data} could be read; the first: {loader.bad[0].path}: {loader.bad[0].reason}")
        verdict = loader.stats.verdict()
        spent = loader.stats.seconds
        most = loader.measure_bound(max(64, min(rows, int(rate * seconds))))
        result = {
            "rows_per_second": rate,
            "first_rows_per_second": cold,
            "seconds_an_epoch": len(source) / rate,
            "bound_rows_per_second": most,
            "share_of_bound": rate / most,
            "rows": rows,
            "threads": loader.threads,
            "batch_size": loader.batch_size,
            "peak_bytes": loader.budget.peak,
            "seconds": spent,
            "bad_rows": len(loader.bad),
            "verdict": verdict,
        }
    if json:
        print_json(result)
        return
    _print(result, len(source))


def load_for(loader: Loader, seconds: float) -> tuple[float, int]:
    """Load for so many seconds, over as many epochs as that takes; give rows per second, and rows."""
    import time

    rows, begun = 0, time.perf_counter()
    for batch in loader.iterate((loader.epoch, 0), endless=True):
        rows += len(batch.rows)
        if time.perf_counter() - begun > seconds:
            break
    return rows / (time.perf_counter() - begun), rows


def _print(result: dict[str, object], rows: int) -> None:
    from rich.table import Table

    from bitesize.memory.sizes import format_size

    spent: dict[str, float] = result["seconds"]  # type: ignore[assignment]
    total = sum(spent.values()) or 1.0
    console.print(
        f"[bold green]{result['rows_per_second']:,.0f} rows/s[/], an epoch of {rows:,} rows in "
        f"{result['seconds_an_epoch']:,.1f} s; {result['first_rows_per_second']:,.0f} rows/s at the start",
        highlight=False,
    )
    console.print(
        f"reading, and decoding or casting, alone: {result['bound_rows_per_second']:,.0f} rows/s, so this is "
        f"[bold]{result['share_of_bound']:.0%}[/] of what could be had at most",
        highlight=False,
    )
    table = Table(box=None, show_header=False, padding=(0, 2))
    table.add_column()
    table.add_column(justify="right")
    for what, seconds in spent.items():
        if seconds > 0.005 * total:
            table.add_row(what, f"{seconds / total:.0%}")
    console.print(table)
    console.print(f"{result['verdict']}.", highlight=False)
    console.print(f"At most {format_size(result['peak_bytes'])} were held.", highlight=False)  # type: ignore[arg-type]
    if result["bad_rows"]:
        console.print(f"{result['bad_rows']} rows could not be read, and others took their places.", highlight=False)
