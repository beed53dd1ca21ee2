"""`bitesize plan`: show the memory plan before anything runs."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bitesize.cli.console import (
    console,
    counted,
    in_options,
    in_seconds,
    plain,
    print_json,
    print_understood,
    print_warning,
    say,
    say_when_compiling,
    understood,
)
from bitesize.cli.options import (
    BatchSize,
    Data,
    ImageSize,
    Json,
    Memory,
    Opening,
    opens_data,
    parse_batch_size,
)
from bitesize.memory.sizes import format_size

if TYPE_CHECKING:
    from bitesize.engine.loader import Loader
    from bitesize.memory.budget import Budget
    from bitesize.memory.limits import Limit
    from bitesize.memory.plan import Plan
    from bitesize.sources.base import Source
    from bitesize.training.need import TrainingLoaders
    from bitesize.training.settings import TrainSettings


# Size from which a hint at a smaller data type is worthwhile, in bytes.
_WORTH_A_HINT = 64 << 20


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
            help="Also show the memory to train this model; values as in `bitesize train --model`.",
        ),
    ] = None,
    weights: Annotated[
        str | None,
        typer.Option(
            metavar="imagenet|FILE",
            help="Weights that the model starts with, as in `bitesize train`; nothing is downloaded.",
        ),
    ] = None,
    ram: Annotated[
        str | None,
        typer.Option(metavar="SIZE", help="Plan for a machine with this much memory, such as 8GiB, instead of this one."),
    ] = None,
    measure: Annotated[
        bool, typer.Option("--measure", help="Also load for two seconds, and report rows/s and what limits them.")
    ] = False,
    json: Json = False,
) -> None:
    """Show what `bitesize train` would load, the memory it needs, and the limits. Without --measure, only a few rows are read."""
    from bitesize.memory.budget import Budget
    from bitesize.training.epochs import choose_epochs
    from bitesize.training.settings import TrainSettings

    if measure:
        say_when_compiling()
    size: Any = parse_batch_size(batch_size)
    settings = TrainSettings(
        data,
        opening.labels,
        split=opening.split,
        batch_size=size,
        image_size=image_size,
        memory=memory,
        model=model or "auto",
        weights=weights,
    ).with_opening(opening.settings)
    _refuse_unknown(model, weights)
    train, val, warnings, refusal = _open(settings, opening)
    machine = None if ram is None else _machine(ram)
    budget = Budget(memory, machine)
    trains = opening.split is None and refusal is None
    if trains:
        settings, loaders, rows = _prepare_training(settings, train, val, budget)
    else:
        _loader_alone(settings, train, budget).close()  # refuses a budget too small for a batch, not for one row
    for part in (train, val):
        if part is not None:
            _read_first_row(part, settings, budget)
    if trains:
        loader, made, least = _plan_training(loaders, rows, budget)
    else:
        loader, least = _loader_alone(settings, train, budget), None
        made = loader.plan
    with loader:
        measured = _measure(loader) if measure else {}
        side = None if model is None else _model_side(model, loader.spec["x"].shape, len(train.classes or ()), made)
    chosen, said = choose_epochs(settings, made.batches, val is not None)
    if side is not None:
        made = replace(made, model=side["total"])
    made = replace(made, hints=(*made.hints, *_hint_at_bytes(train, budget)))
    if machine is not None:
        made = replace(made, limit=(machine.name, machine.room), machine=machine.name)
    if json:
        print_json(
            {
                "train_least": least,
                "epochs": chosen.epochs,
                **made.as_dict(),
                **({} if side is None else {"model": side}),
                **({} if not measured else {"measured": measured}),
                "understood": understood(train),
                "left_out": dict(train.left_out),
                "classes": list(train.classes or ()),
            }
        )
        return
    print_understood(train)
    print_plan(made)
    if least is not None:
        beside = " with validation" if val is not None else ""
        say(plain(f"bitesize train{beside} needs at least --memory {format_size(least, ceil=True).replace(' ', '')}."))
    if refusal is None:
        for line in said:
            say(plain(line))
    else:
        say(plain(f"bitesize train cannot use this data: {in_options(refusal)}."))
    for warning in warnings:
        print_warning(warning)
    if side is not None:
        _print_model_side(side, made.batch_size)
    if measured:
        console.print(
            f"[bold green]{measured['rows_per_second']:,.0f} rows/s[/], an epoch in {in_seconds(measured['seconds_an_epoch'])}. "
            f"{in_options(measured['verdict'])}.",
            highlight=False,
        )


def _refuse_unknown(model: str | None, weights: str | None) -> None:
    """Raise if training would refuse the model or the weights by name, before data is opened."""
    from bitesize.training.estimators import is_estimator
    from bitesize.training.models import check_model

    if weights is not None or (model is not None and not is_estimator(model)):
        check_model(model or "auto", weights)


def _open(settings: TrainSettings, opening: Opening) -> tuple[Source, Source | None, list[str], str | None]:
    """Open the data as for training, with its warnings; if training would refuse it, return the data and the reason."""
    from bitesize.errors import BadSetting
    from bitesize.sources.splits import SplitRequired
    from bitesize.training.data import open_data

    if opening.split is not None:
        return opening.open(settings.data), None, [], None
    try:
        data = open_data(settings)
    except SplitRequired:
        raise
    except BadSetting as error:
        return opening.open(settings.data), None, [], str(error)
    return data.train, data.val, data.warnings, None


def _machine(ram: str) -> Limit:
    """Return the memory for data on a machine with ``ram``."""
    from bitesize.memory.limits import Limit
    from bitesize.memory.overhead import measure_overhead
    from bitesize.memory.sizes import parse_size

    nbytes = parse_size(ram)
    return Limit(f"a machine with {format_size(nbytes)}", max(0, nbytes - measure_overhead(0)))


def _read_first_row(source: Source, settings: TrainSettings, budget: Budget) -> None:
    """Read one row as in training, to report a damaged first file instead of a plan."""
    import bitesize as bs
    from bitesize.errors import BitesizeError
    from bitesize.training.settings import preparation

    steps = preparation(source, settings.image_size, augment=False)
    try:
        with bs.Loader(
            source.subset([0]), batch_size=1, transforms=steps, memory=budget, threads=1, shuffle=False, dtype="float32"
        ) as loader:
            next(iter(loader))
    except BitesizeError as error:
        error.row = 0  # makes the message name the commands that find damaged files
        raise


def _prepare_training(
    settings: TrainSettings, train: Source, val: Source | None, budget: Budget
) -> tuple[TrainSettings, TrainingLoaders, int]:
    """Return the settings, the loaders of a training, and their batch size; raise for data that training would refuse."""
    from bitesize.errors import MissingPackage
    from bitesize.outputs.keras import batches_held
    from bitesize.training.backend import choose_backend
    from bitesize.training.models import choose_image_size
    from bitesize.training.need import TrainingLoaders

    try:
        held = batches_held(choose_backend())
    except MissingPackage:  # then the backend is not known yet
        held = batches_held("")
    settings, _ = choose_image_size(settings, train.spec["x"])
    # Only training measures the normalization of values; the memory does not depend on it.
    loaders = TrainingLoaders(settings, train, val, (), held)
    batch_size = loaders.choose_batch_size(budget)
    loaders.grow_or_refuse(batch_size, budget)
    return settings, loaders, batch_size


def _plan_training(loaders: TrainingLoaders, batch_size: int, budget: Budget) -> tuple[Loader, Plan, int]:
    """Create the loader of a training, and return its plan and the smallest budget."""
    from bitesize.training.need import plan_of

    loader, val_loader = loaders.open(batch_size, budget)
    made = plan_of(loader, val_loader)
    if val_loader is not None:
        val_loader.close()
    return loader, made, loaders.need(batch_size)


def _loader_alone(settings: TrainSettings, source: Source, budget: Budget) -> Loader:
    import numpy as np

    import bitesize as bs
    from bitesize.training.settings import preparation

    transforms = preparation(source, settings.image_size, augment=False)
    return bs.Loader(source, batch_size=settings.batch_size, transforms=transforms, memory=budget, dtype=np.float32)


def _hint_at_bytes(source: Source, budget: Budget) -> list[str]:
    """Return a hint if values that fit in a byte are stored in a larger type, as a sample of rows shows."""
    from bitesize.sources.value_range import value_range
    from bitesize.spec import Field

    what = source.spec["x"]
    if not isinstance(what, Field) or what.dtype.kind not in "iuf" or what.dtype.itemsize == 1:
        return []
    stored = len(source) * what.nbytes
    if stored < _WORTH_A_HINT or source.feature_names is not None:
        return []
    found = value_range(source, memory=budget)
    if not (found.integral and found.minimum >= 0 and 1 < found.maximum <= 255):
        return []
    small = format_size(stored // what.dtype.itemsize)
    return [
        f"The values of {counted(found.rows, 'row')} are whole numbers from 0 to 255: as uint8 the data would take {small}."
    ]


def _measure(loader: Loader) -> dict[str, Any]:
    """Measure loading for two seconds, after a first second that fills caches and loads compiled code."""
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
    """Return the memory to train a model, its device, and the largest batch that fits there."""
    from bitesize.memory.limits import available
    from bitesize.training.footprint import footprint, room_on_device
    from bitesize.training.models import build_model

    found = footprint(build_model(name, shape, max(2, classes)), shape)
    device = room_on_device()
    limit = available()
    # On the host the loader's bytes count, too; the framework is already subtracted from the available memory.
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

    table = Table(box=None, show_header=False, padding=(0, 2))
    table.add_column()
    table.add_column(justify="right")
    table.add_column(style="dim")
    for what, key, detail in [
        ("parameters", "parameters", ""),
        ("gradients", "gradients", ""),
        ("optimizer", "optimizer", "two states per parameter, as in Adam"),
        (
            f"a batch of {batch_size}",
            "batch",
            f"{format_size(side['activations_a_row'])} of activations per row, forward and backward",
        ),
        ("total", "total", f"of {format_size(side['room'])} ({plain(side['where'])})"),
    ]:
        table.add_row(what, format_size(side[key]), detail)
    console.print(f"\nmodel [bold]{plain(side['name'])}[/], in addition to the data:", highlight=False)
    console.print(table)
    most = side["largest_batch"]
    said = f"The largest batch that fits is about {most:,}." if most else "Not even one row fits."
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
        style = "red" if what.startswith("naive") else "bold green" if what == "total" else ""
        table.add_row(what, size, detail, style=style)
    console.print(table)
    console.print(plain(made.verdict), highlight=False)
    for hint in made.hints:
        console.print(f"[dim]{plain(in_options(hint))}[/]", highlight=False)
