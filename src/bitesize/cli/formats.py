"""`bitesize formats`: list the formats that can be opened, and the packages they need."""

from __future__ import annotations

from bitesize.cli.console import console, plain, print_json
from bitesize.cli.options import Json


def formats(json: Json = False) -> None:
    """List the formats that can be opened, and which of them need a package that is not installed."""
    from rich.table import Table

    from bitesize.packages import pip_install
    from bitesize.sources.registry import installed, kinds, plugins

    rows = [
        {
            "kind": kind.title or kind.__name__,
            "suffixes": list(kind.suffixes),
            "needs": kind.package or None,
            "installed": installed(kind),
            "install": None if installed(kind) else pip_install(kind.package),
            "source": f"{kind.__module__}.{kind.__qualname__}",
        }
        for kind in (*kinds(), *plugins())
    ]
    if json:
        print_json({"formats": rows})
        return
    table = Table("data", "files", "installed", box=None)
    for kind, row in zip((*kinds(), *plugins()), rows, strict=True):
        state = f"no: {plain(row['install'])}" if row["install"] else "yes"
        table.add_row(
            plain(row["kind"]), plain(" ".join(kind.suffixes)), f"[{'red' if row['install'] else 'green'}]{state}[/]"
        )
    console.print(table)
