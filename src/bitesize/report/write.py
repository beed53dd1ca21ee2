"""`write_report`: the page of a run, or of several runs side by side."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from bitesize.errors import BadSetting, BitesizeError
from bitesize.files.transfer import replacing_at
from bitesize.report.compare_page import page_of_runs
from bitesize.report.evaluation import evaluate_run
from bitesize.report.page import write_page
from bitesize.report.records import read_records
from bitesize.report.run_page import page_of_run
from bitesize.storage import paths
from bitesize.training.run import RunFolder
from bitesize.training.trained import open_run
from bitesize.training.validation_rows import validation_rows

NAME = "report.html"
NO_VALIDATION = "The run has no validation rows (--val-split 0): there is nothing to measure the model on."


def write_report(
    *runs: str | os.PathLike[str], out: str | os.PathLike[str] | None = None, memory: int | str = "auto"
) -> str:
    """Write the report of a run as a page, or a page that compares several runs.

    The page is one file that needs no network: curves, results of the validation rows, their pictures, data, memory and speed, and what
    is needed to repeat the run. ``bitesize train`` writes it, too. Rows are only read if the run has no results of its saved model, as
    after an interruption.

    Parameters
    ----------
    *runs
        Folders of runs, as for `load`.
    out
        File to write; an existing one is replaced. Default: ``report.html``, in the folder of one run, or in the current folder.
    memory
        Memory budget of reading validation rows: bytes, a string such as ``"512 MiB"``, or ``"auto"``.

    Returns
    -------
    str
        Path or address of the page.

    Raises
    ------
    BadSetting
        If no run is given, or several that have nothing in common.
    NotFound
        If a folder does not exist or has no model yet.

    Examples
    --------
    >>> import bitesize as bs
    >>> bs.write_report("runs/1")
    'runs/1/report.html'
    """
    if not runs:
        raise BadSetting("name the folder of a run, such as runs/first")
    folders = [open_run(run) for run in runs]
    if len(folders) > 1:
        return write_comparison(folders, NAME if out is None else os.fspath(out))
    return write_run_page(folders[0], measured(folders[0], memory), out)


def write_run_page(run: RunFolder, results: dict[str, Any] | str = "", out: str | os.PathLike[str] | None = None) -> str:
    """Write the page of a run from its records.

    Parameters
    ----------
    run
        Folder of the run.
    results
        Result of `evaluate_run`, or why there is none. Default: the saved one.
    out
        File to write. Default: ``report.html`` in the folder of the run.

    Returns
    -------
    str
        Path or address of the page.
    """
    target = paths.join(run.shown, NAME) if out is None else os.fspath(out)
    records = read_records(run)
    if isinstance(results, dict):
        records = replace(records, evaluation=results)
    values = page_of_run(records, results if isinstance(results, str) else "")
    if out is None and run.mirror is not None:  # it copies the page to the address with the other files of the run
        write_page(run.path / NAME, "run.html", **values)
        return target
    with replacing_at(target) as temporary:
        write_page(temporary, "run.html", **values)
    return target


def write_comparison(runs: list[RunFolder], out: str) -> str:
    """Write the page that compares runs; return its path or address."""
    values = page_of_runs([read_records(run) for run in runs], Path(out).parent)
    with replacing_at(out) as temporary:
        write_page(temporary, "compare.html", **values)
    return out


def measured(
    run: RunFolder,
    memory: Any = "auto",
    planned: Callable[[int], Callable[[int], None]] = lambda rows: lambda done: None,
) -> dict[str, Any] | str:
    """Return the results of the saved model on the validation rows, evaluated unless the run has them; or why that is impossible.

    Parameters
    ----------
    run
        Folder of the run.
    memory
        Memory budget of reading the rows.
    planned
        Called with the number of rows before they are read; returns what is called with the number of rows that are done.
    """
    if (saved := read_records(run).evaluation) is not None:
        return saved
    try:
        source = validation_rows(run.path, {**run.config(), "classes": run.classes()})
        if source is None:
            return NO_VALIDATION
        return evaluate_run(run, source, memory, planned(len(source)))
    except (BitesizeError, OSError) as error:
        return f"The validation rows could not be read: {error}"
