"""`bitesize train`: from a folder to a trained model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from bitesize.cli.console import console, errors, left_out_line, plain, print_json
from bitesize.cli.options import (
    BatchSize,
    Data,
    ImageSize,
    Json,
    Labels,
    Memory,
    Model,
    OnError,
    parse_batch_size,
    parse_on_error,
)

if TYPE_CHECKING:
    from bitesize.training.settings import TrainSettings


def train(
    data: Data,
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
    out: Annotated[str, typer.Option(metavar="DIR", help="Folder for the model and its records.")] = "runs/latest",
    json: Json = False,
) -> None:
    """Train a classifier. The plan is printed first; after each epoch the model is saved."""
    from bitesize.training.settings import TrainSettings

    size: Any = parse_batch_size(batch_size)
    action: Any = parse_on_error(on_error)
    settings = TrainSettings(
        data=data,
        labels=labels,
        val=val,
        val_split=val_split,
        model=model,
        weights=weights,
        epochs=epochs,
        batch_size=size,
        memory=memory,
        image_size=image_size,
        learning_rate=learning_rate,
        seed=seed,
        class_weights=class_weights,
        early_stopping=early_stopping,
        augment=augment,
        normalize=normalize,  # type: ignore[arg-type]  # checked there
        on_error=action,
    )
    result = run(settings, out, quiet=json)
    if json:
        print_json(result)


def run(settings: TrainSettings, out: str, *, quiet: bool) -> dict[str, Any]:
    """Train with progress on the terminal; say what is saved when interrupted."""
    from bitesize.cli.interrupt import leave
    from bitesize.cli.progress import Quiet, Terminal
    from bitesize.training.fit import fit
    from bitesize.training.prepare import prepare

    watcher = Quiet() if quiet else Terminal()
    job = None
    try:
        with watcher:
            job = prepare(settings, out)
            result = fit(job, watcher)
    except KeyboardInterrupt:
        if job is not None:
            job.close()
        errors.print(plain(_interrupted(job, watcher.epochs, out)), highlight=False, soft_wrap=True)
        leave()
    finally:
        if job is not None:
            job.close()
    if not quiet:
        _print_end(result, out, job.train.left_out)
    return {**result, "out": out}


def _interrupted(job: Any, epochs: int, out: str) -> str:
    if not epochs:
        return "Interrupted before the first epoch was done: nothing is saved. The same command starts again."
    data = job.settings.data
    return (
        f"Interrupted. {out}/model.keras is the model after epoch {epochs}, {out}/history.csv its history. Go on from it with\n"
        f"  bitesize train {data} --model {out}/model.keras --epochs {max(1, job.settings.epochs - epochs)} --out {out}-continued"
    )


def _print_end(result: dict[str, Any], out: str, left_out: Any) -> None:
    from bitesize.memory.sizes import format_size

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
    console.print(f"saved in [bold]{plain(out)}[/]: model.keras, history.csv, config.json, classes.json", highlight=False)
