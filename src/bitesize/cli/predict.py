"""`bitesize predict`: predict the class of each file, with probabilities."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from bitesize.cli.console import console, counted, in_options, plain, print_understood, print_warning, say_when_compiling
from bitesize.cli.named_run import open_run
from bitesize.cli.options import (
    Json,
    Memory,
    Opening,
    Overwrite,
    RunArgument,
    takes_options,
    parse_on_error,
    refuse_to_replace,
)

_SHOWN = 5  # rows without a prediction
WhatToPredict = Annotated[
    list[str],
    typer.Argument(
        metavar="FILES...",
        help="Any number of files, folders (flat or nested) and globs in quotes. Labels are not needed.",
    ),
]


@takes_options
def predict(
    context: typer.Context,
    run: RunArgument,
    data: WhatToPredict,
    opening: Opening,
    out: Annotated[
        str,
        typer.Option(
            metavar="FILE",
            help="Output file: .csv, or .parquet (needs pyarrow). An existing file is only replaced with --overwrite.",
        ),
    ] = "predictions.csv",
    memory: Memory = "auto",
    on_error: Annotated[
        str,
        typer.Option(
            metavar="skip|raise",
            help="What to do when a file cannot be read. skip: write a line with the reason. raise: stop.",
        ),
    ] = "skip",
    overwrite: Overwrite = False,
    json: Json = False,
) -> None:
    """Predict: write one line per file, in order, with its class, the probability of each class, and the error if it could not be read. --json prints one object, and writes a file only with --out."""
    from bitesize.cli.bar import counting
    from bitesize.cli.predictions import JsonOut, csv_file, parquet_file
    from bitesize.errors import BadSetting
    from bitesize.memory.budget import Budget
    from bitesize.training.collecting import collect
    from bitesize.training.predicting import reason_of
    from bitesize.training.trained import TrainedModel

    if Path(out).suffix not in (".csv", ".parquet"):
        raise BadSetting(f"--out must end in .csv or .parquet, not {out}")
    if not Path(out).absolute().parent.is_dir():
        raise BadSetting(f"the folder of --out {out} does not exist")
    chosen = context.get_parameter_source("out")
    to_file = not json or (chosen is not None and chosen.name == "COMMANDLINE")
    if to_file:
        refuse_to_replace(out, overwrite)
    say_when_compiling()
    action: Any = parse_on_error(on_error)
    folder = open_run(run)
    given = collect(folder.config(), data, opening.settings, labels=opening.labels, split=opening.split)
    model, budget = TrainedModel(folder), Budget(memory)
    writes = csv_file if Path(out).suffix == ".csv" else parquet_file
    printed = JsonOut(model.classes) if json else None
    if not json:
        _print_given(given, model)
    counts, first = dict.fromkeys(model.classes, 0), None
    bad, examples = 0, list[str]()
    with (
        counting("predicting", len(given), hide=json, budget=budget) as progress,
        _maybe(to_file, writes, out, model.classes) as add,
    ):
        for block in model.predict_blocks(given, budget, action, progress):
            paths = [given.describe(block.start + i) for i in range(len(block.probabilities))]
            reasons = [""] * len(paths)
            for row, error in block.reasons.items():
                reasons[row - block.start] = reason_of(error, paths[row - block.start])
            labels = _labels(model.classes, block.probabilities, counts)
            add(paths, labels, block.probabilities, reasons)
            if printed is not None:
                printed.add(paths, labels, block.probabilities, reasons)
            bad += len(block.reasons)
            examples += [f"{path}: {reason}" for path, reason in zip(paths, reasons, strict=True) if reason][
                : _SHOWN - len(examples)
            ]
            first = first or next(iter(block.reasons.values()), None)
        if first is not None and bad == len(given) and to_file and Path(out).exists():
            if printed is not None:
                printed.end(model.said_of(given) + model.adapted, len(given), bad)
            raise type(first)(f"{first}. None of {counted(bad, 'row')} could be predicted: {out} is unchanged") from first
    _say(model.adapted, quiet=json)
    if printed is not None:
        printed.end(model.said_of(given) + model.adapted, len(given), bad)
    else:
        _print_end(counts, bad, len(given), out)
        for line in examples if bad < len(given) else []:
            console.print(f"  {plain(line)}", highlight=False, soft_wrap=True)
    if first is not None and bad == len(given):
        raise first


def _maybe(to_file: bool, writes: Any, out: str, classes: tuple[str, ...]) -> Any:
    import contextlib

    return writes(out, classes) if to_file else contextlib.nullcontext(lambda *_: None)


def _labels(classes: tuple[str, ...], probabilities: Any, counts: dict[str, int]) -> list[str]:
    """Return the class of each row, and count the classes; empty for rows without a prediction."""
    import numpy as np

    known = ~np.isnan(probabilities).any(axis=1)
    labels = [classes[i] if there else "" for i, there in zip(probabilities.argmax(axis=1), known, strict=True)]
    for label in labels:
        if label:
            counts[label] += 1
    return labels


def _print_given(given: Any, model: Any) -> None:
    """Print the lines about the data."""
    from bitesize.training.given import Rows

    if len(given.parts) == 1 and isinstance(given.parts[0], Rows):
        print_understood(given.parts[0].source)
        known = {in_options(str(choice)) for choice in given.parts[0].source.choices}
        lines = [line for line in given.said if in_options(line) not in known]
    else:
        console.print(f"[bold]{'data':<9}[/] {counted(len(given), 'file')} to predict", highlight=False)
        lines = model.said_of(given)
    for line in lines:
        heading, text = ("[yellow]left out [/] ", line[10:]) if line.startswith("left out: ") else ("", line)
        console.print(heading + plain(in_options(text)), highlight=False, soft_wrap=True)


def _say(said: list[str], *, quiet: bool) -> None:
    """Print the adaptations of the data."""
    for line in dict.fromkeys(said):
        if line.startswith("warning: "):
            print_warning(line.removeprefix("warning: "))
        elif not quiet:
            console.print(plain(in_options(line)), highlight=False, soft_wrap=True)


def _print_end(counts: dict[str, int], bad: int, rows: int, out: str) -> None:
    found = ", ".join(f"{plain(name)} {count:,}" for name, count in list(counts.items())[:12])
    has = "has" if bad == 1 else "have"
    skipped = f"; {counted(bad, 'row')} {has} no prediction; the column error has the reason" if bad else ""
    console.print(f"{counted(rows - bad, 'prediction')} in [bold]{plain(out)}[/]{skipped}", highlight=False, soft_wrap=True)
    if rows > bad:
        console.print(found + (", ..." if len(counts) > 12 else ""), highlight=False, soft_wrap=True)
