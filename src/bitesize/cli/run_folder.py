"""Choose the folder in which `bitesize train` trains: continue the run there, keep it, or replace it on request."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from bitesize.cli.console import command, errors, plain
from bitesize.cli.storage_options import set_also, without_values
from bitesize.memory.sizes import rounded

if TYPE_CHECKING:
    from bitesize.training.interrupted import Start
    from bitesize.training.run import RunFolder
    from bitesize.training.run_status import RunStatus, SavedCheckpoint
    from bitesize.training.settings import TrainSettings


@dataclass(frozen=True)
class Wanted:
    """Request of a command.

    Parameters
    ----------
    settings
        All settings; None if a run is resumed without DATA.
    given
        Settings from the command line, without defaults.
    out
        The folder; None for the next number in ``runs``.
    resume, overwrite, report
        The options ``--resume``, ``--overwrite`` and ``--report``.
    """

    settings: TrainSettings | None
    given: Mapping[str, Any]
    out: str | None
    resume: bool = False
    overwrite: bool = False
    report: bool = True


@dataclass(frozen=True)
class Chosen:
    """Folder and settings chosen for a command.

    Parameters
    ----------
    settings
        Settings of the training.
    start
        Folder and start of the training; None if nothing is left to train.
    finished
        Figures of a finished run, with its folder, if nothing is left to train.
    """

    settings: TrainSettings
    start: Start | None
    finished: dict[str, Any] | None = None


def choose(wanted: Wanted) -> Chosen:
    """Choose and lock the folder, and choose between resuming and starting; print the choice in one line.

    Raises
    ------
    BitesizeError
        If the choice would lose a run, or there is no run to resume.
    """
    from bitesize.errors import BadSetting

    if wanted.overwrite and (wanted.resume or wanted.out is None):
        other = "--resume continues it" if wanted.resume else "without --out, each run has its own number"
        raise BadSetting(f"--overwrite replaces the run in --out: {other}")
    if wanted.out is None:
        wanted = replace(wanted, out=_to_resume() if wanted.resume else None)
    if wanted.out is None:
        run, status = _numbered(wanted)
    else:
        run = create_run(_without_latest(wanted.out))
        status = None
    try:
        return _choose_in(run, status, wanted)
    except BaseException:
        run.release()
        raise


def _choose_in(run: RunFolder, status: RunStatus | None, wanted: Wanted) -> Chosen:
    from bitesize.training.run_status import read_status

    if wanted.overwrite:
        return _from_the_beginning(run, wanted, "is replaced after this run's first epoch")
    status = read_status(run.path) if status is None else status
    return _resumed(run, status, wanted) if wanted.resume else _repeated(run, status, wanted)


def _resumed(run: RunFolder, status: RunStatus, wanted: Wanted) -> Chosen:
    """Resume the run in a folder; with another number of epochs also a finished run."""
    from bitesize.errors import BadSetting, NotFound
    from bitesize.storage.paths import join
    from bitesize.training.estimators import is_estimator
    from bitesize.training.interrupted import read_interrupted
    from bitesize.training.settings import TrainSettings

    checkpoint, out = status.checkpoint, run.shown
    if checkpoint is None and status.summary is not None and status.config is not None:
        settings, epochs = TrainSettings.from_dict(status.config["settings"]), wanted.given.get("epochs")
        if epochs not in (None, settings.epochs):
            name = run.saved.name
            weights = f", or --model {join(out, name)} to start from its weights" if name == "model.keras" else ""
            raise BadSetting(
                f"the run in {out} has no checkpoint and cannot be trained longer: use --overwrite to train from scratch{weights}"
            )
        return _finished(run, status, settings)
    if checkpoint is None:
        if wanted.settings is None:
            folds = (
                " It has the folds of a cross-validation: repeat the command with DATA and --folds."
                if (run.path / "fold-1").is_dir()
                else ""
            )
            raise NotFound(f"{out} has no checkpoint to resume from: name the folder of the run with --out.{folds}")
        if is_estimator(wanted.settings.model):
            raise BadSetting(
                "--resume works for Keras models only. Models of scikit-learn save no training state: leave out --resume to train from "
                "scratch"
            )
        say(f"{out} has no checkpoint yet: training starts.")
        return _from_the_beginning(run, wanted)
    resumed = read_interrupted(run, checkpoint, wanted.given)
    set_also((resumed.settings.data, resumed.settings.val, resumed.settings.labels))
    if status.interrupted is None and not resumed.extends:
        return _finished(run, status, resumed.settings)
    say(f"Continuing the run in {out} from {checkpoint.name} ({checkpoint.described}).")
    return Chosen(resumed.settings, _start(run, wanted, resumed))


def _repeated(run: RunFolder, status: RunStatus, wanted: Wanted) -> Chosen:
    """Train with the settings of the command: resume a run of the same command, and keep runs of other commands."""
    from bitesize.errors import BadSetting
    from bitesize.training.interrupted import read_interrupted

    assert wanted.settings is not None
    out, interrupted = run.shown, status.interrupted
    if interrupted is not None:
        if not interrupted.extra:
            raise BadSetting(f"the checkpoints in {out} were not written by bitesize train: use another --out")
        differ = _differences(interrupted.extra, wanted.settings)
        if not differ:
            given = {name: value for name, value in wanted.given.items() if name != "epochs"}
            resumed = read_interrupted(run, interrupted, given)
            elsewhere = "another --out" if wanted.out is not None else "--out DIR"
            again = "--overwrite starts from scratch, " if wanted.out is not None else ""
            say(
                f"Continuing the interrupted run in {out} from {interrupted.name} ({interrupted.described}): {again}{elsewhere} starts "
                "another run."
            )
            return Chosen(resumed.settings, _start(run, wanted, resumed))
        if interrupted.epochs:
            _refuse(out, "an interrupted run", differ, command("train", "--resume", "--out", out) + " continues it")
    if status.config is not None:
        differ = _differences(status.config, wanted.settings)
        if differ:
            longer = ""
            if status.summary is not None and [each.name for each in differ] == ["epochs"]:
                more = ("train", "--resume", "--epochs", wanted.settings.epochs, "--out", out)
                longer = f"{command(*more)} trains it longer"
            _refuse(out, "a finished run" if status.summary else "the model of an interrupted run", differ, longer)
        if status.summary is not None:
            return _finished(run, status, wanted.settings)
        say(f"{out} has the model of an interrupted run without checkpoints: training starts from scratch.")
    return _from_the_beginning(run, wanted)


def _differences(saved: Mapping[str, Any], settings: TrainSettings) -> list[Any]:
    from bitesize.training.differences import differences, differences_of_data

    return differences(saved, settings) or differences_of_data(saved, settings)


def _refuse(out: str, kind: str, differ: list[Any], way: str) -> NoReturn:
    from bitesize.errors import BadSetting

    also = f"; {way}" if way else ""
    raise BadSetting(
        f"{out} has {kind} with other settings: {'; '.join(map(str, differ))}. Another --out keeps it; --overwrite replaces it{also}"
    )


def _from_the_beginning(run: RunFolder, wanted: Wanted, outcome: str = "") -> Chosen:
    assert wanted.settings is not None
    if outcome and any((run.path / name).exists() for name in ("config.json", "checkpoints")):
        say(f"The run in {run.shown} {outcome}.")
    return Chosen(wanted.settings, _start(run, wanted))


def _start(run: RunFolder, wanted: Wanted, resumed: Any = None) -> Start:
    from bitesize.training.interrupted import Start

    return Start(run, resumed, wanted.given, command(*without_values(sys.argv[1:])))


def _finished(run: RunFolder, status: RunStatus, settings: TrainSettings) -> Chosen:
    """Print that nothing is left to train, with the figures of the run and the next possible commands."""
    from bitesize.report.write import NAME
    from bitesize.storage.paths import join
    from bitesize.training.estimators import is_estimator

    assert status.summary is not None
    out, summary = run.shown, dict(status.summary)
    longer = ""
    if status.checkpoint is not None and not is_estimator(settings.model):
        epochs = 2 * len(summary["epochs"])
        longer = f"{command('train', '--resume', '--epochs', epochs, '--out', out)} trains longer, "
    say(
        f"The run in {out} is finished: nothing is left to train. {_figures(summary)}. {longer}--overwrite trains from scratch, another "
        f"--out starts a new run; {command('evaluate', out, 'DATA')} measures it."
    )
    page = join(out, NAME) if (run.path / NAME).is_file() else None
    run.finish()
    run.release()
    return Chosen(settings, None, {**summary, "out": out, "report": page, "understood": []})


def _figures(summary: Mapping[str, Any]) -> str:
    epochs = summary["epochs"]
    best = summary.get("best_epoch") or len(epochs)
    line = epochs[best - 1] if epochs else {}
    others = ("epoch", "seconds", "rows_per_second")
    names = sorted(
        (name for name in line if name not in others), key=lambda name: (name.startswith("val_"), "loss" not in name)
    )
    figures = ", ".join(f"{name} {rounded(line[name])}" for name in names)
    which = f"{len(epochs)} epochs" if len(epochs) != 1 else "1 epoch"
    return f"{which}{f', the best is epoch {best}' if best != len(epochs) else ''}: {figures}" if figures else which


def create_run(out: str | Path) -> RunFolder:
    """Create and lock the folder of a run; print where the working copy of a run at an address is."""
    from bitesize.training.run import RunFolder

    run = RunFolder.create(out)
    if run.address:
        say(f"Working copy: {run.path}. Its files are copied to {run.address} when they are complete.")
    return run


def _without_latest(out: str) -> str | Path:
    """Return the folder of --out: for ``runs/latest`` the newest numbered run, which is printed."""
    from bitesize.training.numbered import names_latest, numbered

    if not names_latest(out):
        return out
    run = numbered(Path(out).parent)[-1]
    say(f"{out} is {run}")
    return run


def _to_resume() -> str | None:
    """Return the run to resume without --out: the current directory, or the newest numbered run that has started."""
    from bitesize.training.numbered import LATEST, ROOT, numbered

    if os.path.isdir("checkpoints"):
        return "."
    runs = [*reversed(numbered(ROOT)), ROOT / LATEST]
    return next((str(run) for run in runs if any((run / each).exists() for each in ("config.json", "checkpoints"))), None)


def _numbered(wanted: Wanted) -> tuple[RunFolder, RunStatus]:
    """Return the newest numbered run of the same command, if it was interrupted; else a new one. Both are locked."""
    from bitesize.errors import BadFile, NotFound
    from bitesize.storage.locking import FolderLock
    from bitesize.training.differences import differences
    from bitesize.training.numbered import ROOT, create_numbered, numbered
    from bitesize.training.run import RunFolder
    from bitesize.training.run_status import RunStatus, read_status

    if wanted.settings is None:
        raise NotFound(f"there is no run to resume in {ROOT}: name its folder with --out")
    other: tuple[Path, SavedCheckpoint] | None = None
    for path in reversed(numbered(ROOT)):
        try:
            status = read_status(path)
        except BadFile:
            continue  # unusable, but no reason not to train
        interrupted = status.interrupted
        saved = status.config if interrupted is None else interrupted.extra
        if not saved:
            continue
        if differences(saved, wanted.settings) or (interrupted and _differences(saved, wanted.settings)):
            if other is None and interrupted is not None and not _is_training(path):
                other = path, interrupted
            continue
        if interrupted is None:
            break  # the same command was trained to its end before: start a new run
        lock = FolderLock.take(path)
        if lock is not None:
            return RunFolder(path, lock).cleared(), read_status(path)
    if other is not None:
        path, checkpoint = other
        way = command("train", "--resume", "--out", path)
        say(
            f"{path} is an interrupted run with other settings or data ({checkpoint.described}); to continue that run: {way}"
        )
    run = create_numbered(ROOT)
    say(f"run: {run.path} (--out DIR changes this)")
    return run, RunStatus(None, None, None)


def _is_training(path: Path) -> bool:
    from bitesize.storage.locking import FolderLock

    lock = FolderLock.take(path)
    if lock is None:
        return True
    lock.release()
    return False


def say(text: str) -> None:
    """Print a choice to stderr, apart from the results."""
    errors.print(plain(text), highlight=False, soft_wrap=True)
