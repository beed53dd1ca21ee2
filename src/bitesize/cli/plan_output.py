"""Print a memory plan, and the memory of a model, as tables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bitesize.cli.console import (
    console,
    counted,
    described,
    in_options,
    in_seconds,
    plain,
    print_understood,
    print_warning,
    say,
    say_written,
)
from bitesize.memory.sizes import format_size

if TYPE_CHECKING:
    from bitesize.cli.plan_result import PlanResult
    from bitesize.memory.plan import Plan


def print_result(result: PlanResult) -> None:
    """Print a plan, and what is known about training."""
    print_understood(result.train)
    print_plan(result.plan)
    if result.least is not None:
        validation = " with validation" if result.validates else ""
        least = format_size(result.least, ceil=True).replace(" ", "")
        say(plain(f"bitesize train{validation} needs at least --memory {least}."))
    if result.refusal is None:
        for line in result.lines:
            say(plain(line))
    else:
        say(plain(f"bitesize train cannot use this data: {in_options(result.refusal)}."))
    for warning in result.warnings:
        print_warning(warning)
    if result.model is not None:
        _print_model_memory(result.model, result.plan.batch_size, result.plan.rows)
    if result.measured:
        _print_measured(result.measured)


def write_html(out: str, result: PlanResult, data: str, *, quiet: bool) -> None:
    """Write a plan as a page, and print its path."""
    from bitesize.files.transfer import replacing_at
    from bitesize.report.page import write_page
    from bitesize.report.plan_page import page_of_plan

    refused = [] if result.refusal is None else [f"bitesize train cannot use this data: {in_options(result.refusal)}."]
    page = page_of_plan(
        data,
        result.plan,
        described(result.train),
        lines=result.lines,
        hints=[in_options(hint) for hint in result.plan.hints],
        warnings=[*refused, *result.warnings],
        model=result.model,
        measured={**result.measured, "verdict": in_options(result.measured["verdict"])} if result.measured else None,
    )
    with replacing_at(out) as temporary:
        write_page(temporary, "plan.html", **page)
    if not quiet:
        say_written(out)


def print_plan(plan: Plan) -> None:
    """Print a plan as a table."""
    from rich.table import Table

    fields = ", ".join(f"{name} {field}" for name, field in plan.fields.items())
    console.print(
        f"[bold]{counted(plan.rows, 'row')}[/], [bold]{counted(plan.batches, 'batch', 'batches')}[/] of {plan.batch_size}: {fields}",
        highlight=False,
    )
    table = Table(box=None, show_header=False, padding=(0, 2))
    table.add_column()
    table.add_column(justify="right")
    table.add_column(style="dim")
    for part, size, detail in plan.table():
        style = "red" if part.startswith("naive") else "bold green" if part == "total" else ""
        table.add_row(part, size, detail, style=style)
    console.print_table(table)
    console.print(plain(plan.verdict), highlight=False)
    for hint in plan.hints:
        console.print(f"[dim]{plain(in_options(hint))}[/]", highlight=False)


def _print_model_memory(memory: dict[str, Any], batch_size: int, rows: int) -> None:
    """Print the memory to train a model on batches of some of the rows."""
    from rich.table import Table

    table = Table(box=None, show_header=False, padding=(0, 2))
    table.add_column()
    table.add_column(justify="right")
    table.add_column(style="dim")
    for title, key, detail in [
        ("parameters", "parameters", ""),
        ("gradients", "gradients", ""),
        ("optimizer", "optimizer", "two states per parameter, as in Adam"),
        (
            f"a batch of {batch_size}",
            "batch",
            f"{format_size(memory['activations_a_row'])} of activations per row, forward and backward",
        ),
        ("total", "total", f"of {format_size(memory['room'])} ({plain(memory['where'])})"),
    ]:
        table.add_row(title, format_size(memory[key]), detail)
    console.print(f"\nmodel [bold]{plain(memory['name'])}[/], in addition to the data:", highlight=False)
    console.print_table(table)
    most = memory["largest_batch"]
    if most == rows > 1:
        largest = f"All {rows:,} rows fit in one batch."
    else:
        largest = f"The largest batch that fits is about {most:,}." if most else "Not even one row fits."
    console.print(largest if memory["fits"] else f"[red]This does not fit.[/] {largest}", highlight=False)


def _print_measured(measured: dict[str, Any]) -> None:
    """Print the speed of loading, and what limits it."""
    console.print(
        f"[bold green]{measured['rows_per_second']:,.0f} rows/s[/], an epoch in {in_seconds(measured['seconds_an_epoch'])}. "
        f"{in_options(measured['verdict'])}.",
        highlight=False,
    )
