"""`bitesize plan`: the table of bytes, before anything runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bitesize.cli.console import console, left_out_line, print_json
from bitesize.cli.options import BatchSize, Data, ImageSize, Json, Labels, Memory, parse_batch_size

if TYPE_CHECKING:
    from bitesize.memory.plan import Plan


def plan(
    data: Data,
    batch_size: BatchSize = "32",
    image_size: ImageSize = None,
    memory: Memory = "auto",
    labels: Labels = None,
    json: Json = False,
) -> None:
    """Show what loading the data takes: the naive way, this way, and what limits. Nothing is loaded."""
    import numpy as np

    import bitesize as bs
    from bitesize.memory.sizes import format_size
    from bitesize.training.settings import preparation

    source = bs.open(data, labels)
    size: Any = parse_batch_size(batch_size)
    transforms = preparation(source, image_size, augment=False)
    with bs.Loader(source, batch_size=size, transforms=transforms, memory=memory, dtype=np.float32) as loader:
        made = loader.plan
    # Training with validation beside it takes two loaders, each with one slot more; see training/prepare.py.
    with bs.Loader(source, batch_size=made.batch_size, transforms=transforms, memory=1 << 60, dtype=np.float32) as probe:
        probe.hold(2)
        least = 2 * probe.least
    if json:
        print_json(
            {
                "train_least": least,
                **made.as_dict(),
                "left_out": dict(source.left_out),
                "classes": list(source.classes or ()),
            }
        )
        return
    print_plan(made)
    console.print(
        f"bitesize train, with validation beside it, needs at least {format_size(least, ceil=True)}.", highlight=False
    )
    line = left_out_line(source.left_out)
    if line:
        console.print(line, highlight=False)


def print_plan(made: Plan) -> None:
    """Print a plan as a table."""
    from rich.table import Table

    fields = ", ".join(f"{name} {what}" for name, what in made.fields.items())
    console.print(
        f"[bold]{made.rows:,}[/] rows, [bold]{made.batches:,}[/] batches of {made.batch_size}: {fields}", highlight=False
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
