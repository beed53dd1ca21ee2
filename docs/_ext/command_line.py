"""The reference of the command line: written from the commands themselves into the page that has the mark ``<!-- commands -->``."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import typer
from sphinx.application import Sphinx
from typer.main import get_command

from bitesize.cli.app import app
from bitesize.cli.examples import EXAMPLES
from bitesize.cli.help import GROUPS, group_of

MARK = "<!-- commands -->"


def escaped(text: str) -> str:
    """Return help as Markdown: what is between backquotes is code, and nothing else has a meaning."""
    parts = re.split(r"(`[^`]*`)", " ".join(text.split()))
    return "".join(part if part.startswith("`") else re.sub(r"([*_<>\[\]{}|#$])", r"\\\1", part) for part in parts)


def parameters(command: Any, context: typer.Context) -> Iterator[str]:
    """Yield the arguments and options of a command as definition lists, in the groups of its help."""
    order = {name: place for place, name in enumerate(name for names in GROUPS.values() for name in names)}
    groups: dict[str, list[str]] = {title: [] for title in ("Arguments", *GROUPS)}
    for parameter in sorted(command.get_params(context), key=lambda each: order.get(each.name, len(order))):
        record = parameter.get_help_record(context)
        if record is not None:  # not hidden
            title = "Arguments" if parameter.param_type_name == "argument" else group_of(parameter.name) or "Other"
            name = re.sub(r" <[\w\[\]]+>$", "", record[0])
            groups[title].append(f"`` {name} ``\n: {escaped(record[1]) or '.'}\n")
    for title, lines in groups.items():
        if lines:
            yield f"**{title}**\n"
            yield from lines


def examples(name: str) -> list[str]:
    """Return the examples of a command, each below what it does."""
    lines = [line for command, what in EXAMPLES.get(name, ()) for line in (f"# {what}", command)]
    return ["**Examples**\n", "```bash", *lines, "```", ""] if lines else []


def described(command: Any, context: typer.Context, name: str) -> list[str]:
    """Return the section of a command: what it does, how it is called, examples, options."""
    usage = " ".join(command.get_usage(context).removeprefix("Usage: ").split())
    text = [escaped(paragraph) + "\n" for paragraph in (command.help or "").split("\n\n")]
    return [*text, "```text", usage, "```", "", *examples(name), *parameters(command, context)]


def reference() -> str:
    """Return the Markdown of all commands."""
    group: Any = get_command(app)
    top = typer.Context(group, info_name="bitesize")
    groups: dict[str, list[str]] = {}
    for name, command in group.commands.items():
        if not command.hidden:
            groups.setdefault(str(command.rich_help_panel), []).append(name)
    lines = ["(command-bitesize)=", "## bitesize", ""]
    for title, names in groups.items():
        lines.append(f"**{title}**\n: {', '.join(f'[{name}](#command-{name})' for name in names)}\n")
    lines += parameters(group, top)
    for names in groups.values():
        for name in names:
            command = group.commands[name]
            context = typer.Context(command, info_name=name, parent=top)
            lines += [f"(command-{name})=", f"## {name}", "", *described(command, context, name)]
    return "\n".join(lines)


def fill(app: Sphinx, docname: str, content: list[str]) -> None:
    """Write the reference into the page that has the mark."""
    if MARK in content[0]:
        content[0] = content[0].replace(MARK, reference())


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect the page."""
    app.connect("source-read", fill)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
