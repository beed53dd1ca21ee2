"""`bitesize formats`: list the formats that can be opened, and the packages they need."""

from __future__ import annotations

from typing import Any

from bitesize.cli.console import console, plain, print_json
from bitesize.cli.options import Json


def formats(json: Json = False) -> None:
    """List the formats that can be opened, and which of them need a package that is not installed."""
    from rich.table import Table

    from bitesize.decode.formats import CODECS
    from bitesize.decode.header import KINDS_OF_SUFFIXES
    from bitesize.packages import is_installed, pip_install, pip_install_extra
    from bitesize.sources.registry import installed, kinds, plugins

    rows: list[dict[str, Any]] = [
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
    rows += [
        {
            "kind": f"images: {codec.title or name}",
            "suffixes": [suffix for suffix, kind in KINDS_OF_SUFFIXES.items() if kind == name],
            "needs": " ".join(codec.packages),
            "installed": all(map(is_installed, codec.packages)),
            "install": None if all(map(is_installed, codec.packages)) else pip_install_extra(codec.extra),
            "source": codec.module,
        }
        for name, codec in CODECS.items()
        if codec.packages
    ]
    if json:
        print_json({"formats": rows})
        return
    table = Table("data", "files", "installed", box=None)
    for row in rows:
        state = f"no: {plain(row['install'])}" if row["install"] else "yes"
        table.add_row(
            plain(row["kind"]), plain(" ".join(row["suffixes"])), f"[{'red' if row['install'] else 'green'}]{state}[/]"
        )
    console.print_table(table)
