"""`bitesize train`: train a model on a folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from bitesize.cli.config_file import ConfigFile, PrintConfig, is_given, print_settings
from bitesize.cli.console import command, print_json
from bitesize.cli.options import Json, Opening, takes_options
from bitesize.cli.run_folder import Wanted
from bitesize.cli.train_options import RunOptions, TrainOptions
from bitesize.cli.workers import WorkerOptions

TrainData = Annotated[
    str | None,
    typer.Argument(metavar="DATA", help="Data as for the other commands. Not needed with --resume."),
]


@takes_options
def train(
    context: typer.Context,
    data: TrainData = None,
    *,
    opening: Opening,
    options: TrainOptions,
    run: RunOptions,
    workers: WorkerOptions,
    ram: Annotated[str | None, typer.Option(hidden=True)] = None,
    json: Json = False,
    config: ConfigFile = None,
    print_config: PrintConfig = False,
) -> None:
    """Train a model on classes, tags or numbers. Print the plan first; save the model after each epoch."""
    from bitesize.cli.train_ranks import choose_together, join, refuse_folds
    from bitesize.cli.train_run import train_run
    from bitesize.cli.train_workers import train_on_workers
    from bitesize.cluster.join import restarts
    from bitesize.errors import BadSetting
    from bitesize.training.settings import TrainSettings

    settings = _settings(data, opening, options, run)
    del config  # read by its callback
    if print_config:
        TrainSettings(**settings | {"data": data or "DATA"})  # which checks them
        print_settings(context)
        return
    _refuse_mistakes(data, opening, run, ram)
    given = {name: value for name, value in settings.items() if is_given(context, name)}
    if data is None and (options.folds or not run.resume):
        raise typer.BadParameter(_no_data(folds=bool(options.folds)))
    wanted = Wanted(
        None if data is None else TrainSettings(**settings), given, run.out, run.resume, run.overwrite, run.report
    )
    if chosen_workers := workers.chosen:
        if options.folds:
            raise BadSetting("--folds trains one model after another in one process: leave out --workers")
        result = train_on_workers(chosen_workers, wanted, json=json)
        if json and result is not None:
            print_json(result)
        return
    ranks = join()
    if options.folds:
        from bitesize.cli.folds import cross_validate

        refuse_folds(ranks)
        cross_validate(wanted, json=json)
        return
    result = train_run(
        choose_together(ranks, wanted, restarts()), quiet=json or not ranks.is_first, ranks=ranks, report=run.report
    )
    if json and ranks.is_first:
        print_json(result)
    ranks.close()


def _no_data(*, folds: bool) -> str:
    more = "--folds needs it, also with --resume" if folds else "name the data to train on; only --resume works without it"
    return f"DATA is missing: {more}."


def _settings(data: str | None, opening: Opening, options: TrainOptions, run: RunOptions) -> dict[str, Any]:
    """Return the options as `TrainSettings` takes them."""
    from bitesize.training.settings import OPENING

    return {
        "data": data,
        "labels": opening.labels,
        "split": opening.split,
        **{OPENING[name]: value for name, value in opening.settings.items()},
        **options.settings,
        "checkpoint_every": run.checkpoint_every,
    }


def _refuse_mistakes(data: str | None, opening: Opening, run: RunOptions, ram: str | None) -> None:
    """Raise for options that are meant for something else."""
    from bitesize.errors import BadSetting

    if (column := opening.sample_weights or "") == "imagenet" or column.endswith((".h5", ".keras")):
        raise BadSetting(f"--sample-weights names a column of the data; for weights of a model, use --weights {column}")
    if ram is not None:
        raise BadSetting(
            f"--ram is an option of plan: {command('plan', data or 'DATA', '--ram', ram)}. To limit the memory of loading in training, "
            "use --memory"
        )
    if data is not None and run.resume and run.out is None and (Path(data) / "config.json").is_file():
        raise BadSetting(
            f"{data} is a run folder, not data. To resume the run: {command('train', '--resume', '--out', data)}"
        )
