"""`bitesize plan`: show the memory plan before anything runs."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from bitesize.cli.console import print_json, say_when_compiling
from bitesize.cli.options import (
    BatchSize,
    CacheFolder,
    CacheKind,
    CacheSize,
    Data,
    ImageSize,
    Json,
    MaxSide,
    Memory,
    Opening,
    Overwrite,
    TaskName,
    parse_batch_size,
    refuse_to_replace,
    takes_options,
)

ModelToPlan = Annotated[
    str | None,
    typer.Option(metavar="MODEL", help="Also show the memory to train this model; values as in `bitesize train --model`."),
]
WeightsToPlan = Annotated[
    str | None,
    typer.Option(
        metavar="imagenet|FILE",
        help="Weights that the model starts with, as in `bitesize train`; nothing is downloaded.",
    ),
]
Ram = Annotated[
    str | None,
    typer.Option(metavar="SIZE", help="Plan for a machine with this much memory, such as 8GiB, instead of this one."),
]
Measure = Annotated[
    bool, typer.Option("--measure", help="Also load for two seconds, and report rows/s and what limits them.")
]
Html = Annotated[str | None, typer.Option("--html", metavar="FILE", help="Also write the result as a page.")]


@takes_options
def plan(
    data: Data,
    opening: Opening,
    batch_size: BatchSize = "32",
    image_size: ImageSize = None,
    memory: Memory = "auto",
    task: TaskName = "auto",
    model: ModelToPlan = None,
    weights: WeightsToPlan = None,
    ram: Ram = None,
    measure: Measure = False,
    cache: CacheSize = None,
    cache_folder: CacheFolder = None,
    cache_kind: CacheKind = "exact",
    max_side: MaxSide = None,
    html: Html = None,
    overwrite: Overwrite = False,
    json: Json = False,
) -> None:
    """Show what `bitesize train` would load, the memory it needs, and the limits. Without --measure, only a few rows are read."""
    from bitesize.cli.plan_output import print_result, write_html
    from bitesize.cli.plan_result import make_result
    from bitesize.training.settings import TrainSettings

    if html is not None:
        refuse_to_replace(html, overwrite)
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
        task=task,
        cache=cache,
        cache_folder=cache_folder,
        cache_kind=cache_kind,  # type: ignore[arg-type]
        max_side=max_side,
    ).with_opening(opening.settings)
    result = make_result(settings, opening, ram=ram, model=model, measure=measure)
    if json:
        print_json(result.as_dict())
    else:
        print_result(result)
    if html is not None:
        write_html(html, result, data, quiet=json)
