"""What is printed when a training ends: it is finished, it was interrupted, or it diverged."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from bitesize.cli.console import command, console, counted, plain

if TYPE_CHECKING:
    from bitesize.training.interrupted import Start
    from bitesize.training.run import RunFolder
    from bitesize.training.settings import TrainSettings


def describe_kept(run: RunFolder) -> str:
    """Return a sentence on what a diverged run has saved."""
    from bitesize.training.run_status import read_status

    status = read_status(run.path)
    kept = [f"checkpoint {status.checkpoint.name}"] if status.checkpoint is not None and status.checkpoint.epochs else []
    kept += [run.saved.name] if status.config is not None else []
    if kept:
        return f"Kept in {run.shown}, from before: {' and '.join(kept)}"
    return (
        "Nothing was saved"
        if (begin := status.checkpoint) is None
        else f"Only the initial state was saved: {run.shown_checkpoint(begin.name)}"
    )


def describe_not_learned(result: dict[str, Any], settings: TrainSettings, model: Any) -> str | None:
    """Return a warning if the saved model is no better than a constant answer, else None."""
    from bitesize.training.image_shape import LEAST_PRETRAINED_SIDE, LEAST_SIDE

    line = result["epochs"][(result["best_epoch"] or len(result["epochs"])) - 1] if result["epochs"] else {}
    constant = _constant_answer(result)
    if constant is None or not constant.is_as_good_as(line):
        return None
    assert settings.epochs != "auto"
    shape = getattr(model, "input_shape", (None,))[1:]
    side = min(shape[:2]) if len(shape) == 3 and None not in shape else 0
    pretrained = (
        ["--model MobileNetV2 --weights imagenet"] if side >= LEAST_PRETRAINED_SIDE and settings.model == "cnn" else []
    )
    if constant.is_left_behind_by_training(result["epochs"][-1]):  # longer training would only make it worse
        augment = ["--augment"] if side and not settings.augment else []
        ways = ["more data", *augment, *pretrained, "a smaller --model"]
        reached = f" although training reached {constant.metric} {result['epochs'][-1][constant.metric]:.3g} (overfitting)"
        return f"no better than {constant}{reached}: try {', '.join(ways[:-1])} or {ways[-1]}"
    ways = ["a larger --early-stopping" if len(result["epochs"]) < settings.epochs else "more --epochs"]
    if side >= LEAST_SIDE and (settings.model == "mlp" or ".py" in settings.model):
        ways.append("--model cnn")
    ways += [*pretrained, _last_way(settings, model)]
    return f"no better than {constant}: try {', '.join(ways[:-1])} or {ways[-1]}"


class _Constant(NamedTuple):
    """The figure that a constant answer has on the validation data."""

    metric: str
    value: float
    answer: str
    higher_is_better: bool

    def is_as_good_as(self, line: dict[str, Any]) -> bool:
        """Return whether an epoch is not better in validation."""
        reached = line.get(f"val_{self.metric}")
        return reached is not None and not (
            reached > self.value if self.higher_is_better else reached < self.value
        )  # also of NaN

    def is_left_behind_by_training(self, line: dict[str, Any]) -> bool:
        """Return whether the rows of training are answered far better: at least half of the way to the best figure, 1 or 0."""
        reached = line.get(self.metric)
        return reached is not None and (
            reached >= (1 + self.value) / 2 if self.higher_is_better else reached <= self.value / 2
        )

    def __str__(self) -> str:
        name = "" if self.metric == "accuracy" else f"{self.metric} "
        return f"{self.answer} ({name}{self.value:.{'3f' if self.higher_is_better else '4g'}})"


def _constant_answer(result: dict[str, Any]) -> _Constant | None:
    """Return the constant answer that a model should be better than, or None if it is unknown."""
    if "largest_class" not in result:
        return _Constant(**result["baseline"]) if result["baseline"] else None
    largest = result["largest_class"]
    return _Constant("accuracy", largest["share"], f"always answering {largest['class']!r}", True) if largest else None


def _last_way(settings: TrainSettings, model: Any) -> str:
    """Return the last suggestion: another normalization, unless the model's weights or layers require the current one."""
    from bitesize.training.estimators import is_estimator, takes_only_counts
    from bitesize.training.models import scales_itself

    scaled = settings.weights is not None or settings.model.endswith(".keras") or takes_only_counts(settings.model)
    if settings.normalize != "data" and not scaled and not scales_itself(model):
        return "--normalize data"
    return "another --model" if is_estimator(settings.model) else "another --learning-rate"


def describe_interrupted(start: Start, job: Any, epochs: int) -> str:
    """Return what is saved of an interrupted run after ``epochs`` epochs, and the command that continues it."""
    out, saved = start.run.shown, None
    own = job.config["run"] if job is not None else ""
    if job is not None and job.checkpoint is not None:
        replaces = start.resumed is None and not _is_of(start.run, own)
        newest = job.checkpoint.newest_path
        saved = None if replaces or newest is None else start.run.shown_checkpoint(newest.name)
    elif start.resumed is not None:
        saved = start.run.shown_checkpoint(start.resumed.checkpoint.name)
    if saved is None and epochs:
        return f"Interrupted. The model of {counted(epochs, 'epoch')} is in {out}; the same command starts from scratch."
    earlier = not epochs and start.resumed is None and _has_model_of_another(start.run, own)
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
        checkpoint = newest_checkpoint(run)
    except BadFile:  # damaged checkpoints are of an earlier run: this run has written none
        return False
    return checkpoint is not None and checkpoint.extra.get("run") == own


def _has_model_of_another(run: RunFolder, own: str) -> bool:
    """Return whether the model in the folder is of the run that this run replaces."""
    from bitesize.errors import BadFile

    try:
        return run.whole and run.config().get("run") != own
    except BadFile:  # then there is no usable model
        return False


def describe_no_report(run: RunFolder) -> str:
    """Return that a run has finished without its report, and the command that writes it."""
    return f"Interrupted. The run in {run.shown} has finished, but its report is not written: {command('report', run.shown)} writes it."


def _describe_stopped_early(result: dict[str, Any], patience: int) -> str | None:
    """Return that early stopping has ended a run, and what it waited for; None if all epochs were trained."""
    trained, planned = len(result["epochs"]), result["planned_epochs"]
    if result["best_epoch"] is None or trained >= planned:
        return None
    waited = counted(patience, "epoch")
    return f"stopped early after epoch {trained} of {planned}: no lower validation loss for {waited} (--early-stopping changes this)"


def print_end(result: dict[str, Any], out: str, saved: str, page: str | None, *, automatic: bool, patience: Any) -> None:
    """Print the figures of a finished run, and what is saved in its folder: the model ``saved``, and the report ``page``."""
    from bitesize.memory.sizes import format_size

    if (stopped := _describe_stopped_early(result, patience)) is not None:
        console.print(stopped, highlight=False, soft_wrap=True)
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
        f"saved in [bold]{plain(out)}[/]: {saved}, history.csv, config.json, classes.json",
        highlight=False,
    )
    if page is not None:
        console.print(f"report: [bold]{plain(page)}[/]", highlight=False, soft_wrap=True)
