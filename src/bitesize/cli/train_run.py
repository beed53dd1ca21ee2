"""Train the chosen run, with progress on the terminal."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from bitesize.cli.console import described, errors, plain, print_warning, say_when_compiling, understood
from bitesize.cli.interrupt import INTERRUPT, leave
from bitesize.cli.report import write_after_training, write_missing
from bitesize.cli.run_folder import Chosen
from bitesize.cli.train_end import describe_interrupted, describe_kept, describe_no_report, describe_not_learned, print_end
from bitesize.cli.train_ranks import is_follower

if TYPE_CHECKING:
    from bitesize.training.interrupted import Start
    from bitesize.training.settings import TrainSettings


def train_run(
    chosen: Chosen,
    *,
    quiet: bool,
    with_plan: bool = True,
    ranks: Any = None,
    listener: Any = None,
    report: bool = True,
    end: Callable[[], None] = leave,
) -> dict[str, Any]:
    """Train with progress on the terminal; print what is saved when interrupted.

    Parameters
    ----------
    chosen
        Folder and settings.
    quiet
        Whether to print nothing.
    with_plan
        Whether to print the plan.
    ranks
        The processes that train together; None for this process alone.
    listener
        Listener to the progress; None for this process's terminal.
    report
        Whether to write the report of the run when training ends.
    end
        Called when training was interrupted and everything is closed.
    """
    from bitesize.cli.progress import Quiet, Terminal
    from bitesize.errors import NotFinite

    start = chosen.start
    if start is None:
        return _finished(chosen, report=report and (ranks is None or not ranks.several), quiet=quiet)
    settings, out, trained = chosen.settings, start.run.shown, False
    listener = listener or (Quiet() if quiet else Terminal(with_plan))
    job: Any = None

    def close() -> None:
        """End the training, and unlock the folder."""
        if job is not None:
            job.close()
        start.run.release()

    def say_interrupted() -> None:
        """Print what is saved, and how to continue."""
        if is_follower():
            return
        text = describe_no_report(start.run) if trained else describe_interrupted(start, job, listener.epochs)
        errors.print(plain(text), highlight=False, soft_wrap=True)

    try:
        say_when_compiling()
        with listener:
            job, train = _prepared(settings, start, ranks)
            saves = getattr(job, "checkpoint", None)
            with _gently(saves, say_interrupted):
                result = train(job, listener)
        saved = start.run.saved.name
        trained = True
        job.close()  # the report may use the whole budget
        page = write_after_training(job, start.run, quiet=quiet) if report and not is_follower() else None
        start.run.finish()
    except KeyboardInterrupt:
        start.run.finish(raises=False)
        say_interrupted()
        close()
        end()
    except NotFinite as error:
        skips = "" if not error.rows or settings.on_error == "skip" else ": use --on-error skip to skip them"
        raise NotFinite(f"{error}{skips}. {describe_kept(start.run)}", error.rows) from error
    finally:
        close()
    if not quiet:
        print_end(result, out, saved, page, automatic=settings.memory == "auto", patience=job.settings.early_stopping)
        _warn(describe_not_learned(result, job.settings, job.model))
    return {**result, "out": out, "report": page, "understood": [*understood(job.train), *job.said, *job.warnings]}


def _finished(chosen: Chosen, *, report: bool, quiet: bool) -> dict[str, Any]:
    """Return the figures of a run of which nothing is left to train; write its report if a kill has prevented that."""
    assert chosen.finished is not None
    if not report or chosen.finished["report"] is not None:
        return chosen.finished
    page = write_missing(chosen.finished["out"], chosen.settings.memory, quiet=quiet)
    return {**chosen.finished, "report": page}


def _warn(text: str | None) -> None:
    if text is not None:
        print_warning(text)


def _prepared(settings: TrainSettings, start: Start, ranks: Any) -> tuple[Any, Callable[[Any, Any], dict[str, Any]]]:
    """Return the prepared job, with a description of its data for the record, and the function that trains it."""
    from bitesize.training.estimators import is_estimator
    from bitesize.training.ranks import OneProcess

    if is_estimator(settings.model):
        from bitesize.training.estimator_loop import train_estimator as train
        from bitesize.training.estimator_prepare import prepare_estimator

        job: Any = prepare_estimator(settings, start)
    else:
        from bitesize.training.loop import train  # type: ignore[assignment]
        from bitesize.training.prepare import prepare

        job = prepare(settings, start, ranks or OneProcess())
    job.config["data"] = described(job.train)
    return job, train


def _gently(saves: Any, too_late: Callable[[], None]) -> contextlib.AbstractContextManager[None]:
    """Make the first Ctrl-C save a checkpoint, if there are any."""
    if saves is None:
        return contextlib.nullcontext()
    return INTERRUPT.gently(saves.stop, lambda: saves.stop_pending, too_late)
