"""Where the command line prints: results to stdout, errors and progress to stderr."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape

if TYPE_CHECKING:
    from bitesize.sources.base import Source

# Settings of the library that messages name, and the options of the command line that set them.
_OPTIONS = {
    name: "--" + name.replace("_", "-")
    for name in (
        "labels",
        "fields",
        "split",
        "mode",
        "orient",
        "tag_delimiter",
        "file_is_row",
    )
} | {"by": "--split-by", "weights": "--sample-weights"}
_SETTING = re.compile(rf"(?<![\w-])({'|'.join(_OPTIONS)})=(?!=)(?=([\w\"'\[{{(])?)")
console = Console()
errors = Console(stderr=True)


def command(*arguments: object) -> str:
    """Return a command line of this program that people can copy: it may be in an environment that is not active.

    Examples
    --------
    >>> command("train", "my data").endswith("train 'my data'")
    True
    """
    beside = os.path.join(os.path.dirname(sys.executable), "bitesize")
    if shutil.which("bitesize") is not None:
        start = "bitesize"
    else:
        start = shlex.quote(os.path.relpath(beside)) if os.path.exists(beside) else "python -m bitesize"
    return " ".join([start, *(shlex.quote(str(each)) for each in arguments)])


def in_options(text: str) -> str:
    """Write a message of the library in words of the command line: its settings as options.

    Examples
    --------
    >>> in_options('choose with fields=, or labels="kind"')
    'choose with --fields, or --labels "kind"'
    """
    text = text.replace("labels=False", "--labels none")
    for name in ("orient", "file_is_row"):
        text = text.replace(f"{name}=False", f"--no-{name.replace('_', '-')}").replace(f"{name}=True", _OPTIONS[name])
    return _SETTING.sub(lambda found: _OPTIONS[found[1]] + (" " if found[2] else ""), text)


def print_json(value: dict[str, Any]) -> None:
    """Print one JSON object, whatever the terminal's width."""
    text = json.dumps(value, ensure_ascii=False) + "\n"
    sys.stdout.write(text.encode("utf-8", "backslashreplace").decode("utf-8"))  # what is no text is escaped, as JSON has it


def plain(text: object) -> str:
    """Escape what a user named, such as a folder ``[bold]``, so that it is not taken for markup."""
    return escape(str(text))


def understood(source: Source) -> list[str]:
    """Return what was understood, chosen and left out while data was opened, a line each."""
    from bitesize.sources.explanation import counted_reason

    lines = [in_options(str(choice)) for choice in source.choices]
    if source.left_out:
        lines.append("left out: " + ", ".join(counted_reason(count, why) for why, count in source.left_out.items()))
    return lines


def print_understood(source: Source, also: Iterable[str] = (), *, measure: bool = False) -> None:
    """Print what the data was understood to be, what was chosen and what was left out; safe, whatever the names."""
    for heading, text in source.explain(measure=measure).lines():
        style = {"chosen": "cyan", "note": "yellow", "left out": "yellow"}.get(heading, "bold")
        console.print(f"[{style}]{heading:<9}[/] {plain(in_options(text))}", highlight=False, soft_wrap=True)
    known = set(understood(source))
    for line in dict.fromkeys(also):
        if line.startswith("warning: "):
            print_warning(line.removeprefix("warning: "))
        elif line not in known:
            console.print(plain(line), highlight=False, soft_wrap=True)


def print_warning(text: str) -> None:
    """Print what is probably not meant."""
    errors.print(f"[bold red]warning:[/] {plain(text)}", highlight=False, soft_wrap=True)


def counted(count: int, one: str, many: str | None = None) -> str:
    """Write a number with its noun.

    Examples
    --------
    >>> counted(1, "row"), counted(1200, "row"), counted(2, "class", "classes")
    ('1 row', '1,200 rows', '2 classes')
    """
    return f"{count:,} {one if count == 1 else many or one + 's'}"
