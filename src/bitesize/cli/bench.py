"""`bitesize bench`: how fast data loads on this machine, and what limits the speed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from bitesize.cli.console import (
    console,
    counted,
    errors,
    in_options,
    in_seconds,
    print_json,
    print_understood,
    say_when_compiling,
)
from bitesize.cli.options import BatchSize, Data, ImageSize, Json, Memory, Opening, parse_batch_size, takes_options

if TYPE_CHECKING:
    from collections.abc import Callable

    from bitesize.cli.moving import Figures
    from bitesize.engine.loader import Loader

# The bound is the best of this number of rounds before and after loading; of more rounds if it is below the loading rate.
_ROUNDS, _MORE = 2, 3
# A loading rate above the bound by up to this share counts as equal to the bound: two measurements differ by as much.
_ALIKE = 0.15


Threads = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        help="Threads that read and decode. Default: one per processor, plus some for the time when those wait.",
    ),
]
Seconds = Annotated[
    float, typer.Option(metavar="S", help="How long to measure. 5 seconds average out other load on the machine.")
]


@takes_options
def bench(
    data: Data,
    opening: Opening,
    batch_size: BatchSize = "32",
    image_size: ImageSize = None,
    memory: Memory = "auto",
    threads: Threads = None,
    seconds: Seconds = 5.0,
    json: Json = False,
) -> None:
    """Measure how fast the data loads, what limits it, and what would help. Images are augmented as in training."""
    import numpy as np

    import bitesize as bs
    from bitesize.errors import BadFile, BadSetting
    from bitesize.training.settings import preparation

    if not 0 < seconds < 86_400:
        raise BadSetting(f"--seconds must be above 0, not {seconds:g}")
    say_when_compiling()
    source = opening.open(data)
    if not json:
        print_understood(source)
    transforms = preparation(source, image_size, augment=True)
    size = parse_batch_size(batch_size)
    options = {"transforms": transforms, "memory": memory, "threads": threads, "dtype": np.float32}
    with bs.Loader(source, batch_size=size, on_error="skip", max_bad=1.0, **options) as loader:  # type: ignore[arg-type]
        result = _measure(loader, seconds, quiet=json)
        if len(loader.bad) == len(source):
            raise BadFile(f"no row of {data} could be read. First error: {loader.bad[0].path}: {loader.bad[0].reason}")
        result |= bound_of(loader, result["rows_per_second"], result.pop("bound_before"), seconds / 10)
    if json:
        print_json(result)
    else:
        _print(result, len(source))


def _measure(loader: Loader, seconds: float, *, quiet: bool) -> dict[str, Any]:
    """Measure loading, with reading and decoding alone before it; return the figures."""
    from bitesize.cli.moving import Moving

    with Moving(_figures(loader, 1.5 * seconds), errors, hide=quiet):
        cold, _ = load_for(loader, seconds / 2)
        bound = measure_bound(loader, seconds / 10)
        loader.stats.reset()
        rate, rows = load_for(loader, seconds)
    stats = loader.stats
    return {
        "rows_per_second": rate,
        "first_rows_per_second": cold,
        "seconds_an_epoch": len(loader.source) / rate,
        "rows": rows,
        "threads": stats.threads,
        "batch_size": loader.batch_size,
        "peak_bytes": loader.budget.peak,
        "seconds": stats.seconds,
        "wait_p50": stats.wait(0.5),
        "wait_p99": stats.wait(0.99),
        "bytes_read": stats.bytes_read,
        "bytes_handed_out": stats.bytes_handed_out,
        "megabytes_per_second": dict(zip(("read", "handed_out"), stats.megabytes_per_second, strict=True)),
        "bad_rows": len(loader.bad),
        "verdict": stats.verdict(),
        "bound_before": bound,
    }


def _figures(loader: Loader, total: float) -> Callable[[], Figures]:
    """Return a function that reports the progress of a measurement of ``total`` seconds."""
    import time

    from bitesize.cli.bar import memory_of
    from bitesize.cli.moving import Figures

    begun = time.perf_counter()

    def figures() -> Figures:
        """Return how far it is."""
        spent = min(time.perf_counter() - begun, total)
        others = (f"{loader.stats.rows_per_second:,.0f} rows/s", memory_of(loader.budget))
        return Figures("loading", spent, total, f"{spent:.0f}/{total:.0f} s", others=others, left=total - spent)

    return figures


def load_for(loader: Loader, seconds: float) -> tuple[float, int]:
    """Load for a number of seconds, over as many epochs as needed; return rows per second, and rows."""
    import time

    from bitesize.engine.loader import driver_of

    rows, begun = 0, time.perf_counter()
    for batch in driver_of(loader).iterate((loader.epoch, 0), endless=True):
        rows += len(batch.rows)
        if time.perf_counter() - begun > seconds:
            break
    return rows / (time.perf_counter() - begun), rows


def measure_bound(loader: Loader, seconds: float) -> float | str:
    """Measure reading and decoding alone, the best of a few rounds; or return why that is not possible."""
    from bitesize.errors import DoesNotFit

    try:
        return max(loader.measure_bound(seconds) for _ in range(_ROUNDS))
    except DoesNotFit as error:
        return f"the budget is too small to measure it: {error}"


def bound_of(loader: Loader, rate: float, before: float | str, seconds: float) -> dict[str, Any]:
    """Return the bound and the loading rate as a share of it; or None for both, and why there is no bound.

    A bound slightly below the loading rate shows that loading is as fast as reading and decoding alone: two measurements on one
    machine always differ a little. A bound far below the loading rate is invalid.
    """
    after = measure_bound(loader, seconds)
    if isinstance(before, str) or isinstance(after, str):
        return {
            "bound_rows_per_second": None,
            "share_of_bound": None,
            "no_bound": before if isinstance(before, str) else after,
        }
    most = max(before, after)
    for _ in range(_MORE):
        if most < rate:
            most = max(most, loader.measure_bound(seconds))
    if most < rate * (1 - _ALIKE):
        why = f"reading and decoding alone reached {most:,.0f} rows/s, less than loading did: there are too few rows, or some are cached"
        return {"bound_rows_per_second": None, "share_of_bound": None, "no_bound": why}
    return {"bound_rows_per_second": max(most, rate), "share_of_bound": min(1.0, rate / most), "no_bound": None}


def _print(result: dict[str, Any], rows: int) -> None:
    from rich.table import Table

    from bitesize.memory.sizes import format_size

    spent: dict[str, float] = result["seconds"]
    total = sum(spent.values()) or 1.0
    console.print(
        f"[bold green]{result['rows_per_second']:,.0f} rows/s[/], an epoch of {counted(rows, 'row')} in "
        f"{in_seconds(result['seconds_an_epoch'])}; {result['first_rows_per_second']:,.0f} rows/s at the start",
        highlight=False,
    )
    if result["share_of_bound"] is None:
        console.print(f"no bound: {result['no_bound']}", highlight=False)
    else:
        console.print(
            f"reading and decoding (or casting) alone: {result['bound_rows_per_second']:,.0f} rows/s, of which this is "
            f"[bold]{result['share_of_bound']:.0%}[/]",
            highlight=False,
        )
    rates = result["megabytes_per_second"]
    console.print(
        f"{rates['read']:,.1f} MB/s read, {rates['handed_out']:,.1f} MB/s returned; wait for a batch: {_time(result['wait_p50'])} "
        f"(median), {_time(result['wait_p99'])} (99th percentile)",
        highlight=False,
    )
    table = Table(box=None, show_header=False, padding=(0, 2))
    table.add_column()
    table.add_column(justify="right")
    for what, seconds in spent.items():
        if seconds > 0.005 * total:
            table.add_row(what, f"{seconds / total:.0%}")
    console.print_table(table)
    console.print(f"{in_options(result['verdict'])}.", highlight=False)
    console.print(f"peak loader memory {format_size(result['peak_bytes'])}", highlight=False)
    if result["bad_rows"]:
        bad = counted(result["bad_rows"], "row")
        console.print(
            f"{bad} could not be read; other rows replaced {'it' if result['bad_rows'] == 1 else 'them'}", highlight=False
        )


def _time(seconds: float) -> str:
    return f"{seconds * 1e3:,.3g} ms" if seconds < 1 else f"{seconds:,.3g} s"
