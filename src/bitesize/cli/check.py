"""`bitesize check`: find everything that is wrong with data at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from itertools import groupby
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bitesize.cli.console import (
    console,
    counted,
    described,
    plain,
    print_json,
    print_understood,
    say_when_compiling,
    say_written,
    understood,
)
from bitesize.cli.options import Data, Json, Memory, Opening, Overwrite, refuse_to_replace, takes_options
from bitesize.cli.workers import WorkerOptions

if TYPE_CHECKING:
    from bitesize.cluster.team import Team
    from bitesize.scan.findings import Findings, ReportedRow
    from bitesize.sources.base import Source

EXIT_FOUND = 3
_SHOWN = 10


@takes_options
def check(
    data: Data,
    opening: Opening,
    workers: WorkerOptions,
    memory: Memory = "auto",
    move_bad: Annotated[
        str | None,
        typer.Option(
            metavar="DIR", help="Move damaged files to this folder, under their names in DATA. Default: do not move files."
        ),
    ] = None,
    html: Annotated[
        str | None, typer.Option("--html", metavar="FILE", help="Also write the findings as a page, with pictures.")
    ] = None,
    overwrite: Overwrite = False,
    json: Json = False,
) -> None:
    """Read all data once and report bad, duplicate and suspicious files, unbalanced classes, and rows shared by splits.

    Exit codes: 0: no problems; 3: problems found (unbalanced classes alone do not count); 1: the check failed.
    """
    from bitesize.sources.open_to_train import open_splits

    if html is not None:
        refuse_to_replace(html, overwrite)
    say_when_compiling()
    joined = workers.team(memory, quiet=json)
    parts, unopened = (
        open_splits(data, opening.labels_setting, **opening.settings)
        if opening.split is None
        else ({opening.split: opening.open(data)}, {})
    )
    closed = {name: str(error) for name, error in unopened.items()}
    if not parts:
        if json:
            print_json({"well": False, "unopened": closed})
        else:
            _show_unopened(closed)
        raise typer.Exit(EXIT_FOUND)
    if move_bad is not None:
        _refuse_to_move(parts, data, move_bad)
    with joined as team:
        found = _checked(team, parts, memory, quiet=json)
    moved = _move(found.damaged, parts, data, move_bad) if move_bad is not None else []
    well = found.well and not closed
    if json:
        print_json(_as_json(found, parts, moved) | {"well": well, "unopened": closed})
    else:
        _show_unopened(closed)
        _show(found, parts, moved, move_bad)
        if well:
            console.print("[bold green]no problems found[/]", highlight=False)
    if html is not None:
        _write_html(html, data, found, parts, closed, moved, memory, quiet=json)
    if not well:
        raise typer.Exit(EXIT_FOUND)


def _write_html(
    out: str,
    data: str,
    found: Findings,
    parts: Mapping[str, Source],
    closed: Mapping[str, str],
    moved: list[str],
    memory: str,
    *,
    quiet: bool,
) -> None:
    """Write the findings as a page, and print its path."""
    from bitesize.files.transfer import replacing_at
    from bitesize.report.check_page import page_of_check
    from bitesize.report.page import write_page

    about = {name: described(part) for name, part in parts.items()}
    page = page_of_check(data, found, parts, about, unopened=closed, moved=moved, memory=memory)
    with replacing_at(out) as temporary:
        write_page(temporary, "check.html", **page)
    if not quiet:
        say_written(out)


def _checked(team: Team | None, parts: Mapping[str, Source], memory: str, *, quiet: bool) -> Findings:
    """Read all parts with progress, in this process or by a team."""
    import bitesize as bs
    from bitesize.cli.bar import counting

    budget = bs.Budget(memory)
    with counting("reading", sum(map(len, parts.values())), hide=quiet, budget=budget) as advance:
        if team is None:
            return bs.check(parts, budget, progress=advance)
        from bitesize.cluster.scanning import check as by_team

        return by_team(team, parts, memory, budget=budget, progress=advance)


def _show_unopened(errors: Mapping[str, str]) -> None:
    """Print the error of data that cannot be opened."""
    for name, error in errors.items():
        of = "" if list(errors) == ["data"] else f"{plain(name)} "
        console.print(f"[bold red]{of}cannot be opened[/]\n  {plain(error)}", highlight=False, soft_wrap=True)


def _as_json(found: Findings, parts: Mapping[str, Source], moved: list[str]) -> dict[str, Any]:
    def groups(of: Iterable[Iterable[ReportedRow]]) -> list[list[dict[str, Any]]]:
        return [[place._asdict() for place in group] for group in of]

    return {
        "well": found.well,
        "rows": found.rows,
        "understood": {name: understood(part) for name, part in parts.items()},
        "left_out": {name: dict(part.left_out) for name, part in parts.items()},
        "bad": [place._asdict() for place in found.bad],
        "duplicates": groups(found.duplicates),
        "leaks": groups(found.leaks),
        "suspicious": [place._asdict() for place in found.suspicious],
        "classes": found.classes,
        "unbalanced": list(found.unbalanced),
        "moved": moved,
    }


def _show(found: Findings, parts: Mapping[str, Source], moved: list[str], where: str | None) -> None:
    """Print the findings, the first few of each kind."""
    several = len(parts) > 1

    def named(place: ReportedRow) -> str:
        return f"{place.part}: {place.path}" if several else place.path

    def section(title: str, lines: list[str]) -> None:
        """Print the first lines of one kind of finding."""
        console.print(f"[bold red]{title}[/]", highlight=False)
        for line in lines[:_SHOWN]:
            console.print(f"  {plain(line)}", highlight=False, soft_wrap=True)
        if len(lines) > _SHOWN:
            console.print(f"  [dim]and {len(lines) - _SHOWN:,} more: --json lists all[/]", highlight=False)

    rows = ", ".join(f"{name} {count:,}" if several else f"{count:,}" for name, count in found.rows.items())
    console.print(f"{rows} {'row' if rows == '1' else 'rows'} read", highlight=False)
    for name, part in parts.items():
        if several and understood(part):
            console.print(f"{plain(name)}:", highlight=False)
        print_understood(part)
    if found.bad:
        section(f"{len(found.bad):,} bad", _bad(found.bad, named))
    if found.leaks:
        section(f"{len(found.leaks):,} in several parts", [_group(group, named) for group in found.leaks])
    if found.duplicates:
        title = counted(len(found.duplicates), "group of duplicates", "groups of duplicates")
        section(title, [_group(group, named) for group in found.duplicates])
    if found.suspicious:
        section(f"{len(found.suspicious):,} suspicious", [f"{named(place)}: {place.reason}" for place in found.suspicious])
    for line in found.unbalanced:
        console.print(f"[yellow]{plain(line)}[/]", highlight=False, soft_wrap=True)
    if moved:
        console.print(f"{counted(len(moved), 'damaged file')} moved to [bold]{plain(str(where))}[/]", highlight=False)


def _bad(places: Iterable[ReportedRow], named: Callable[[ReportedRow], str]) -> list[str]:
    """Format bad rows; adjacent rows with the same reason, such as those of a damaged chunk, share one line."""
    lines = []
    for _, alike in groupby(enumerate(places), lambda each: (each[1].part, each[1].row - each[0], each[1].reason)):
        group = [place for _, place in alike]
        more = f" (and {counted(len(group) - 1, 'more row')}, to row {group[-1].row:,})" if len(group) > 1 else ""
        lines.append(_with_path(named(group[0]), group[0]) + more)
    return lines


def _with_path(named: str, place: ReportedRow) -> str:
    """Format a bad row's reason, which usually names the file already."""
    return place.reason if place.path in place.reason else f"{named}: {place.reason}"


def _group(group: tuple[ReportedRow, ...], named: Any) -> str:
    shown = " = ".join(named(place) for place in group[:4])
    more = f" and {len(group) - 4:,} more" if len(group) > 4 else ""
    return f"{shown}{more}{' (with other labels)' if group[0].reason else ''}"


def _refuse_to_move(parts: Mapping[str, Source], data: str, into: str) -> None:
    """Raise, before any work is done, if files could not be moved."""
    import os

    from bitesize.errors import BadSetting
    from bitesize.storage.url import is_url

    if is_url(data) or is_url(into):
        raise BadSetting(
            f"--move-bad moves files of a disk into a folder, but {data if is_url(data) else into} is an address"
        )
    if any(part.path(0) is None for part in parts.values()):
        raise BadSetting(f"--move-bad moves files of one row each, but {data} has many rows per file")
    top, target = os.path.realpath(data), os.path.realpath(into)
    if os.path.isdir(data) and os.path.commonpath([top, target]) == top:
        raise BadSetting(
            f"--move-bad {into} is inside {data}, so the moved files would be read again: choose a folder outside"
        )
    if os.path.exists(into) and not os.path.isdir(into):
        raise BadSetting(f"--move-bad needs a folder, but {into} is a file")


def _move(damaged: tuple[ReportedRow, ...], parts: Mapping[str, Source], data: str, into: str) -> list[str]:
    """Move damaged files without replacing existing files."""
    import os
    import shutil

    from bitesize.errors import BadSetting
    from bitesize.files.names import show

    top = os.fsencode(os.path.realpath(data))
    moved: list[str] = []
    for place in damaged:
        path = parts[place.part].path(place.row)
        assert path is not None
        real = os.path.join(os.path.realpath(os.path.dirname(path)), os.path.basename(path))
        inside = os.path.isdir(top) and real.startswith(os.path.join(top, b""))
        target = os.path.join(os.fsencode(into), os.path.relpath(real, top) if inside else os.path.basename(path))
        if os.path.lexists(target):
            raise BadSetting(
                f"{show(target)} exists already: {show(path)} was not moved; {counted(len(moved), 'file')} moved before it"
            )
        os.makedirs(os.path.dirname(target), exist_ok=True)
        shutil.move(os.fsdecode(path), os.fsdecode(target))
        moved.append(show(target))
    return moved
