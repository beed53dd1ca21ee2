"""Shell completion of the values of options and arguments; it imports neither NumPy nor a framework, so that it is quick."""

from __future__ import annotations

import csv
import importlib.util
import inspect
import os
import re
import shlex
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from typer.models import ArgumentInfo, OptionInfo

# Values that metavars do not name in lower case.
_VALUES = {"mode": ("RGB", "L", "RGBA", "unchanged"), "axes": ("HW", "HWC", "DHW", "DHWC"), "action": ("list", "clear")}
_OWN_MODELS = ("auto", "mlp", "cnn", "unet", "sklearn:SGDClassifier")
_SAFE = re.compile(r"[\w.,:/@%+=-]+")
_WORD = re.compile(r"[a-z][a-z-]*")
_TABLES = {".csv": ",", ".tsv": "\t"}


def completed(command: Callable[..., Any]) -> Callable[..., Any]:
    """Return a command, for whose options and arguments the shell completes values."""
    command.__annotations__ = inspect.get_annotations(command, eval_str=True)
    for name, annotation in command.__annotations__.items():
        for info in getattr(annotation, "__metadata__", ()):
            if isinstance(info, OptionInfo | ArgumentInfo) and info.autocompletion is None:
                info.autocompletion = _COMPLETIONS.get(name) or _choices(name, info.metavar or "")
    return command


def _choices(name: str, metavar: str) -> Callable[..., list[str]] | None:
    """Return the completion of the words of a metavar such as ``auto|classify|FILE``; None if there are none."""
    values = _VALUES.get(name) or tuple(filter(_WORD.fullmatch, metavar.split("|")))
    if not values:
        return None

    def choices(incomplete: str) -> list[str]:
        """Return the values that start like the text."""
        return _starting(values, incomplete)

    return choices


def _starting(values: Iterable[str], incomplete: str) -> list[str]:
    """Return the values that start like the text; not those that a shell would read as something else, or run: they come from files."""
    return [value for value in values if value.startswith(incomplete) and _SAFE.fullmatch(value)]


def _runs(incomplete: str) -> list[str]:
    """Return the runs in ``runs``; other folders are completed by the shell."""
    try:
        with os.scandir("runs") as entries:
            found = [entry.name for entry in entries if os.path.isfile(os.path.join(entry.path, "config.json"))]
    except OSError:
        return []
    names = (["latest"] if found else []) + sorted(found, key=_naturally)
    return _starting((f"runs/{name}" for name in names), incomplete)


def _naturally(name: str) -> tuple[bool, int, str]:
    return (not name.isdecimal(), int(name) if name.isdecimal() else 0, name)


def _applications(incomplete: str = "") -> list[str]:
    """Return the models of `keras.applications`, without importing Keras."""
    found = importlib.util.find_spec("keras")
    for folder in (found.submodule_search_locations or ()) if found else ():
        try:
            text = (Path(folder) / "applications" / "__init__.py").read_text(encoding="utf-8")
        except OSError:
            continue
        return _starting(sorted(set(re.findall(r"\b([A-Z]\w+) as \1\b", text))), incomplete)
    return []


def _models(incomplete: str) -> list[str]:
    return _starting((*_OWN_MODELS, *_applications()), incomplete)


def _columns(incomplete: str) -> list[str]:
    """Return the columns of the table on the line; after a comma, the next one."""
    before, comma, _ = incomplete.rpartition(",")
    for word in _words():
        delimiter = _TABLES.get(os.path.splitext(word)[1].lower())
        if delimiter is not None and os.path.isfile(word):
            try:
                with open(word, encoding="utf-8-sig", newline="") as file:
                    names = next(csv.reader([file.readline(1 << 16)], delimiter=delimiter), [])
            except (OSError, UnicodeDecodeError, csv.Error):
                return []
            return _starting((f"{before}{comma}{name}" for name in names), incomplete)
    return []


def _words() -> list[str]:
    """Return the words of the line that is completed: an option without its value yet hides them from the parser."""
    line = os.environ.get("COMP_WORDS") or os.environ.get("_TYPER_COMPLETE_ARGS") or ""
    try:
        return shlex.split(line)
    except ValueError:  # an open quote
        return line.split()


def join_words() -> None:
    """Read ``--task=cl`` as ``--task cl`` where bash completes it: bash gives the sign as a word of its own."""
    words, at = os.environ.get("COMP_WORDS", "").split("\n"), os.environ.get("COMP_CWORD", "")
    if "_BITESIZE_COMPLETE" not in os.environ or not at.isdecimal() or "=" not in words:
        return
    current = int(at)
    left = [i for i, word in enumerate(words) if word != "="]
    if words[current : current + 1] == ["="]:  # nothing behind it yet
        words[current], left = "", sorted({*left, current})
    os.environ["COMP_WORDS"] = "\n".join(words[i] for i in left)
    os.environ["COMP_CWORD"] = str(sum(i < current for i in left))


_COMPLETIONS: dict[str, Callable[..., list[str]]] = {
    "model": _models, "name": _applications, "run": _runs, "labels": _columns, "sample_weights": _columns, "split_by": _columns,
    "fields": _columns,
}  # fmt: skip
