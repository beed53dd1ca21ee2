"""Where the command line prints: results to stdout, errors and progress to stderr."""

from __future__ import annotations

import codecs
import json
import logging
import os
import re
import shutil
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from rich.markup import escape

from bitesize.cli.output import Output, writing
from bitesize.memory.sizes import counted as counted
from bitesize.text import quoted as quoted
from bitesize.text import readable as readable

if TYPE_CHECKING:
    from bitesize.sources.base import Source

# Settings of the library in messages, and the command-line options that set them.
_OPTIONS = {
    name: "--" + name.replace("_", "-")
    for name in (
        "labels",
        "fields",
        "split",
        "mode",
        "orient",
        "labels_as",
        "tag_delimiter",
        "file_is_row",
        "axes",
        "pages",
        "max_side",
        "quality",
        "kind",
        "shard_size",
        "max_bad",
        "batch_size",
        "memory",
        "threads",
        "listing",
    )
} | {"by": "--split-by", "weights": "--sample-weights"}
_SETTING = re.compile(rf"(?<![\w-])({'|'.join(_OPTIONS)})=(?!=)(?=([\w\"'\[{{(])?)")
console = Output()
errors = Output(stderr=True)


def command(*arguments: object) -> str:
    """Return a command line of this program to copy and run, with its path if its environment is not active.

    Examples
    --------
    >>> command("train", "my data").endswith("train 'my data'")
    True
    """
    program = os.path.join(os.path.dirname(sys.executable), "bitesize")
    if shutil.which("bitesize") is not None:
        start = ["bitesize"]
    else:
        start = [os.path.relpath(program)] if os.path.exists(program) else ["python", "-m", "bitesize"]
    return quoted(*start, *arguments)


def in_options(text: str) -> str:
    """Return a message of the library with its settings written as command-line options.

    Examples
    --------
    >>> in_options('choose with fields=, or labels="kind"')
    'choose with --fields, or --labels "kind"'
    """
    text = text.replace("labels=False", "--labels none")
    text = re.sub(r"bs\.open\(('[^']*'), labels=('[^']*')\)", r"\1 --labels \2", text)
    text = text.replace("= of bs.open", "=")
    for kind, task in (("text", "classify"), ("float", "regress")):
        text = text.replace(f"labels=[one {kind} per row]", f"--task {task} of train")
    # Training has no option for it: JAX would compile another program for the last batch.
    for keep in ('last="short" keeps them', 'last="pad" keeps them, with a mask'):
        text = text.replace(
            f', and last="drop" leaves them out ({keep})', " and are left out (a smaller --batch-size leaves out fewer)"
        )
    text = text.replace("larger batch_size", "larger --batch-size")
    text = text.replace("max_side=256 of the cache", "--max-side 256").replace(
        ", with other values; fast_decode=False, too", ""
    )
    text = text.replace('kind="pixels" of the cache', "--cache-kind pixels").replace('cache="auto"', "--cache auto")
    text = text.replace("anonymous=True in storage_options", "--storage-option anonymous=true")
    text = re.sub(r"set storage_options=\{'region': '([\w.-]+)'\}", r"set --storage-option region=\1", text)
    text = re.sub(r"\((\w+) in storage_options\)", r"(--storage-option \1=...)", text)
    text = re.sub(r"\bthreads=(\d+) would", r"--threads \1 would", text)
    for name in ("orient", "file_is_row"):
        text = text.replace(f"{name}=False", f"--no-{name.replace('_', '-')}").replace(f"{name}=True", _OPTIONS[name])
    return _SETTING.sub(lambda found: _OPTIONS[found[1]] + (" " if found[2] else ""), text)


def print_json(value: dict[str, Any]) -> None:
    """Print one JSON object, independent of the terminal's width; in ASCII only if stdout cannot encode all characters."""
    text = readable(json.dumps(value, ensure_ascii=False))
    if codecs.lookup(sys.stdout.encoding or "ascii").name != "utf-8":
        text = json.dumps(json.loads(text))
    # Bytes that are not text are escaped as in JSON.
    print_plain(text.encode("utf-8", "backslashreplace").decode("utf-8"))


def print_plain(text: str) -> None:
    """Print text for programs: without styles, and unbroken."""
    with writing(sys.stdout):
        sys.stdout.write(text + "\n")


class _Log(logging.Handler):
    """Print the library's log: warnings, except for bad rows, which commands list themselves; or all records."""

    def __init__(self, all_of_it: bool) -> None:
        super().__init__(logging.DEBUG if all_of_it else logging.WARNING)
        self._all = all_of_it

    def emit(self, record: logging.LogRecord) -> None:
        """Print a record."""
        if self._all:
            errors.print(f"{record.levelname.lower()}: {plain(record.getMessage())}", highlight=False, soft_wrap=True)
        elif record.name != "bitesize.rows":
            print_warning(in_options(record.getMessage()))


def show_log(*, all_of_it: bool) -> None:
    """Print the library's warnings, or its whole log; the library itself configures no logging."""
    log = logging.getLogger("bitesize")
    log.handlers = [_Log(all_of_it)]
    log.setLevel(logging.DEBUG if all_of_it else logging.NOTSET)


def say_when_compiling() -> None:
    """Print a line if kernels will be compiled for the first time on this machine; for commands that load data."""
    from bitesize.kernels.warm import announce_compiling

    announce_compiling(
        lambda: errors.print("compiling bitesize's kernels for this machine: once, a few seconds", highlight=False)
    )


def in_seconds(time: float) -> str:
    """Return a time in seconds with its significant digits.

    Examples
    --------
    >>> in_seconds(0.0312), in_seconds(1234.56)
    ('0.031 s', '1,234.6 s')
    """
    return f"{time:,.1f} s" if time >= 1 else f"{time:.2g} s"


def plain(text: object) -> str:
    """Escape a name from the user, such as a folder ``[bold]``, so that it is not read as markup."""
    return escape(readable(str(text)))


def understood(source: Source) -> list[str]:
    """Return the lines about opened data: the layout found, the choices made, and the files left out."""
    from bitesize.sources.explanation import counted_reason

    lines = [in_options(str(choice)) for choice in source.choices]
    if source.left_out:
        lines.append("left out: " + ", ".join(counted_reason(count, why) for why, count in source.left_out.items()))
    return lines


def described(source: Source) -> list[list[str]]:
    """Return pairs of a heading and a text about opened data, for the records of a run."""
    return [[heading, readable(in_options(text))] for heading, text in source.explain(measure=False).lines()]


def print_understood(source: Source, also: Iterable[str] = (), *, measure: bool = False) -> None:
    """Print the lines about opened data: the layout found, the choices made, and the files left out; names are escaped."""
    for heading, text in source.explain(measure=measure).lines():
        style = {"chosen": "cyan", "note": "yellow", "left out": "yellow"}.get(heading, "bold")
        say(f"[{style}]{heading:<9}[/] {plain(in_options(text))}")
    known = set(understood(source))
    for line in dict.fromkeys(also):
        if line.startswith("warning: "):
            print_warning(line.removeprefix("warning: "))
        elif line not in known:
            say(plain(line))


def say(text: str) -> None:
    """Print a line; on a terminal it is wrapped between words, unless a word, such as a path, is longer than the width."""
    broken = console.is_terminal and max(map(len, text.split()), default=0) <= console.width
    console.print(text, highlight=False, soft_wrap=not broken)


def say_written(path: str) -> None:
    """Print the path of a file that was written."""
    console.print(f"wrote [bold]{plain(path)}[/]", highlight=False, soft_wrap=True)


def print_warning(text: str) -> None:
    """Print a warning."""
    errors.print(f"[bold red]warning:[/] {plain(text)}", highlight=False, soft_wrap=True)
