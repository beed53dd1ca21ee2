"""`bitesize evaluate`: measure a trained model on data with labels."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bitesize.cli.console import console, counted, plain, print_json, print_understood, say_when_compiling
from bitesize.cli.named_run import open_run
from bitesize.cli.options import Json, MaxBad, Memory, OnError, Opening, RunArgument, parse_on_error, takes_options
from bitesize.cli.tasks import Threshold, print_figures, print_tables, task_with
from bitesize.cli.workers import WorkerOptions

if TYPE_CHECKING:
    from bitesize.cluster.team import Team
    from bitesize.sources.base import Source
    from bitesize.training.run import RunFolder
    from bitesize.training.tasks.base import Task

_SHOWN = 10
DataOfRun = Annotated[
    str | None,
    typer.Argument(
        metavar="DATA", help="Data with labels, as for the other commands. Default: the data of the run, with its labels."
    ),
]


@takes_options
def evaluate(
    run: RunArgument,
    data: DataOfRun = None,
    *,
    opening: Opening,
    workers: WorkerOptions,
    memory: Memory = "auto",
    on_error: OnError = "raise",
    max_bad: MaxBad = 0.01,
    part: Annotated[
        str | None,
        typer.Option(
            metavar="val|train",
            help="Use only the rows of the run's data that it was validated on (val) or trained on (train). Default: all rows.",
        ),
    ] = None,
    threshold: Threshold = None,
    json: Json = False,
) -> None:
    """Measure a trained model: loss, metrics, and figures per class, tag or target. Each row counts once. Data is opened with the run's settings."""
    from bitesize.errors import BadSetting
    from bitesize.sources.choices import Choice
    from bitesize.training.data import open_for_run
    from bitesize.training.data_of_run import data_of
    from bitesize.training.rows_of_run import rows_of_part, split_of, training_rows_line

    say_when_compiling()
    action: Any = parse_on_error(on_error)
    joined = workers.team(memory, quiet=json)
    folder = open_run(run)
    task = task_with(folder, threshold)
    config = {**folder.config(), "classes": folder.classes()}
    whole = data is None
    data = data_of(config) if data is None else data
    source = open_for_run(config, data, opening.settings, labels=opening.labels, split=opening.split, labeled=True)
    if part not in (None, "val", "train"):
        raise BadSetting(f"--part must be val or train, not {part!r}")
    if whole:
        source.choices = (Choice(f"data: {data}, on which the run was trained", "DATA"), *source.choices)
    split = split_of(folder.path, config, data, source)
    if part is not None:
        source = source.subset(rows_of_part(split, part, folder.shown))
    line = None if part == "val" else training_rows_line(split, len(source))
    warnings = [f"warning: {line}"] if line else []
    with joined as team:
        policy = {"on_error": action, "max_bad": max_bad, "task": task}
        result = _measured(team, folder, source, memory, policy, warnings, quiet=json)
    if json:
        print_json(result | ({"training_rows": len(split["train"])} if line else {}))
    else:
        _print(task, result)


def _measured(
    team: Team | None,
    folder: RunFolder,
    source: Source,
    memory: str,
    policy: dict[str, Any],
    warnings: list[str],
    *,
    quiet: bool,
) -> dict[str, Any]:
    """Evaluate with progress, in this process or by a team."""
    from bitesize.cli.bar import counting
    from bitesize.memory.budget import Budget

    budget = Budget(memory)
    with ExitStack() as stack:
        advance: list[Callable[[int], None]] = []

        def planned(said: list[str]) -> None:
            """Print the lines about the data and its adaptation; then show progress."""
            if not quiet:
                print_understood(source, [*said, *warnings])
            advance.append(stack.enter_context(counting("evaluating", len(source), hide=quiet, budget=budget)))

        seen: dict[str, Any] = {"progress": lambda rows: advance[0](rows), "planned": planned}
        if team is None:
            from bitesize.training.trained import TrainedModel, evaluate_source

            return evaluate_source(TrainedModel(folder), source, budget, **policy, **seen)
        from bitesize.cluster.scoring import evaluate as by_team

        return by_team(team, folder, source, memory, budget=budget, **policy, **seen)


def _print(task: Task, result: dict[str, Any]) -> None:
    print_figures(task, result)
    if result["bad_rows"]:
        are = "is" if result["bad_rows"] == 1 else "are"
        console.print(f"{counted(result['bad_rows'], 'row')} could not be read and {are} not counted:", highlight=False)
        for bad in result["bad"][:_SHOWN]:
            console.print(f"  {plain(bad['reason'])}", highlight=False, soft_wrap=True)
    print_tables(task, result)
