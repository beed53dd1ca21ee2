"""`bitesize predict`: the class of each file, with probabilities."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Annotated, Any

import typer

from bitesize.cli.console import console, counted, plain, print_understood
from bitesize.cli.named_run import open_run
from bitesize.cli.options import Memory, OnError, Opening, RunArgument, opens_data, parse_on_error

WhatToPredict = Annotated[
    str, typer.Argument(metavar="DATA", help="A folder, flat or not, one file, or a glob in quotes; no labels are needed.")
]


@opens_data
def predict(
    run: RunArgument,
    data: WhatToPredict,
    opening: Opening,
    out: Annotated[
        str, typer.Option(metavar="FILE", help="Where to write: .csv, or .parquet (needs pyarrow).")
    ] = "predictions.csv",
    memory: Memory = "auto",
    on_error: OnError = "raise",
) -> None:
    """Predict: writes path, predicted class and the probability of each class, a line a file; with --on-error skip also why one could not be read."""
    import numpy as np

    from bitesize.cli.bar import counting
    from bitesize.errors import BadSetting
    from bitesize.training.data import open_for_run
    from bitesize.training.score import Scorer

    if Path(out).suffix not in (".csv", ".parquet"):
        raise BadSetting(f"--out must end in .csv or .parquet, not {out}")
    if not Path(out).absolute().parent.is_dir():
        raise BadSetting(f"the folder of --out {out} does not exist")
    action: Any = parse_on_error(on_error)
    folder = open_run(run)
    source = open_for_run(
        folder.config(), data, opening.settings, labels=opening.labels, split=opening.split, labelled=False
    )
    write = _parquet if Path(out).suffix == ".parquet" else _csv
    scorer = Scorer(folder)
    batch_size = scorer.config["settings"]["batch_size"]
    bad = 0
    with scorer.loader(source, memory, batch_size, action, max_bad=1.0) as loader:
        print_understood(source, scorer.said)
        with counting("predicting", len(source)) as progress, write(out, scorer.classes, action == "skip") as add:
            for rows, mask, _, log_p in scorer.batches(loader, progress):
                paths = [source.describe(row) for row in rows.tolist()]
                predicted = [scorer.classes[i] if ok else "" for i, ok in zip(log_p.argmax(axis=1), mask, strict=True)]
                reasons = {each.row: each.reason for each in loader.bad} if not mask.all() else {}
                told = ["" if ok else reasons.get(row, "") for row, ok in zip(rows.tolist(), mask, strict=True)]
                add(paths, predicted, np.where(mask[:, None], np.exp(log_p), np.nan), told)
                bad += int((~mask).sum())
    has = "has" if bad == 1 else "have"
    skipped = f"; {counted(bad, 'row')} could not be read and {has} no prediction" if bad else ""
    console.print(f"{counted(len(source), 'prediction')} in [bold]{plain(out)}[/]{skipped}", highlight=False)


def _csv(out: str, classes: tuple[str, ...], errors: bool) -> Any:
    import contextlib
    import math

    from bitesize.files.atomic import replacing

    @contextlib.contextmanager
    def writing() -> Any:
        """Give a function that writes a batch's lines."""
        with replacing(out) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["path", "predicted", *(f"p_{name}" for name in classes), *(["error"] if errors else [])])

            def add(paths: list[str], predicted: list[str], probabilities: Any, reasons: list[str]) -> None:
                for path, name, line, reason in zip(paths, predicted, probabilities.tolist(), reasons, strict=True):
                    shown = ["" if math.isnan(p) else f"{p:.6f}" for p in line]
                    writer.writerow([path, name, *shown, *([reason] if errors else [])])

            yield add

    return writing()


def _parquet(out: str, classes: tuple[str, ...], errors: bool) -> Any:
    import contextlib

    from bitesize.errors import MissingPackage
    from bitesize.files.atomic import replacing

    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        raise MissingPackage("writing Parquet needs pyarrow: pip install pyarrow") from error
    fields = [("path", pa.string()), ("predicted", pa.string()), *((f"p_{name}", pa.float32()) for name in classes),
              *([("error", pa.string())] if errors else [])]  # fmt: skip
    schema = pa.schema(fields)

    @contextlib.contextmanager
    def writing() -> Any:
        """Give a function that writes a batch's rows."""
        with replacing(out) as temporary, pq.ParquetWriter(temporary, schema) as writer:

            def add(paths: list[str], predicted: list[str], probabilities: Any, reasons: list[str]) -> None:
                columns = [paths, predicted, *probabilities.astype("float32").T, *([reasons] if errors else [])]
                writer.write_table(pa.table(columns, schema=schema))

            yield add

    return writing()
