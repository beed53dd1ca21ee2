"""`bitesize cache`: list the caches of decoded images, and remove them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from bitesize.cli.console import console, plain, print_json, say
from bitesize.cli.options import Json

if TYPE_CHECKING:
    from pathlib import Path

    from bitesize.packed.cache_folder import CacheEntry

Action = Annotated[str, typer.Argument(metavar="[list|clear]", help="list: show what is kept. clear: remove it.")]
Key = Annotated[
    str | None, typer.Argument(metavar="KEY", help="For clear: the first characters of a key in the list. Default: all.")
]
Folder = Annotated[
    str | None, typer.Option("--folder", metavar="DIR", help="Folder of the caches. Default: the user's folder for caches.")
]


def cache(action: Action = "list", key: Key = None, folder: Folder = None, json: Json = False) -> None:
    """List the caches that `bitesize train --cache` and `bs.Loader(cache=...)` keep on disk, or remove them."""
    from pathlib import Path

    from bitesize.errors import BadSetting
    from bitesize.memory.sizes import format_size
    from bitesize.packed.cache_folder import clear, entries
    from bitesize.packed.cache_settings import default_folder

    path = default_folder() if folder is None else Path(folder)
    if action == "clear":
        freed = clear(path, key)
        print_json({"folder": str(path), "freed_bytes": freed}) if json else say(
            plain(f"{format_size(freed)} freed in {path}.")
        )
        return
    if action != "list" or key is not None:
        raise BadSetting(f"bitesize cache takes list, or clear with the key of one cache, not {key or action!r}")
    found = entries(path)
    if json:
        print_json({"folder": str(path), "caches": [_as_dict(entry) for entry in found]})
    else:
        _print(path, found)


def _as_dict(entry: CacheEntry) -> dict[str, object]:
    about = entry.about
    return {
        "key": entry.key,
        "bytes": entry.nbytes,
        "shards": entry.shards,
        "used": entry.used,
        "source": about.get("source"),
        "root": about.get("root"),
        "form": about.get("form"),
        "before": about.get("before"),
        "max_side": about.get("max_side"),
    }


def _print(path: Path, found: list[CacheEntry]) -> None:
    """Print a table of caches."""
    import time

    from rich.table import Table

    from bitesize.memory.sizes import format_size

    if not found:
        say(plain(f"No caches in {path}."))
        return
    table = Table(box=None, padding=(0, 2))
    for title, justify in (("key", "left"), ("size", "right"), ("used", "left"), ("kept", "left"), ("data", "left")):
        table.add_column(title, justify=justify)  # type: ignore[arg-type]
    for entry in found:
        used = time.strftime("%Y-%m-%d %H:%M", time.localtime(entry.used))
        steps = entry.about.get("before") or []
        names = " ".join(str(step.get("name")) for step in steps) if isinstance(steps, list) else ""
        kept = f"{entry.about.get('form', '?')} {names}".strip()
        data = str(entry.about.get("root") or entry.about.get("source") or "?")
        table.add_row(entry.key[:8], format_size(entry.nbytes), used, plain(kept), plain(data))
    console.print_table(table)
    total = format_size(sum(entry.nbytes for entry in found))
    say(plain(f"{total} in {path}. bitesize cache clear KEY removes one, bitesize cache clear removes all."))
