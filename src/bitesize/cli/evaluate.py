"""`bitesize evaluate`: how good a trained model is on data with known classes."""

from __future__ import annotations

from typing import Any

from bitesize.cli.console import console, plain, print_json
from bitesize.cli.options import Data, Json, Labels, MaxBad, Memory, OnError, RunArgument, Split, parse_on_error

_SHOWN = 10


def evaluate(
    run: RunArgument,
    data: Data,
    labels: Labels = None,
    split: Split = None,
    memory: Memory = "auto",
    on_error: OnError = "raise",
    max_bad: MaxBad = 0.01,
    json: Json = False,
) -> None:
    """Measure a trained model: loss, accuracy, each class, and what is taken for what. Each row counts once."""
    from bitesize.cli.bar import counting
    from bitesize.sources.opening import open_to_train
    from bitesize.training.prepare import match_classes
    from bitesize.training.run import RunFolder
    from bitesize.training.score import Scorer
    from bitesize.training.score import evaluate as measure

    action: Any = parse_on_error(on_error)
    folder = RunFolder.open(run)
    source = match_classes(open_to_train(data, labels, split), folder.classes(), data)
    scorer = Scorer(folder)
    batch_size = scorer.config["settings"]["batch_size"]
    with (
        scorer.loader(source, memory, batch_size, action, max_bad=max_bad) as loader,
        counting("evaluating", len(source), hide=json) as progress,
    ):
        result = measure(scorer.classes, scorer.batches(loader, progress))
        result["bad"] = [bad._asdict() for bad in loader.bad]
    if json:
        print_json(result)
    else:
        _print(result)


def _print(result: dict[str, Any]) -> None:
    from rich.table import Table

    console.print(
        f"{result['rows']:,} rows: loss {result['loss']:.4f}, accuracy [bold]{result['accuracy']:.4f}[/]", highlight=False
    )
    if result["bad_rows"]:
        console.print(f"{result['bad_rows']} rows could not be read and are not counted:", highlight=False)
        for bad in result["bad"][:_SHOWN]:
            console.print(f"  {plain(bad['reason'])}", highlight=False, soft_wrap=True)
    table = Table(box=None, padding=(0, 2))
    for title in ("class", "precision", "recall", "F1", "rows"):
        table.add_column(title, justify="left" if title == "class" else "right")
    for line in result["per_class"]:
        figures = ["-" if line[name] is None else f"{line[name]:.3f}" for name in ("precision", "recall", "f1")]
        table.add_row(plain(line["class"]), *figures, f"{line['rows']:,}")
    console.print(table)
    if len(result["classes"]) <= 12:
        console.print("\nwhat is taken for what (a line a true class, a column a predicted one)")
        table = Table(box=None, padding=(0, 2))
        table.add_column("")
        for name in result["classes"]:
            table.add_column(plain(name), justify="right")
        for name, counts in zip(result["classes"], result["confusion"], strict=True):
            table.add_row(plain(name), *(f"{count:,}" for count in counts))
        console.print(table)
