"""`--help`: options in groups and examples, readable at any width, without frames and without color."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable
from typing import Any

from rich.text import Text
from typer.core import TyperCommand, TyperGroup

from bitesize.cli.console import console
from bitesize.cli.examples import EXAMPLES

# Groups of options, in the order of the help. An option has the same group in every command.
GROUPS: dict[str, tuple[str, ...]] = {
    "Data": (
        "labels", "split", "fields", "mode", "orient", "sample_weights", "labels_as", "tag_delimiter", "file_is_row", "axes", "pages",
        "listing", "storage_option", "on_error", "max_bad", "part", "run", "rows", "move_bad", "stack", "axis", "dtype", "full", "folder", "yes",
    ),
    "Validation": ("val", "val_split", "split_by", "folds"),
    "Model": (
        "task", "model", "weights", "frozen_epochs", "image_size", "normalize", "loss", "ignore_class", "class_weights", "threshold",
    ),
    "Training": ("epochs", "early_stopping", "learning_rate", "augment", "seed", "draws", "checkpoint_every", "resume"),
    "Packing": ("kind", "resize", "quality", "shard_size", "verify"),
    "Memory and speed": (
        "batch_size", "memory", "ram", "threads", "cache", "cache_folder", "cache_kind", "max_side", "measure", "seconds",
    ),
    "Several processes and machines": ("workers", "address", "gpus_per_worker"),
    "Output": (
        "out", "overwrite", "masks", "report", "html", "log", "prometheus", "json",
    ),
    "Settings": ("config", "print_config"),
    "Completion": ("install_completion", "show_completion"),
    "Other": ("version", "debug", "help"),
}  # fmt: skip
EXIT_CODES = {
    0: "success",
    1: "an error, which is printed",
    2: "wrong usage: an unknown option, or a value that is no number",
    3: "check or doctor found problems, or pack --verify found damaged shards",
    130: "interrupted by Ctrl-C",
    141: "the program that reads the output ended first, such as head",
    143: "ended by SIGTERM",
}
_MOST_WIDTH, _NAMES = 100, 28  # longer lines are hard to read; columns for names
_NARROW = 70  # from here on, help stands beside names


class Command(TyperCommand):
    """Command whose help has groups and examples."""

    def get_usage(self, ctx: Any) -> str:
        """Return the line about usage, which errors show, too."""
        return f"Usage: {_call(self, ctx)}"

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Print the help."""
        print_lines([*_usage(self, ctx), *_parameters(self, ctx), *_examples(self.name)])


class Group(TyperGroup):
    """The program, whose help has its commands in groups, examples and exit codes."""

    def get_usage(self, ctx: Any) -> str:
        """Return the line about usage, which errors show, too."""
        return f"Usage: {_call(self, ctx)}"

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Print the help."""
        lines = [*_usage(self, ctx), *_commands(self, ctx), *_parameters(self, ctx), *_examples("")]
        codes = entries((str(code), text) for code, text in EXIT_CODES.items())
        print_lines([*lines, _heading("Exit codes"), *codes])


def group_of(name: str) -> str | None:
    """Return the group of an option."""
    return next((group for group, names in GROUPS.items() if name in names), None)


def _width() -> int:
    return min(console.width, _MOST_WIDTH)


def print_lines(lines: Iterable[Text]) -> None:
    """Print lines unbroken: here rather than by typer, which knows neither NO_COLOR nor closed pipes."""
    for line in lines:
        console.print(line, soft_wrap=True, highlight=False)


def _heading(text: str) -> Text:
    return Text(f"\n{text}", style="bold")


def _call(command: Any, ctx: Any) -> str:
    """Return how a command is called."""
    words = [ctx.command_path, "[OPTIONS]", *(["COMMAND [ARGUMENTS]..."] if isinstance(command, TyperGroup) else [])]
    for each in command.get_params(ctx):
        if each.param_type_name == "argument":
            metavar = _metavar(each)
            words.append(metavar if each.required or metavar.startswith("[") else f"[{metavar}]")
    return " ".join(words)


def _usage(command: Any, ctx: Any) -> list[Text]:
    first, *rest = _wrapped(_call(command, ctx), _width() - len("Usage: "))
    lines = [Text("Usage: ", style="bold").append(first, style="not bold"), *(Text(f"    {line}") for line in rest)]
    for paragraph in textwrap.dedent(command.help or "").split("\n\n"):
        lines += [Text(), *map(Text, _wrapped(" ".join(paragraph.split()), _width()))]
    return lines


def _commands(group: Any, ctx: Any) -> list[Text]:
    """Return the commands in their groups, each with the first sentence of its help."""
    groups: dict[str, list[tuple[str, str]]] = {}
    for name in group.list_commands(ctx):
        command = group.get_command(ctx, name)
        first = " ".join((command.help or "").split("\n\n")[0].split()).split(". ")[0].rstrip(".")
        groups.setdefault(str(command.rich_help_panel), []).append((name, first))
    return [line for title, pairs in groups.items() for line in (_heading(title), *entries(pairs))]


def _parameters(command: Any, ctx: Any) -> list[Text]:
    """Return arguments, then options in their groups."""
    groups: dict[str, list[tuple[str, str]]] = {title: [] for title in ("Arguments", *GROUPS)}
    order = {name: place for place, name in enumerate(name for names in GROUPS.values() for name in names)}
    for each in sorted(command.get_params(ctx), key=lambda each: order.get(each.name, len(order))):
        if getattr(each, "hidden", False):
            continue
        title = "Arguments" if each.param_type_name == "argument" else group_of(each.name) or "Other"
        groups[title].append((_name(each), _help(each)))
    return [line for title, pairs in groups.items() if pairs for line in (_heading(title), *entries(pairs))]


def _name(parameter: Any) -> str:
    """Return an argument, or an option with what it takes."""
    if parameter.param_type_name == "argument":
        return _metavar(parameter)
    names = " / ".join([*parameter.opts, *parameter.secondary_opts])
    return names if parameter.is_flag else f"{names} {_metavar(parameter)}"


def _metavar(parameter: Any) -> str:
    return str(parameter.metavar or (parameter.name or "").upper())


def _help(parameter: Any) -> str:
    """Return what a parameter does, with its default."""
    default, text = parameter.default, parameter.help or ""
    if parameter.required:
        return f"{text} [required]"
    shown = (
        parameter.param_type_name == "option"
        and not parameter.is_flag
        and default not in (None, "", ())
        and parameter.show_default
    )
    if parameter.param_type_name == "option" and parameter.is_flag and parameter.secondary_opts and default is not None:
        return f"{text} [default: {'on' if default else 'off'}]"
    return f"{text} [default: {default}]" if shown else text


def entries(named: Iterable[tuple[str, str]]) -> list[Text]:
    """Return names with their texts: beside them, or below where the terminal is narrow or a name is long."""
    pairs, width, lines = list(named), _width(), []
    beside = width >= _NARROW
    indent = min(_NAMES, max(len(name) for name, _ in pairs) + 4) if beside else 6
    for name, text in pairs:
        wrapped = _wrapped(text, width - indent)
        line = Text("  ").append(name, style="cyan")
        if beside and len(name) + 4 <= indent and wrapped:
            line.append(" " * (indent - 2 - len(name)) + wrapped.pop(0))
        lines += [line, *(Text(" " * indent + rest) for rest in wrapped)]
    return lines


def _examples(name: str | None) -> list[Text]:
    """Return examples, each on a line of its own that is never broken, so that it can be copied."""
    lines = [_heading("Examples")]
    for command, what in EXAMPLES[name or ""]:
        lines += [*(Text(f"  # {line}", style="dim") for line in _wrapped(what, _width() - 4)), Text(f"  {command}")]
    return lines


def _wrapped(text: str, width: int) -> list[str]:
    return textwrap.wrap(text, max(width, 20), break_long_words=False, break_on_hyphens=False)
