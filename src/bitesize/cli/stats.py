"""`bitesize stats`: statistics of the values, and the line of code to normalize them."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from bitesize.cli.console import console, counted, plain, print_json, print_understood, say_when_compiling
from bitesize.cli.options import Data, Json, Memory, OnError, Opening, parse_on_error, takes_options
from bitesize.cli.workers import WorkerOptions

if TYPE_CHECKING:
    from bitesize.cluster.team import Team
    from bitesize.scan.statistics import Statistics
    from bitesize.sources.base import Source


@takes_options
def stats(
    data: Data,
    opening: Opening,
    workers: WorkerOptions,
    memory: Memory = "auto",
    on_error: OnError = "raise",
    json: Json = False,
) -> None:
    """Measure mean, standard deviation, minimum and maximum of each channel, and count the classes. Every row is read once."""
    say_when_compiling()
    action: Any = parse_on_error(on_error)
    joined = workers.team(memory, quiet=json)
    source = opening.open(data)
    if not json:
        print_understood(source)
    with joined as team:
        found = _measured(team, source, memory, action, quiet=json)
    mean, std = found.normalization
    line = f"bs.Normalize({_numbers(mean)}, {_numbers(std)})"
    if json:
        print_json({**asdict(found), "normalize": line, "normalize_mean": mean, "normalize_std": std})
        return
    _print(found)
    console.print(f"[bold]{line}[/]", highlight=False, soft_wrap=True)


def _measured(team: Team | None, source: Source, memory: str, action: Any, *, quiet: bool) -> Statistics:
    """Measure the rows with progress, in this process or by a team."""
    from bitesize.cli.bar import counting
    from bitesize.memory.budget import Budget

    done, budget = 0, Budget(memory)
    with counting("reading", len(source), hide=quiet, budget=budget) as advance:

        def progress(rows: int, total: int) -> None:
            nonlocal done
            advance(rows - done)
            done = rows

        if team is None:
            from bitesize.scan.statistics import statistics

            return statistics(source, budget, on_error=action, progress=progress)
        from bitesize.cluster.scanning import statistics as of_team

        return of_team(team, source, memory, budget=budget, on_error=action, progress=progress)


def _print(found: Statistics) -> None:
    from rich.table import Table

    table = Table("channel", "mean", "std", "min", "max", box=None)
    for name, *numbers in zip(_channels(len(found.mean)), found.mean, found.std, found.least, found.greatest, strict=True):
        table.add_row(name, *(f"{number:.6g}" for number in numbers))
    console.print_table(table)
    if found.classes is not None:
        many = len(found.classes) > 20
        shown = ", ".join(f"{name} {count:,}" for name, count in list(found.classes.items())[:20])
        console.print(plain(f"classes: {shown}{', ...' if many else ''}"), highlight=False)
    if found.not_finite:
        console.print(f"[red]{counted(found.not_finite, 'value')} NaN or infinite[/], excluded above", highlight=False)
    bad = f", and {found.bad:,} could not be read" if found.bad else ""
    console.print(f"{counted(found.rows, 'row')}{bad}", highlight=False)


def _channels(count: int) -> list[str]:
    """Return names of the channels: colors if the number matches, else numbers."""
    if count == 1:
        return ["all values"]
    return ["red", "green", "blue", "alpha"][:count] if count in (3, 4) else [str(i) for i in range(count)]


def _numbers(values: tuple[float, ...]) -> str:
    """Format numbers as code, with enough digits for training."""
    shown = [f"{value:.4g}" for value in values]
    return shown[0] if len(shown) == 1 else f"({', '.join(shown)})"
