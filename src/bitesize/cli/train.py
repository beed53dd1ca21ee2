"""`bitesize train`: train a model on a folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bitesize.cli.console import (
    command,
    console,
    counted,
    errors,
    plain,
    print_json,
    print_warning,
    say_when_compiling,
    understood,
)
from bitesize.cli.options import (
    BatchSize,
    ImageSize,
    Json,
    MaxBad,
    Memory,
    Model,
    OnError,
    Opening,
    opens_data,
    parse_count,
    parse_on_error,
)
from bitesize.cli.run_folder import Chosen, Wanted, choose

if TYPE_CHECKING:
    from bitesize.training.interrupted import Start
    from bitesize.training.run import RunFolder
    from bitesize.training.settings import TrainSettings


@opens_data
def train(
    context: typer.Context,
    data: Annotated[
        str | None,
        typer.Argument(metavar="DATA", help="Data as for the other commands. Not needed with --resume."),
    ] = None,
    opening: Opening = Opening(),  # noqa: B008 - frozen
    val: Annotated[str | None, typer.Option(metavar="DATA", help="Validation data, with the same class names.")] = None,
    val_split: Annotated[
        float, typer.Option(metavar="SHARE", help="Share of each class held back for validation, if --val is not given.")
    ] = 0.1,
    split_by: Annotated[
        str | None,
        typer.Option(
            metavar="folder|COLUMN|REGEX",
            help="Keep groups of rows on one side of the validation split: rows of one folder below the class, of one value in a "
            "column such as patient, or of one match of a regular expression in the path.",
        ),
    ] = None,
    folds: Annotated[
        int,
        typer.Option(
            metavar="K",
            help="Cross-validate: K trainings, each validated on another part, in OUT/fold-1 and so on. 0: off.",
        ),
    ] = 0,
    model: Model = "auto",
    weights: Annotated[
        str | None,
        typer.Option(
            metavar="imagenet|FILE",
            help="Initial weights of a model of keras.applications: imagenet (downloaded by Keras) or a file. Default: random "
            "weights.",
        ),
    ] = None,
    epochs: Annotated[
        str,
        typer.Option(
            metavar="N|auto",
            help="Number of passes over the training data. auto: enough for 1,000 steps, or 600 if the model is pretrained.",
        ),
    ] = "auto",
    batch_size: BatchSize = "32",
    memory: Memory = "auto",
    image_size: ImageSize = None,
    learning_rate: Annotated[
        float, typer.Option(help="Peak learning rate: it rises over the first tenth of training, then falls to 0.")
    ] = 1e-3,
    seed: Annotated[int, typer.Option(help="Seed of the split, the order, augmentation and initial weights.")] = 0,
    class_weights: Annotated[
        bool, typer.Option("--class-weights", help="Weight rows so that all classes count equally.")
    ] = False,
    early_stopping: Annotated[
        str,
        typer.Option(
            metavar="EPOCHS|auto",
            help="Stop after this number of epochs without a lower validation loss, and keep the best weights. 0: never stop early, and "
            "keep the last weights. auto: half of all epochs, at least 5.",
        ),
    ] = "auto",
    frozen_epochs: Annotated[
        str,
        typer.Option(
            metavar="N|auto",
            help="Number of first epochs that train only the head of a model with --weights; the rest train all layers. auto: a third "
            "of all epochs. 0: train all layers from the start.",
        ),
    ] = "auto",
    augment: Annotated[bool, typer.Option(help="Crop and flip images at random while training.")] = True,
    normalize: Annotated[
        str,
        typer.Option(
            metavar="model|data|unit|none",
            help="Normalization of values. model: to the range that the model expects, measured on a sample: mean 0 and deviation 1 for "
            "mlp and models from files, 0 to 1 for cnn. "
            "data: by mean and deviation of all training data, which takes one extra pass. unit: to 0 to 1. none: unchanged.",
        ),
    ] = "model",
    on_error: OnError = "raise",
    max_bad: MaxBad = 0.01,
    out: Annotated[
        str | None,
        typer.Option(
            metavar="DIR", help="Folder for the model and its records. Default: the next number, runs/1, runs/2 ..."
        ),
    ] = None,
    checkpoint_every: Annotated[
        str,
        typer.Option(
            metavar="5min|200",
            help="Save a checkpoint after this number of minutes or batches; the same command continues from it. 0: never. 5min: at "
            "most 5 minutes are lost.",
        ),
    ] = "5min",
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            help="Resume the run in --out, in the current directory, or the newest one in runs; with more --epochs also a finished run.",
        ),
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the run in --out after the first epoch of the new run.")
    ] = False,
    ram: Annotated[str | None, typer.Option(hidden=True)] = None,
    json: Json = False,
) -> None:
    """Train a classifier. Print the plan first; save the model after each epoch."""
    from bitesize.errors import BadSetting
    from bitesize.training.settings import OPENING, TrainSettings

    action: Any = parse_on_error(on_error)
    options: dict[str, Any] = {
        "data": data,
        "labels": opening.labels,
        "split": opening.split,
        **{OPENING[name]: value for name, value in opening.settings.items()},
        "val": val,
        "val_split": val_split,
        "split_by": split_by,
        "folds": folds,
        "model": model,
        "weights": weights,
        "epochs": parse_count("--epochs", epochs),
        "batch_size": parse_count("--batch-size", batch_size),
        "memory": memory,
        "image_size": image_size,
        "learning_rate": learning_rate,
        "seed": seed,
        "class_weights": class_weights,
        "early_stopping": parse_count("--early-stopping", early_stopping),
        "frozen_epochs": parse_count("--frozen-epochs", frozen_epochs),
        "augment": augment,
        "normalize": normalize,
        "on_error": action,
        "max_bad": max_bad,
        "checkpoint_every": checkpoint_every,
    }
    _refuse_what_cannot_be(opening)
    if ram is not None:
        raise BadSetting(
            f"--ram is an option of plan: {command('plan', data or 'DATA', '--ram', ram)}. To limit the memory of loading in training, "
            "use --memory"
        )
    if data is not None and resume and out is None and (Path(data) / "config.json").is_file():
        raise BadSetting(
            f"{data} is a run folder, not data. To resume the run: {command('train', '--resume', '--out', data)}"
        )
    given = {name: value for name, value in options.items() if _is_given(context, name)}
    if data is None and (folds or not resume):
        more = (
            "--folds needs it, also with --resume" if folds else "name the data to train on; only --resume works without it"
        )
        raise typer.BadParameter(f"DATA is missing: {more}.")
    wanted = Wanted(None if data is None else TrainSettings(**options), given, out, resume, overwrite)
    if folds:
        from bitesize.cli.folds import cross_validate

        return cross_validate(wanted, json=json)
    result = run(choose(wanted), quiet=json)
    if json:
        print_json(result)
    return None


def _refuse_what_cannot_be(opening: Opening) -> None:
    """Raise if weights of a model are given as weights of samples."""
    from bitesize.errors import BadSetting

    if (column := opening.sample_weights or "") == "imagenet" or column.endswith((".h5", ".keras")):
        raise BadSetting(f"--sample-weights names a column of the data; for weights of a model, use --weights {column}")


def _is_given(context: typer.Context, name: str) -> bool:
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


def run(chosen: Chosen, *, quiet: bool, with_plan: bool = True) -> dict[str, Any]:
    """Train with progress on the terminal; print what is saved when interrupted."""
    from bitesize.cli.interrupt import INTERRUPT, leave
    from bitesize.cli.progress import Quiet, Terminal
    from bitesize.errors import NotFinite

    start = chosen.start
    if start is None:
        assert chosen.finished is not None
        return chosen.finished
    settings, out = chosen.settings, str(start.run.path)
    watcher = Quiet() if quiet else Terminal(with_plan)
    job: Any = None

    def close() -> None:
        """End the training, and unlock the folder."""
        if job is not None:
            job.close()
        start.run.release()

    def say_interrupted() -> None:
        """Print what is saved, and how to continue."""
        errors.print(plain(_interrupted(start, job, watcher.epochs)), highlight=False, soft_wrap=True)

    try:
        say_when_compiling()
        from bitesize.training.estimator_loop import train_estimator
        from bitesize.training.estimator_prepare import prepare_estimator
        from bitesize.training.estimators import is_estimator
        from bitesize.training.loop import train
        from bitesize.training.prepare import prepare

        with watcher:
            if is_estimator(settings.model):
                job = prepare_estimator(settings, start)
                result = train_estimator(job, watcher)
            elif (saves := (job := prepare(settings, start)).checkpoint) is None:
                result = train(job, watcher)
            else:
                with INTERRUPT.gently(saves.stop, lambda: saves.stop_pending, say_interrupted):
                    result = train(job, watcher)
    except KeyboardInterrupt:
        say_interrupted()
        close()
        leave()
    except NotFinite as error:
        skips = "" if not error.rows or settings.on_error == "skip" else ": use --on-error skip to skip them"
        raise NotFinite(f"{error}{skips}. {_kept(start.run)}", error.rows) from error
    finally:
        close()
    if not quiet:
        _print_end(result, out, automatic=settings.memory == "auto")
        if lost := _not_learned(result, job.settings, job.model):
            print_warning(lost)
    return {**result, "out": out, "understood": [*understood(job.train), *job.said, *job.warnings]}


def _kept(run: RunFolder) -> str:
    """Return a sentence on what a diverged run has saved."""
    from bitesize.training.run_status import read_status

    status = read_status(run.path)
    kept = [f"checkpoint {status.checkpoint.name}"] if status.checkpoint is not None and status.checkpoint.epochs else []
    kept += [run.saved.name] if status.config is not None else []
    if kept:
        return f"Kept in {run.path}, from before: {' and '.join(kept)}"
    return (
        "Nothing was saved"
        if (begin := status.checkpoint) is None
        else f"Only the initial state was saved: {run.checkpoints / begin.name}"
    )


def _not_learned(result: dict[str, Any], settings: TrainSettings, model: Any) -> str | None:
    """Return a warning if the saved model is no better than a constant answer, else None."""
    from bitesize.training.image_shape import LEAST_PRETRAINED_SIDE, LEAST_SIDE

    largest = result["largest_class"]
    line = result["epochs"][(result["best_epoch"] or len(result["epochs"])) - 1] if result["epochs"] else {}
    accuracy = line.get("val_accuracy")
    if largest is None or accuracy is None or accuracy > largest["share"]:
        return None
    assert settings.epochs != "auto"
    ways = ["a larger --early-stopping" if len(result["epochs"]) < settings.epochs else "more --epochs"]
    shape = getattr(model, "input_shape", (None,))[1:]
    side = min(shape[:2]) if len(shape) == 3 and None not in shape else 0
    if side >= LEAST_SIDE and (settings.model == "mlp" or ".py" in settings.model):
        ways.append("--model cnn")
    if side >= LEAST_PRETRAINED_SIDE and settings.model == "cnn":
        ways.append("--model MobileNetV2 --weights imagenet")
    ways.append(_last_way(settings, model))
    answer = f"no better than always answering {largest['class']!r} ({largest['share']:.3f})"
    return f"{answer}: try {', '.join(ways[:-1])} or {ways[-1]}"


def _last_way(settings: TrainSettings, model: Any) -> str:
    """Return the last suggestion: another normalization, unless the model's weights or layers require the current one."""
    from bitesize.training.estimators import is_estimator, takes_only_counts
    from bitesize.training.models import scales_itself

    scaled = settings.weights is not None or settings.model.endswith(".keras") or takes_only_counts(settings.model)
    if settings.normalize != "data" and not scaled and not scales_itself(model):
        return "--normalize data"
    return "another --model" if is_estimator(settings.model) else "another --learning-rate"


def _interrupted(start: Start, job: Any, epochs: int) -> str:
    out, saved = start.run.path, None
    own = job.config["run"] if job is not None else ""
    if job is not None and job.checkpoint is not None:
        replaces = start.broken is None and not _is_of(start.run, own)
        saved = None if replaces else job.checkpoint.newest_path
    elif start.broken is not None:
        saved = start.run.checkpoints / start.broken.standing.name
    if saved is None and epochs:
        return f"Interrupted. The model of {counted(epochs, 'epoch')} is in {out}; the same command starts from scratch."
    earlier = not epochs and start.broken is None and _has_model_of_another(start.run, own)
    if saved is None and earlier:
        return f"Interrupted. Nothing of this run is saved, and the earlier run in {out} is unchanged: the same command starts from scratch."
    if saved is None:
        return "Interrupted. Nothing is saved: the same command starts from scratch."
    again = "the command without --overwrite" if "--overwrite" in start.command else "the command"
    kept = f" The model of the earlier run in {out} is unchanged." if earlier else ""
    return f"Interrupted. {saved} is saved.{kept} To continue, repeat {again}, or:\n  {command('train', '--resume', '--out', out)}"


def _is_of(run: RunFolder, own: str) -> bool:
    """Return whether the newest checkpoint is of this run, and not of the run that it replaces."""
    from bitesize.errors import BadFile
    from bitesize.training.run_status import newest_checkpoint

    try:
        standing = newest_checkpoint(run)
    except BadFile:  # damaged checkpoints are of an earlier run: this run has written none
        return False
    return standing is not None and standing.extra.get("run") == own


def _has_model_of_another(run: RunFolder, own: str) -> bool:
    """Return whether the model in the folder is of the run that this run replaces."""
    from bitesize.errors import BadFile

    try:
        return run.whole and run.config().get("run") != own
    except BadFile:  # then there is no usable model
        return False


def _print_end(result: dict[str, Any], out: str, *, automatic: bool) -> None:
    from bitesize.memory.sizes import format_size
    from bitesize.training.run import RunFolder

    peak, budget = format_size(result["peak_bytes"]), format_size(result["budget"])
    # An automatic budget is measured again at the start of each epoch: the plan may show another figure.
    of = f"budget at the end {budget}" if automatic else f"budget {budget}"
    console.print(f"{result['rows_per_second']:,.0f} rows/s, peak loader memory {peak} ({of})", highlight=False)
    if result["best_epoch"]:
        console.print(
            f"saved the model of epoch {result['best_epoch']}, which has the lowest validation loss", highlight=False
        )
    if result["bad_rows"]:
        were = "was" if result["bad_rows"] == 1 else "were"
        console.print(
            f"{counted(result['bad_rows'], 'row')} {were} skipped: {plain(out)}/bad_rows.csv lists them", highlight=False
        )
    console.print(
        f"saved in [bold]{plain(out)}[/]: {RunFolder(Path(out)).saved.name}, history.csv, config.json, classes.json",
        highlight=False,
    )
