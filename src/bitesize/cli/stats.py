"""`bitesize stats`: what the values of data are like, and the line to normalise them with."""

from __future__ import annotations

from dataclasses import asdict

from bitesize.cli.console import console, plain, print_json
from bitesize.cli.options import Data, Json, Labels, Memory, OnError, Split, parse_on_error


def stats(
    data: Data, labels: Labels = None, split: Split = None, memory: Memory = "auto", on_error: OnError = "raise", json: Json = False
) -> None:  # fmt: skip
    """Measure mean, deviation, least and greatest value of each channel, and count the classes. Every row is read once."""
    from typing import Any

    from rich.table import Table

    from bitesize.cli.bar import counting
    from bitesize.sources.opening import open_to_train

    action: Any = parse_on_error(on_error)
    source = open_to_train(data, labels, split)
    done = 0
    with counting("reading", len(source), hide=json) as advance:

        def progress(rows: int, total: int) -> None:
            nonlocal done
            advance(rows - done)
            done = rows

        found = source.statistics(memory, on_error=action, progress=progress)
    mean, std = found.normalization
    line = f"bs.Normalize({_numbers(mean)}, {_numbers(std)})"
    if json:
        print_json({**asdict(found), "normalize": line, "normalize_mean": mean, "normalize_std": std})
        return
    table = Table("channel", "mean", "deviation", "least", "greatest", box=None)
    names = ("red", "green", "blue", "alpha") if len(found.mean) > 1 else ("all values",)
    for name, *numbers in zip(names, found.mean, found.std, found.least, found.greatest, strict=False):
        table.add_row(name, *(f"{number:.6g}" for number in numbers))
    console.print(table)
    if found.classes is not None:
        many = len(found.classes) > 20
        shown = ", ".join(f"{name} {count:,}" for name, count in list(found.classes.items())[:20])
        console.print(plain(f"classes: {shown}{', ...' if many else ''}"), highlight=False)
    if found.not_finite:
        console.print(f"[red]{found.not_finite:,} values are NaN or infinite[/], and left out of the above", highlight=False)
    bad = f", and {found.bad:,} could not be read" if found.bad else ""
    console.print(f"{found.rows:,} rows{bad}", highlight=False)
    console.print(f"[bold]{line}[/]", highlight=False, soft_wrap=True)


def _numbers(values: tuple[float, ...]) -> str:
    """Write numbers as code, with digits enough for any training."""
    shown = [f"{value:.4g}" for value in values]
    return shown[0] if len(shown) == 1 else f"({', '.join(shown)})"
