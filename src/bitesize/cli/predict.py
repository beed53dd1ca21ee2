"""`bitesize predict`: predict the class, the tags, the numbers or the mask of each file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bitesize.cli.console import console, counted, in_options, plain, print_understood, print_warning, say_when_compiling
from bitesize.cli.masks import Masks, masks_folder
from bitesize.cli.named_run import open_run
from bitesize.cli.options import (
    Json,
    Memory,
    Opening,
    Overwrite,
    RunArgument,
    parse_on_error,
    refuse_to_replace,
    takes_options,
)
from bitesize.cli.tasks import Threshold, task_with
from bitesize.cli.workers import WorkerOptions

if TYPE_CHECKING:
    from bitesize.cluster.team import Team
    from bitesize.training.given import Given
    from bitesize.training.predicting import Block
    from bitesize.training.run import RunFolder
    from bitesize.training.tasks.base import Task

_SHOWN = 5  # rows without a prediction
WhatToPredict = Annotated[
    list[str],
    typer.Argument(
        metavar="FILES...",
        help="Any number of files, folders (flat or nested) and globs in quotes. Labels are not needed.",
    ),
]
PredictionsFile = Annotated[
    str,
    typer.Option(
        metavar="FILE",
        help="Output file or its address: .csv, or .parquet (needs pyarrow). An existing file is only replaced with --overwrite.",
    ),
]
OnUnreadable = Annotated[
    str,
    typer.Option(
        metavar="skip|raise",
        help="What to do when a file cannot be read. skip: write a line with the reason. raise: stop.",
    ),
]


@takes_options
def predict(
    context: typer.Context,
    run: RunArgument,
    data: WhatToPredict,
    opening: Opening,
    workers: WorkerOptions,
    out: PredictionsFile = "predictions.csv",
    memory: Memory = "auto",
    threshold: Threshold = None,
    masks: Masks = None,
    on_error: OnUnreadable = "skip",
    overwrite: Overwrite = False,
    json: Json = False,
) -> None:
    """Predict: write one line per file, in order, with its class, tags, numbers or mask, their probabilities, and the error if it could not be read. --json prints one object, and writes a file only with --out."""
    from bitesize.training.collecting import collect

    _check_out(out)
    out_source = context.get_parameter_source("out")
    to_file = not json or (out_source is not None and out_source.name == "COMMANDLINE")
    say_when_compiling()
    action: Any = parse_on_error(on_error)
    joined = workers.team(memory, quiet=json)
    folder = open_run(run)
    task = task_with(folder, threshold)
    given = collect(folder.config(), data, opening.settings, labels=opening.labels, split=opening.split)
    if to_file:  # after the input is found: --overwrite would not help if it is missing
        refuse_to_replace(out, overwrite)
    into = masks_folder(task, masks, out if to_file else None, overwrite)
    if not json:
        _print_given(given)
    with joined as team:
        said: list[str] = []
        blocks = _predicted(team, folder, given, memory, action, said, quiet=json)
        _write(blocks, task, given, said, (out if to_file else None, into), json=json)


def _predicted(
    team: Team | None, folder: RunFolder, given: Given, memory: str, action: Any, said: list[str], *, quiet: bool
) -> Iterator[Block]:
    """Load the model, and return an iterator that predicts with progress, in this process or by a team, and then adds to the lines said."""
    from bitesize.cli.bar import counting
    from bitesize.memory.budget import Budget

    budget = Budget(memory)
    if team is None:
        from bitesize.training.trained import TrainedModel, predict_blocks

        model = TrainedModel(folder)
    else:
        from bitesize.cluster.scoring import predict as by_team

    def blocks() -> Iterator[Block]:
        """Predict all rows."""
        with counting("predicting", len(given), hide=quiet, budget=budget) as progress:
            if team is None:
                yield from predict_blocks(model, given, budget, action, progress)
                said.extend(model.adapted)
            else:
                options: dict[str, Any] = {"on_error": action, "budget": budget, "progress": progress, "said": said}
                yield from by_team(team, folder, given, memory, **options)

    return blocks()


def _write(
    blocks: Iterator[Block], task: Task, given: Given, said: list[str], to: tuple[str | None, str | None], *, json: bool
) -> None:
    """Write all predictions to a file and a folder of masks, each of which may be None, and print them."""
    from bitesize.cli.masks import MaskFiles
    from bitesize.cli.predictions import JsonOut, open_file
    from bitesize.memory.budget import Budget
    from bitesize.storage import paths
    from bitesize.training.trained import notes_on

    out, folder = to
    tally, printed = Tally(task), JsonOut(task) if json else None
    files = None if folder is None else MaskFiles(folder, task, given, Budget("auto"))
    with open_file(out, task, len(given), masks=files is not None) as add:
        for block in blocks:
            lines = tally.add(block, [given.describe(block.start + i) for i in range(len(block.predictions))])
            more = () if files is None else (list(files.write(block)),)
            add(*lines, *more)
            if printed is not None:
                printed.add(*lines, *more)
        failed = tally.first_error if tally.bad == len(given) else None
        if failed is not None and out is not None and paths.exists(out):
            if printed is not None:
                printed.end(notes_on(given) + said, len(given), tally.bad)
            unchanged = f"None of {counted(tally.bad, 'row')} could be predicted: {out} is unchanged"
            raise type(failed)(f"{failed}. {unchanged}") from failed
    if files is not None:
        files.close()
    _print_adapted(said, quiet=json)
    if printed is not None:
        printed.end(notes_on(given) + said, len(given), tally.bad)
    else:
        _print_end(tally, len(given), str(out))
        if folder is not None and tally.bad < len(given):
            assert files is not None
            line = f"masks in [bold]{plain(folder)}[/], {files.said}"
            console.print(line, highlight=False, soft_wrap=True)
    if failed is not None:
        raise failed


def _check_out(out: str) -> None:
    """Raise, before any work is done, if the output file cannot be written."""
    from bitesize.errors import BadSetting
    from bitesize.storage.stores import storage_of
    from bitesize.storage.url import is_url

    if Path(out).suffix not in (".csv", ".parquet"):
        raise BadSetting(f"--out must end in .csv or .parquet, not {out}")
    if is_url(out):
        storage_of(out)  # its settings are wrong, or a package is missing
    elif not Path(out).absolute().parent.is_dir():
        raise BadSetting(f"the folder of --out {out} does not exist")


class Tally:
    """Counts of predicted rows.

    Attributes
    ----------
    predicted : Tally of `bitesize.training.tasks.base`
        Counter of the predictions.
    bad : int
        Number of rows without a prediction.
    examples : list of str
        The first of them, with the reason.
    first_error : Exception or None
    """

    def __init__(self, task: Task) -> None:
        self.predicted = task.tally()
        self.bad = 0
        self.examples: list[str] = []
        self.first_error: Exception | None = None

    def add(self, block: Any, paths: list[str]) -> tuple[list[str], Any, Any, list[str]]:
        """Count a block of predictions; return paths, predictions, whether rows have them, and reasons."""
        import numpy as np

        from bitesize.training.predicting import reason_of

        reasons = [""] * len(paths)
        for row, error in block.reasons.items():
            reasons[row - block.start] = reason_of(error, paths[row - block.start])
        self.bad += len(block.reasons)
        failures = [f"{path}: {reason}" for path, reason in zip(paths, reasons, strict=True) if reason]
        self.examples += failures[: _SHOWN - len(self.examples)]
        self.first_error = self.first_error or next(iter(block.reasons.values()), None)
        known = ~np.isnan(block.predictions).any(axis=1)
        self.predicted.add(block.predictions, known)
        return paths, block.predictions, known, reasons


def _print_given(given: Any) -> None:
    """Print the lines about the data."""
    from bitesize.training.given import Rows
    from bitesize.training.trained import notes_on

    if len(given.parts) == 1 and isinstance(given.parts[0], Rows):
        print_understood(given.parts[0].source)
        known = {in_options(str(choice)) for choice in given.parts[0].source.choices}
        lines = [line for line in given.said if in_options(line) not in known]
    else:
        console.print(f"[bold]{'data':<9}[/] {counted(len(given), 'file')} to predict", highlight=False)
        lines = notes_on(given)
    for line in lines:
        heading, text = ("[yellow]left out [/] ", line[10:]) if line.startswith("left out: ") else ("", line)
        console.print(heading + plain(in_options(text)), highlight=False, soft_wrap=True)


def _print_adapted(lines: list[str], *, quiet: bool) -> None:
    """Print the adaptations of the data."""
    for line in dict.fromkeys(lines):
        if line.startswith("warning: "):
            print_warning(line.removeprefix("warning: "))
        elif not quiet:
            console.print(plain(in_options(line)), highlight=False, soft_wrap=True)


def _print_end(tally: Tally, rows: int, out: str) -> None:
    bad = tally.bad
    has = "has" if bad == 1 else "have"
    skipped = f"; {counted(bad, 'row')} {has} no prediction; the column error has the reason" if bad else ""
    console.print(f"{counted(rows - bad, 'prediction')} in [bold]{plain(out)}[/]{skipped}", highlight=False, soft_wrap=True)
    if rows == bad:
        return
    console.print(plain(tally.predicted.line()), highlight=False, soft_wrap=True)
    for line in tally.examples:
        console.print(f"  {plain(line)}", highlight=False, soft_wrap=True)
