"""`bitesize train --folds`: cross-validation, each training validated on another part of the data."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from bitesize.cli.console import console, plain, print_json
from bitesize.cli.progress import figure
from bitesize.cli.run_folder import Wanted, choose, create_run, say
from bitesize.memory.sizes import six_digits

if TYPE_CHECKING:
    from bitesize.training.run import RunFolder


def cross_validate(wanted: Wanted, *, json: bool) -> None:
    """Train once per fold, into ``OUT/fold-1`` and so on, and summarize; keep finished folds, continue an interrupted one.

    Parameters
    ----------
    wanted
        Request of the command, with DATA and the number of folds.
    json
        Print one JSON object instead of tables.
    """
    from bitesize.cli.train_run import train_run
    from bitesize.files.atomic import write_json
    from bitesize.report.write import NAME, write_comparison
    from bitesize.storage.paths import join
    from bitesize.training.run import RunFolder

    assert wanted.settings is not None
    root = _root(wanted)
    try:
        results = []
        for fold in range(1, wanted.settings.folds + 1):
            if not json:
                console.print(
                    f"{'' if fold == 1 else chr(10)}[bold]fold {fold} of {wanted.settings.folds}[/]", highlight=False
                )
            folder = join(root.shown, f"fold-{fold}")
            chosen = choose(replace(wanted, settings=replace(wanted.settings, fold=fold), out=folder))
            results.append(train_run(chosen, quiet=json, with_plan=fold == 1, report=wanted.report))
        summary = summarize(results)
        write_json(root.path / "folds.json", summary)
        if wanted.report:
            write_comparison([RunFolder.open(fold["out"]) for fold in summary["folds"]], str(root.path / NAME))
            summary["report"] = join(root.shown, NAME)
        root.finish()
    finally:
        root.release()
    if json:
        print_json(summary)
    else:
        _print(summary, root.shown)


def _root(wanted: Wanted) -> RunFolder:
    """Return the folder of all folds, locked: without --out the newest numbered one of the same command, or a new one."""
    from bitesize.storage.locking import FolderLock
    from bitesize.training.differences import differences
    from bitesize.training.numbered import ROOT, create_numbered, numbered
    from bitesize.training.run import RunFolder
    from bitesize.training.run_status import read_status

    assert wanted.settings is not None
    if wanted.out is not None:
        return create_run(wanted.out)
    for path in reversed(numbered(ROOT)):
        status = read_status(path / "fold-1")
        saved = status.config if status.interrupted is None else status.interrupted.extra
        if not saved or differences(saved, wanted.settings):
            continue
        if (path / "folds.json").exists() and not wanted.resume:
            break  # the same command was trained to its end before: this is another run of it
        if (lock := FolderLock.take(path)) is not None:
            return RunFolder(path, lock).cleared()
    run = create_numbered(ROOT)
    say(f"run: {run.path} (--out DIR changes this)")
    return run


def summarize(results: list[dict[str, Any]]) -> dict[str, Any]:
    """Compute mean and standard deviation over folds, of each figure of the epoch whose model is saved.

    Returns
    -------
    dict
        ``folds``: folder, epoch and figures of each fold; ``mean`` and ``std`` (degrees of freedom: number of folds minus 1).
    """
    import numpy as np

    folds = []
    for result in results:
        line = result["epochs"][(result["best_epoch"] or len(result["epochs"])) - 1]
        figures = {name: value for name, value in line.items() if name not in ("epoch", "seconds", "rows_per_second")}
        folds.append({"out": result["out"], "epoch": line["epoch"], **figures})
    names = [name for name in folds[0] if name not in ("out", "epoch") and all(name in fold for fold in folds)]
    values = {name: np.array([fold[name] for fold in folds]) for name in names}
    return {
        "folds": folds,
        "mean": {name: six_digits(float(each.mean())) for name, each in values.items()},
        "std": {name: six_digits(float(each.std(ddof=1))) for name, each in values.items()},
    }


def _print(summary: dict[str, Any], out: str) -> None:
    from rich.table import Table

    names = list(summary["mean"])
    table = Table(box=None, padding=(0, 2))
    for title in ("fold", "epoch", *names):
        table.add_column(title, justify="right")
    for number, fold in enumerate(summary["folds"], 1):
        table.add_row(str(number), str(fold["epoch"]), *(figure(fold[name]) for name in names))
    for kind, shown in (("mean", "mean"), ("std", "±")):
        table.add_row(shown, "", *(figure(summary[kind][name]) for name in names), style="bold")
    console.print()
    console.print_table(table)
    console.print(f"saved in [bold]{plain(out)}[/]: fold-1 to fold-{len(summary['folds'])}, folds.json", highlight=False)
    if "report" in summary:
        console.print(f"report: [bold]{plain(summary['report'])}[/]", highlight=False, soft_wrap=True)
