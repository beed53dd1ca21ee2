"""`bitesize report`: write a run as a page, or several runs side by side."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bitesize.cli.console import console, plain, print_json, print_warning, say_when_compiling, say_written
from bitesize.cli.named_run import open_run
from bitesize.cli.options import Json, Memory, Overwrite, refuse_to_replace

if TYPE_CHECKING:
    from bitesize.training.run import RunFolder


def report(
    runs: Annotated[
        list[str],
        typer.Argument(
            metavar="RUN...", help="Folders of runs. Several are compared; a folder of --folds stands for its folds."
        ),
    ],
    out: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="The page to write. Default: report.html, in the folder of one run or of its folds, or in the current folder for several.",
        ),
    ] = None,
    memory: Memory = "auto",
    overwrite: Overwrite = False,
    json: Json = False,
) -> None:
    """Write a page about a run: curves, results, mistakes, data, memory and speed; or compare several runs.

    `bitesize train` writes the page of each run, too. Validation rows are only read if the run has no results of its saved model.
    """
    from bitesize.report.write import NAME, write_comparison
    from bitesize.storage.paths import join

    if out is not None:
        refuse_to_replace(out, overwrite)
    expanded = _with_folds(runs)
    folders = [open_run(run) for run in expanded]
    missing = ""
    if len(folders) > 1:
        if out is None and len(runs) == 1:
            out = join(runs[0], NAME)  # the page of a cross-validation, as train writes it
        elif out is None:
            refuse_to_replace(NAME, overwrite)
        written = write_comparison(folders, out or NAME)
    else:
        written, missing = _write_page(folders[0], memory, out, quiet=json)
    if json:
        print_json({"report": written, "missing": missing})
    else:
        say_written(written)


def _write_page(run: RunFolder, memory: Any, out: str | None = None, *, quiet: bool) -> tuple[str, str]:
    """Write the page of a run; return its path, and why it has no results, or an empty text."""
    from bitesize.report.write import measured, write_run_page

    say_when_compiling()
    with contextlib.ExitStack() as stack:
        results = measured(run, memory, lambda rows: stack.enter_context(evaluating(rows, quiet=quiet)))
    missing = results if isinstance(results, str) else ""
    if missing and not quiet:
        print_warning(missing)
    return write_run_page(run, results, out), missing


def write_missing(out: str, memory: Any, *, quiet: bool) -> str | None:
    """Write the page of a run that was ended before it had one; return its path, or None after a warning if it cannot be written."""
    from bitesize.cli.console import command
    from bitesize.errors import BitesizeError

    try:
        written, _ = _write_page(open_run(out), memory, quiet=quiet)
    except (BitesizeError, OSError) as error:
        print_warning(f"the report could not be written: {error} ({command('report', out)} tries again)")
        return None
    if not quiet:
        say_written(written)
    return written


def _with_folds(runs: list[str]) -> list[str]:
    """Return the folders of runs; a cross-validation stands for its folds."""
    found = []
    for run in runs:
        folds = sorted(Path(run).glob("fold-*/config.json"), key=lambda path: int(path.parent.name.partition("-")[2]))
        found += [str(path.parent) for path in folds] if folds and not (Path(run) / "config.json").is_file() else [run]
    return found


@contextlib.contextmanager
def evaluating(rows: int, *, quiet: bool) -> Iterator[Callable[[int], None]]:
    """Show progress while validation rows are read for a report."""
    from bitesize.cli.bar import counting

    with counting("report", rows, hide=quiet) as advance:
        yield advance


def say_report(run: Path) -> None:
    """Print where the report of a run is."""
    console.print(f"  open [bold]{plain(run / 'report.html')}[/] in a browser", highlight=False, soft_wrap=True)


def write_after_training(job: Any, run: Any, *, quiet: bool) -> str | None:
    """Write the page of a finished run; return its path, or None after a warning if it cannot be written.

    Several processes that trained together do not evaluate again, because only one of them could: `bitesize report` does.
    """
    from bitesize.cli.console import command
    from bitesize.errors import BitesizeError
    from bitesize.report.evaluation import evaluate_run
    from bitesize.report.write import NO_VALIDATION, write_run_page

    again = command("report", run.shown)
    ranks, val = getattr(job, "ranks", None), job.split.val
    missing = ""
    try:
        if val is None:
            missing = NO_VALIDATION
        elif ranks is not None and ranks.several:
            missing = f"Several processes trained this run, and did not measure single rows: {again} adds the results."
        else:
            with evaluating(len(val), quiet=quiet) as advance:
                evaluate_run(run, val, job.settings.memory, advance)
    except (BitesizeError, OSError) as error:
        missing = f"The validation rows could not be read: {error}"
        print_warning(f"the report has no results: {error} ({again} tries again)")
    try:
        return write_run_page(run, missing)
    except (BitesizeError, OSError) as error:
        print_warning(f"the report could not be written: {error} ({again} tries again)")
        return None
