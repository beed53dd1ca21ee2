"""`bitesize plan`: the table of bytes, before anything runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from bitesize.cli.console import console, counted, plain, print_json, print_understood, understood
from bitesize.cli.options import BatchSize, Data, ImageSize, Json, Memory, Opening, opens_data, parse_batch_size

if TYPE_CHECKING:
    from bitesize.engine.loader import Loader
    from bitesize.memory.plan import Plan


@opens_data
def plan(
    data: Data,
    opening: Opening,
    batch_size: BatchSize = "32",
    image_size: ImageSize = None,
    memory: Memory = "auto",
    model: Annotated[
        str | None,
        typer.Option(
            metavar="MODEL",
            help="Also what training this model takes, as `bitesize train --model` has it.",
        ),
    ] = None,
    measure: Annotated[
        bool, typer.Option("--measure", help="Also load for two seconds, and tell rows/s and what bounds them.")
    ] = False,
    json: Json = False,
) -> None:
    """Show what loading the data takes: the naive way, this way, and what limits. Nothing is loaded without --measure."""
    import numpy as np

    import bitesize as bs
    from bitesize.memory.sizes import format_size
    from bitesize.training.settings import preparation

    source = opening.open(data)
    size: Any = parse_batch_size(batch_size)
    transforms = preparation(source, image_size, augment=False)
    with bs.Loader(source, batch_size=size, transforms=transforms, memory=memory, dtype=np.float32) as loader:
        made = loader.plan
        measured = _measure(loader) if measure else {}
    # Training with validation beside it takes two loaders, each with one slot more; see training/prepare.py.
    with bs.Loader(source, batch_size=made.batch_size, transforms=transforms, memory=1 << 60, dtype=np.float32) as probe:
        probe.hold(2)
        least = 2 * probe.least
    side = None if model is None else _model_side(model, loader.spec["x"].shape, len(source.classes or ()), made)
    if json:
        print_json(
            {
                "train_least": least,
                **made.as_dict(),
                **({} if side is None else {"model": side}),
                **({} if not measured else {"measured": measured}),
                "understood": understood(source),
                "left_out": dict(source.left_out),
                "classes": list(source.classes or ()),
            }
        )
        return
    print_plan(made)
    console.print(
        f"bitesize train, with validation beside it, needs at least {format_size(least, ceil=True)}.", highlight=False
    )
    print_understood(source)
    if side is not None:
        _print_model_side(side, made.batch_size)
    if measured:
        console.print(
            f"[bold green]{measured['rows_per_second']:,.0f} rows/s[/], an epoch in {measured['seconds_an_epoch']:,.1f} s. "
            f"{measured['verdict']}.",
            highlight=False,
        )


def _measure(loader: Loader) -> dict[str, Any]:
    """Load for two seconds, after one that fills caches and loads compiled code."""
    from bitesize.cli.bench import load_for

    load_for(loader, 1.0)
    loader.stats.reset()
    rate, _ = load_for(loader, 2.0)
    return {
        "rows_per_second": rate,
        "seconds_an_epoch": len(loader.source) / rate,
        "verdict": loader.stats.verdict(),
    }


def _model_side(name: str, shape: tuple[int, ...], classes: int, made: Plan) -> dict[str, Any]:
    """Tell what training a model takes, where, and the largest batch that fits there."""
    from bitesize.memory.limits import available
    from bitesize.training.footprint import footprint, room_on_device
    from bitesize.training.models import build_model

    found = footprint(build_model(name, shape, max(2, classes)), shape)
    device = room_on_device()
    limit = available()
    # On the host the loader's own bytes count, too; what the framework has loaded is gone from what is available.
    where, room = device if device is not None else (limit.name, limit.room - made.total)
    return {
        "name": name,
        "parameters": found.parameters,
        "gradients": found.gradients,
        "optimizer": found.optimizer,
        "activations_a_row": found.activations,
        "batch": found.total(made.batch_size) - found.fixed,
        "total": found.total(made.batch_size),
        "where": where,
        "room": room,
        "fits": found.total(made.batch_size) <= room,
        "largest_batch": min(found.largest_batch(room), made.rows),
    }


def _print_model_side(side: dict[str, Any], batch_size: int) -> None:
    from rich.table import Table

    from bitesize.memory.sizes import format_size

    table = Table(box=None, show_header=False, padding=(0, 2))
    table.add_column()
    table.add_column(justify="right")
    table.add_column(style="dim")
    for what, key, detail in [
        ("parameters", "parameters", ""),
        ("gradients", "gradients", ""),
        ("optimizer", "optimizer", "two states a parameter, as Adam has"),
        (f"a batch of {batch_size}", "batch", f"{format_size(side['activations_a_row'])} of activations a row, both ways"),
        ("training, in all", "total", f"of {format_size(side['room'])} ({plain(side['where'])})"),
    ]:
        table.add_row(what, format_size(side[key]), detail)
    console.print(f"\nthe model [bold]{plain(side['name'])}[/], beside the data:", highlight=False)
    console.print(table)
    most = side["largest_batch"]
    said = f"The largest batch that fits there is about {most:,}." if most else "Not even one row fits there."
    console.print(said if side["fits"] else f"[red]This does not fit.[/] {said}", highlight=False)


def print_plan(made: Plan) -> None:
    """Print a plan as a table."""
    from rich.table import Table

    fields = ", ".join(f"{name} {what}" for name, what in made.fields.items())
    console.print(
        f"[bold]{counted(made.rows, 'row')}[/], [bold]{counted(made.batches, 'batch', 'batches')}[/] of {made.batch_size}: {fields}",
        highlight=False,
    )
    table = Table(box=None, show_header=False, padding=(0, 2))
    table.add_column()
    table.add_column(justify="right")
    table.add_column(style="dim")
    for what, size, detail in made.table():
        style = "red" if what.startswith("naive") else "bold green" if what.startswith("this way") else ""
        table.add_row(what, size, detail, style=style)
    console.print(table)
    console.print(made.verdict, highlight=False)
    for hint in made.hints:
        console.print(f"[dim]{hint}[/]", highlight=False)
