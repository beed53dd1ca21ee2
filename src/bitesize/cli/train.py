"""`bitesize train`: from a folder to a trained model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bitesize.cli.console import command, console, errors, left_out_line, plain, print_json
from bitesize.cli.options import (
    BatchSize,
    ImageSize,
    Json,
    Labels,
    MaxBad,
    Memory,
    Model,
    OnError,
    parse_batch_size,
    parse_on_error,
)

if TYPE_CHECKING:
    from bitesize.training.resume import Broken
    from bitesize.training.settings import TrainSettings


def train(
    context: typer.Context,
    data: Annotated[
        str | None,
        typer.Argument(metavar="DATA", help="As for the other commands. Left out with --resume in a run's folder."),
    ] = None,
    labels: Labels = None,
    val: Annotated[str | None, typer.Option(metavar="DATA", help="Data to validate on, with the same class names.")] = None,
    val_split: Annotated[
        float, typer.Option(metavar="SHARE", help="Share of each class held back to validate on, where --val is not given.")
    ] = 0.1,
    model: Model = "cnn",
    weights: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Weights file for a model of keras.applications; from scratch without."),
    ] = None,
    epochs: Annotated[int, typer.Option(help="How often each row is seen. 5 shows whether a model learns.")] = 5,
    batch_size: BatchSize = "32",
    memory: Memory = "auto",
    image_size: ImageSize = None,
    learning_rate: Annotated[
        float, typer.Option(help="At its highest: it rises over the first tenth of training, then falls to 0.")
    ] = 1e-3,
    seed: Annotated[int, typer.Option(help="Decides the split, the order, augmentation and first weights.")] = 0,
    class_weights: Annotated[
        bool, typer.Option("--class-weights", help="Rare classes count more, each class alike.")
    ] = False,
    early_stopping: Annotated[
        int, typer.Option(metavar="EPOCHS", help="Stop after so many epochs without a lower validation loss; 0: never.")
    ] = 0,
    augment: Annotated[bool, typer.Option(help="Crop and flip images at random while training.")] = True,
    normalize: Annotated[
        str,
        typer.Option(
            metavar="model|data",
            help="model: pixel values as the model expects them, 0 to 1 for our own. data: by mean and deviation of the training "
            "data, which is read once more for that.",
        ),
    ] = "model",
    on_error: OnError = "raise",
    max_bad: MaxBad = 0.01,
    out: Annotated[str, typer.Option(metavar="DIR", help="Folder for the model and its records.")] = "runs/latest",
    checkpoint_every: Annotated[
        str,
        typer.Option(
            metavar="5min|200",
            help="Save all of training after so many minutes or batches, to go on from there with --resume; 0: never. 5min: the "
            "most that is lost.",
        ),
    ] = "5min",
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the run in --out, or in this folder, where it was broken off.")
    ] = False,
    json: Json = False,
) -> None:
    """Train a classifier. The plan is printed first; after each epoch the model is saved."""
    from bitesize.errors import BadSetting
    from bitesize.training.settings import TrainSettings

    size: Any = parse_batch_size(batch_size)
    action: Any = parse_on_error(on_error)
    told = {
        "data": data,
        "labels": labels,
        "val": val,
        "val_split": val_split,
        "model": model,
        "weights": weights,
        "epochs": epochs,
        "batch_size": size,
        "memory": memory,
        "image_size": image_size,
        "learning_rate": learning_rate,
        "seed": seed,
        "class_weights": class_weights,
        "early_stopping": early_stopping,
        "augment": augment,
        "normalize": normalize,
        "on_error": action,
        "max_bad": max_bad,
        "checkpoint_every": checkpoint_every,
    }
    broken = None
    if data is not None and resume and not _is_given(context, "out") and (Path(data) / "config.json").is_file():
        raise BadSetting(f"{data} is the folder of a run, which knows its data: bitesize train --resume --out {data}")
    if resume:
        given = {name: value for name, value in told.items() if _is_given(context, name)}
        out = out if _is_given(context, "out") else _folder_of_run(out)
        broken = _read_broken(out, given)
    elif data is None:
        raise typer.BadParameter(
            "DATA is missing: what to train on. (With --resume a broken run goes on, and knows its data.)"
        )
    result = run(broken.settings if broken else TrainSettings(**told), out, quiet=json, broken=broken)
    if json:
        print_json(result)


def _is_given(context: typer.Context, name: str) -> bool:
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


def _folder_of_run(out: str) -> str:
    """Take the folder that we are in, if a run is there."""
    import os

    return "." if os.path.isdir("checkpoints") else out


def _read_broken(out: str, given: dict[str, Any]) -> Broken | None:
    from bitesize.errors import BadSetting, NotFound
    from bitesize.training.estimators import is_estimator
    from bitesize.training.resume import read_broken

    broken = read_broken(out, given)
    if broken is None:
        if given.get("data") is None:
            raise NotFound(f"{out} has no checkpoint of a run to go on with: name its folder with --out")
        if is_estimator(given.get("model", "")):
            raise BadSetting(
                "--resume goes on with Keras models: one of scikit-learn has no state but the model, and begins anew"
            )
        errors.print(f"{plain(out)} has no checkpoint yet: training begins.", highlight=False)
    return broken


def run(settings: TrainSettings, out: str, *, quiet: bool, broken: Broken | None = None) -> dict[str, Any]:
    """Train with progress on the terminal; say what is saved when interrupted."""
    from bitesize.cli.interrupt import INTERRUPT, leave
    from bitesize.cli.progress import Quiet, Terminal
    from bitesize.training.estimators import is_estimator, prepare_estimator, train_estimator
    from bitesize.training.prepare import prepare
    from bitesize.training.resume import unfinished
    from bitesize.training.train import train

    watcher = Quiet() if quiet else Terminal()
    job: Any = None

    def say_interrupted() -> None:
        """Say what is saved, and how to go on."""
        errors.print(plain(_interrupted(job, watcher.epochs, out)), highlight=False, soft_wrap=True)

    left = unfinished(out) if broken is None else None
    if left:
        errors.print(
            f"{plain(out)} has a run that was broken off ({left}); --resume would go on with it. It stays until this one has "
            "an epoch done.",
            highlight=False,
        )
    try:
        with watcher:
            if is_estimator(settings.model):
                job = prepare_estimator(settings, out)
                result = train_estimator(job, watcher)
            elif (saves := (job := prepare(settings, out, broken)).checkpoint) is None:
                result = train(job, watcher)
            else:
                with INTERRUPT.gently(saves.stop, lambda: saves.waits, say_interrupted):
                    result = train(job, watcher)
    except KeyboardInterrupt:
        if job is not None:
            job.close()
        say_interrupted()
        leave()
    finally:
        if job is not None:
            job.close()
    if not quiet:
        _print_end(result, out, job.train.left_out)
    return {**result, "out": out}


def _interrupted(job: Any, epochs: int, out: str) -> str:
    saved = None if job is None or job.checkpoint is None else job.checkpoint.newest_path
    if saved is None and epochs:
        return f"Interrupted. The model of {epochs} epochs is in {out}; the same command starts again."
    if saved is None:
        return "Interrupted. Nothing is saved: the same command starts again."
    return f"Interrupted. {saved} is the whole state of training. It goes on with\n  {command()} train --resume --out {out}"


def _print_end(result: dict[str, Any], out: str, left_out: Any) -> None:
    from bitesize.memory.sizes import format_size
    from bitesize.training.run import RunFolder

    peak, budget = format_size(result["peak_bytes"]), format_size(result["budget"])
    console.print(f"{result['rows_per_second']:,.0f} rows/s, loading held at most {peak} of its {budget}", highlight=False)
    if result["best_epoch"]:
        console.print(
            f"the saved model is that of epoch {result['best_epoch']}, of the lowest validation loss", highlight=False
        )
    if result["bad_rows"]:
        console.print(f"{result['bad_rows']} rows were skipped: {plain(out)}/bad_rows.csv lists them", highlight=False)
    line = left_out_line(left_out)
    if line:
        console.print(line, highlight=False)
    console.print(
        f"saved in [bold]{plain(out)}[/]: {RunFolder(Path(out)).saved.name}, history.csv, config.json, classes.json",
        highlight=False,
    )
