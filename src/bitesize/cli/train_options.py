"""The options of `bitesize train`: each is declared here once, with its help and its default."""

from __future__ import annotations

from dataclasses import dataclass
from dataclasses import fields as fields_of
from typing import Annotated, Any

import typer

from bitesize.cli.options import (
    BatchSize,
    CacheFolder,
    CacheKind,
    CacheSize,
    ImageSize,
    MaxBad,
    MaxSide,
    Memory,
    Model,
    OnError,
    TaskName,
    parse_count,
    parse_on_error,
)

# Options with a number or auto.
_COUNTS = ("epochs", "batch_size", "early_stopping", "frozen_epochs")


@dataclass(frozen=True)
class TrainOptions:
    """Options about what is trained, with the names of `TrainSettings`."""

    val: Annotated[str | None, typer.Option(metavar="DATA", help="Validation data, with the same class names.")] = None
    val_split: Annotated[
        float, typer.Option(metavar="SHARE", help="Share of each class held back for validation, if --val is not given.")
    ] = 0.1
    split_by: Annotated[
        str | None,
        typer.Option(
            metavar="folder|COLUMN|REGEX",
            help="Keep groups of rows on one side of the validation split: rows of one folder below the class, of one value in a "
            "column such as patient, or of one match of a regular expression in the path.",
        ),
    ] = None
    folds: Annotated[
        int,
        typer.Option(
            metavar="K",
            help="Cross-validate: K trainings, each validated on another part, in OUT/fold-1 and so on. 0: off.",
        ),
    ] = 0
    task: TaskName = "auto"
    loss: Annotated[
        str,
        typer.Option(
            metavar="auto|mse|huber",
            help="The loss of numbers: mse, or huber if some targets are outliers. auto: mse; other tasks have one loss.",
        ),
    ] = "auto"
    ignore_class: Annotated[
        str,
        typer.Option(
            metavar="auto|none|N",
            help="The number in masks whose pixels count in neither loss nor metrics. auto: 255, if there are a few other numbers.",
        ),
    ] = "auto"
    model: Model = "auto"
    weights: Annotated[
        str | None,
        typer.Option(
            metavar="imagenet|FILE",
            help="Initial weights of a model of keras.applications: imagenet (downloaded by Keras) or a file. Default: random "
            "weights.",
        ),
    ] = None
    epochs: Annotated[
        str,
        typer.Option(
            metavar="N|auto",
            help="Number of passes over the training data. auto: enough for 1,000 steps, or 600 if the model is pretrained.",
        ),
    ] = "auto"
    batch_size: BatchSize = "32"
    memory: Memory = "auto"
    image_size: ImageSize = None
    learning_rate: Annotated[
        float,
        typer.Option(metavar="RATE", help="Peak learning rate: it rises over the first tenth of training, then falls to 0."),
    ] = 1e-3
    seed: Annotated[
        int, typer.Option(metavar="N", help="Seed of the split, the order, augmentation and initial weights.")
    ] = 0
    class_weights: Annotated[
        bool,
        typer.Option(
            "--class-weights",
            help="Weight rows so that all classes count equally. Of tags: weight those that rows have as much as those they lack. "
            "Of masks: weight pixels.",
        ),
    ] = False
    early_stopping: Annotated[
        str,
        typer.Option(
            metavar="EPOCHS|auto",
            help="Stop after this number of epochs without a lower validation loss, and keep the best weights. 0: never stop early, and "
            "keep the last weights. auto: half of all epochs, at least 5.",
        ),
    ] = "auto"
    frozen_epochs: Annotated[
        str,
        typer.Option(
            metavar="N|auto",
            help="Number of first epochs that train only the head of a model with --weights; the rest train all layers. auto: a third "
            "of all epochs. 0: train all layers from the start.",
        ),
    ] = "auto"
    augment: Annotated[bool, typer.Option(help="Crop and flip images at random while training.")] = True
    normalize: Annotated[
        str,
        typer.Option(
            metavar="model|data|unit|none|window=C,W|percentiles=L,H|row-percentiles=L,H",
            help="Normalization of values. model: to the range that the model expects, measured on a sample: mean 0 and deviation 1 for "
            "mlp and models from files, 0 to 1 for cnn. "
            "data: by mean and deviation of all training data, which takes one extra pass. unit: to 0 to 1. none: unchanged. "
            "window=40,400: the values 40 - 200 to 40 + 200 to 0 to 1, others clipped. percentiles=1,99: the same between percentiles of "
            "all training data, by channel; row-percentiles: of each row.",
        ),
    ] = "model"
    on_error: OnError = "raise"
    max_bad: MaxBad = 0.01
    cache: CacheSize = None
    cache_folder: CacheFolder = None
    cache_kind: CacheKind = "exact"
    max_side: MaxSide = None
    log: Annotated[
        list[str] | None,
        typer.Option(
            metavar="tensorboard|mlflow|wandb",
            help="Log also to TensorBoard (in the run's folder), MLflow or Weights & Biases, which are set by their own environment variables. "
            "Several times, or names with commas. log.jsonl of the run is always written.",
        ),
    ] = None
    prometheus: Annotated[
        str | None,
        typer.Option(
            metavar="FILE.prom",
            help="Write the present figures to a file, for the textfile collector of Prometheus's node exporter.",
        ),
    ] = None

    @property
    def settings(self) -> dict[str, Any]:
        """The options as `TrainSettings` takes them: texts are parsed."""
        values = {option.name: getattr(self, option.name) for option in fields_of(self)}
        values["on_error"] = parse_on_error(self.on_error)
        values["log"] = tuple(name.strip() for text in self.log or () for name in text.split(","))
        return values | {name: parse_count(f"--{name.replace('_', '-')}", values[name]) for name in _COUNTS}


@dataclass(frozen=True)
class RunOptions:
    """Options about the folder of the run."""

    out: Annotated[
        str | None,
        typer.Option(
            metavar="DIR",
            help="Folder, or address such as s3://bucket/runs/first, for the model and its records. Default: the next number, runs/1, runs/2 ...",
        ),
    ] = None
    checkpoint_every: Annotated[
        str,
        typer.Option(
            metavar="5min|200",
            help="Save a checkpoint after this number of minutes or batches; the same command continues from it. 0: never. 5min: at "
            "most 5 minutes are lost.",
        ),
    ] = "5min"
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            help="Resume the run in --out, in the current directory, or the newest one in runs; with more --epochs also a finished run.",
        ),
    ] = False
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the run in --out after the first epoch of the new run.")
    ] = False
    report: Annotated[
        bool,
        typer.Option(
            "--report/--no-report", help="Write report.html when training ends; the validation rows are read again for it."
        ),
    ] = True
