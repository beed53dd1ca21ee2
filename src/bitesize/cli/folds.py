"""`bitesize train --folds`: several trainings, each validated on another part of the data."""

from __future__ import annotations

import json as json_module
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bitesize.cli.console import console, plain, print_json

if TYPE_CHECKING:
    from bitesize.training.settings import TrainSettings


def cross_validate(settings: TrainSettings, out: str, given: Mapping[str, Any] | None, *, json: bool) -> None:
    """Train once a fold, into ``OUT/fold-1`` and so on, and sum up.

    Parameters
    ----------
    settings
        With the number of folds.
    out
        The folder of all folds.
    given
        With --resume the settings that the user gave: finished folds stay, the interrupted one is continued. None without.
    json
        Print one JSON object instead of tables.
    """
    from bitesize.cli.train import read_interrupted, run
    from bitesize.files.atomic import write_text

    results = []
    for fold in range(1, settings.folds + 1):
        folder = os.path.join(out, f"fold-{fold}")
        if not json:
            console.print(f"{'' if fold == 1 else chr(10)}[bold]fold {fold} of {settings.folds}[/]", highlight=False)
        broken = None if given is None else read_interrupted(folder, dict(given))
        own = replace(settings, fold=fold) if broken is None else broken.settings
        results.append(run(own, folder, quiet=json, broken=broken, with_plan=fold == 1))
    summary = summarize(results)
    write_text(Path(out) / "folds.json", json_module.dumps(summary, indent=2) + "\n")
    if json:
        print_json(summary)
    else:
        _print(summary, out)


def summarize(results: list[dict[str, Any]]) -> dict[str, Any]:
    """Compute mean and standard deviation over folds of each figure of the epoch whose model is saved.

    Returns
    -------
    dict
        ``folds``: for each its folder, epoch and figures; ``mean`` and ``std`` (with one degree of freedom less than folds).
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
        "mean": {name: round(float(each.mean()), 6) for name, each in values.items()},
        "std": {name: round(float(each.std(ddof=1)), 6) for name, each in values.items()},
    }


def _print(summary: dict[str, Any], out: str) -> None:
    from rich.table import Table

    names = list(summary["mean"])
    table = Table(box=None, padding=(0, 2))
    for title in ("fold", "epoch", *names):
        table.add_column(title, justify="right")
    for number, fold in enumerate(summary["folds"], 1):
        table.add_row(str(number), str(fold["epoch"]), *(f"{fold[name]:.3f}" for name in names))
    for kind, shown in (("mean", "mean"), ("std", "±")):
        table.add_row(shown, "", *(f"{summary[kind][name]:.3f}" for name in names), style="bold")
    console.print()
    console.print(table)
    console.print(f"saved in [bold]{plain(out)}[/]: fold-1 to fold-{len(summary['folds'])}, folds.json", highlight=False)
