"""`bitesize pack`: decode or collect data once, into few large files."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bitesize.cli.console import console, counted, in_options, in_seconds, plain, print_json, say, say_when_compiling
from bitesize.cli.options import Data, Json, MaxBad, Memory, OnError, Opening, parse_on_error, takes_options
from bitesize.cli.workers import WorkerOptions

if TYPE_CHECKING:
    from bitesize.packing.report import PackReport
    from bitesize.sources.base import Source

EXIT_FOUND = 3

Store = Annotated[
    str | None,
    typer.Option(
        metavar="DIR",
        help="Folder, or address, of the store: new, empty, or that of an interrupted run, which then continues.",
    ),
]
KindOption = Annotated[
    str,
    typer.Option(
        metavar="bytes|pixels|jpeg|auto",
        help="What is stored of images: the files unchanged, decoded pixels, or JPEGs encoded again if they are larger than --max-side. auto: "
        "bytes or pixels, by disk space and size of images. Arrays and labels are stored unchanged.",
    ),
]
MaxSide = Annotated[
    int | None,
    typer.Option(
        metavar="PIXELS", help="Reduce images whose longer side has more pixels than this. Default: keep their size."
    ),
]
ResizeOption = Annotated[
    str | None,
    typer.Option(
        metavar="PIXELS|HxW", help="Resize all images to a square, or to height x width, and store them as one array."
    ),
]
Quality = Annotated[int | None, typer.Option(metavar="N", help="JPEG quality of 1 to 100, for --kind jpeg. Default: 90.")]
Threads = Annotated[int | None, typer.Option(metavar="N", help="Number of threads. Default: one per processor.")]
ShardSize = Annotated[
    str | None,
    typer.Option(metavar="SIZE", help="Size of a shard. Default: 256MiB, and less for stores of less than 4 GiB."),
]
Verify = Annotated[
    bool,
    typer.Option(
        "--verify", help="Read the finished store and compare all checksums. Without --out: DATA is the store to verify."
    ),
]


@takes_options
def pack(
    data: Data,
    opening: Opening,
    on: WorkerOptions,
    out: Store = None,
    kind: KindOption = "auto",
    max_side: MaxSide = None,
    resize: ResizeOption = None,
    quality: Quality = None,
    memory: Memory = "auto",
    threads: Threads = None,
    shard_size: ShardSize = None,
    on_error: OnError = "raise",
    max_bad: MaxBad = 0.01,
    verify: Verify = False,
    json: Json = False,
) -> None:
    """Decode or collect data once into a packed store of few large plain files; an interrupted run continues when it is started again.

    All splits of the data are packed. With --workers, Ray divides the shards among processes of one machine or several; the store has the
    same bytes. Exit codes of --verify: 0: no problems; 3: damaged shards.
    """
    import bitesize as bs
    from bitesize.cli.bar import counting
    from bitesize.errors import BadSetting

    if out is None:
        if not verify:
            raise BadSetting("--out names the folder of the store; --verify without --out verifies the store DATA")
        _verify(data, json)
        return
    say_when_compiling()
    settings: dict[str, Any] = {
        "kind": kind, "max_side": max_side, "quality": quality, "threads": threads, "shard_size": shard_size,
        "on_error": parse_on_error(on_error), "max_bad": max_bad, "transforms": [] if resize is None else [bs.Resize(_size(resize))],
    }  # fmt: skip
    workers, parts = on.chosen, _opened(data, opening)
    budget = None if workers is not None else bs.Budget(memory)
    done = 0
    with (
        _notes_shown(hide=json),
        counting("packing", sum(map(len, parts.values())), hide=json, budget=budget, disk=out) as advance,
    ):

        def progress(rows: int, total: int) -> None:
            """Count the rows that are new."""
            nonlocal done
            advance(rows - done)
            done = rows

        if workers is not None:
            report = bs.ray.pack(parts, out, workers=workers, memory=memory, progress=progress, **settings)
        else:
            report = bs.pack(parts, out, memory=budget or memory, progress=progress, **settings)
    if json:
        print_json(_as_json(report))
    else:
        _show(report, "peak memory" if workers is None else "peak memory of a worker")
    if verify:
        _verify(out, json, quiet=json)


def _size(text: str) -> Any:
    from bitesize.errors import BadSetting

    try:
        sides = [int(side) for side in text.lower().split("x")]
    except ValueError:
        sides = []
    if len(sides) not in (1, 2):
        raise BadSetting(f"--resize takes one side in pixels, or height x width such as 224x320, not {text!r}")
    return sides[0] if len(sides) == 1 else tuple(sides)


def _opened(data: str, opening: Opening) -> dict[str, Source]:
    """Open all splits of the data by name; data without splits, or a chosen split, has an empty name."""
    import bitesize as bs
    from bitesize.sources.splits import SplitRequired

    def opened(split: str | None) -> Source:
        return bs.open(data, opening.labels_setting, split=split, **opening.settings)

    try:
        return {"": opened(opening.split)}
    except SplitRequired as error:
        return {split: opened(split) for split in error.splits}


@contextlib.contextmanager
def _notes_shown(*, hide: bool) -> Iterator[None]:
    """Print what packing decides, when it decides it."""

    class Shown(logging.Handler):
        """Print a record."""

        def emit(self, record: logging.LogRecord) -> None:
            """Print a record."""
            say(plain(in_options(record.getMessage())))

    log, handler = logging.getLogger("bitesize.pack"), Shown()
    before = log.level
    if not hide:
        log.addHandler(handler)
        log.setLevel(logging.INFO)
    try:
        yield
    finally:
        log.removeHandler(handler)
        log.setLevel(before)


def _show(report: PackReport, peak: str) -> None:
    from bitesize.memory.sizes import format_size

    total = sum(report.rows.values())
    rows = ", ".join(f"{name} {count:,}" for name, count in report.rows.items() if name)
    kept = f", {report.kept:,} of them from an earlier run" if report.kept else ""
    rate = f", {total / report.seconds:,.0f} rows/s" if report.seconds > 0 and not report.kept else ""
    console.print(
        f"{counted(total, 'row')}{f' ({rows})' if rows else ''} as {report.kind}: {counted(report.shards, 'shard')}{kept}, "
        f"{format_size(report.nbytes)} in [bold]{plain(report.path)}[/]: {in_seconds(report.seconds)}{rate}, {peak} {format_size(report.peak_nbytes)}",
        highlight=False,
        soft_wrap=True,
    )


def _as_json(report: PackReport) -> dict[str, Any]:
    return {
        "path": str(report.path),
        "kind": report.kind,
        "rows": sum(report.rows.values()),
        "splits": {name: rows for name, rows in report.rows.items() if name},
        "shards": report.shards,
        "kept": report.kept,
        "nbytes": report.nbytes,
        "skipped": [
            {"split": name, "row": row.row, "reason": row.reason} for name, rows in report.skipped.items() for row in rows
        ],
        "notes": list(report.notes),
        "seconds": report.seconds,
        "peak_bytes": report.peak_nbytes,
    }


def _verify(store: str, json: bool, *, quiet: bool = False) -> None:
    """Compare the checksums of a store; exit with code 3 if they differ."""
    from bitesize.cli.bar import counting_bytes
    from bitesize.memory.sizes import format_size
    from bitesize.packing.verify import damaged_shards, store_nbytes

    total, done = store_nbytes(store), 0
    with counting_bytes("verifying", total, hide=json) as at:

        def seen(nbytes: int) -> None:
            """Count bytes."""
            nonlocal done
            done += nbytes
            at(done)

        damaged = damaged_shards(store, seen)
    if json and not (quiet and not damaged):
        print_json({"path": store, "nbytes": total, "damaged": damaged})
    elif not json:
        for line in damaged:
            console.print(f"[bold red]damaged[/] {plain(line)}", highlight=False, soft_wrap=True)
        if not damaged:
            console.print(f"[bold green]all checksums agree[/]: {format_size(total)}", highlight=False)
    if damaged:
        raise typer.Exit(EXIT_FOUND)
