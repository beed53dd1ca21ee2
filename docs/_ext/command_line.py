"""The reference of the command line: written from the commands themselves into the page that has the mark ``<!-- commands -->``."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from typing import Any

import typer
from sphinx.application import Sphinx
from typer.main import get_command

MARK = "<!-- commands -->"


def escaped(text: str) -> str:
    """Return help as Markdown: what is between backquotes is code, and nothing else has a meaning."""
    parts = re.split(r"(`[^`]*`)", re.sub(r"\[/?[a-z ]*\]", "", text))
    return "".join(part if part.startswith("`") else re.sub(r"([*_<>\[\]{}|#$])", r"\\\1", part) for part in parts)


def parameters(command: Any, context: typer.Context) -> Iterator[str]:
    """Yield the arguments and options of a command as definition lists, by the groups of its help."""
    groups: dict[str, list[str]] = {}
    for parameter in command.get_params(context):
        record = parameter.get_help_record(context)
        if record is None:  # hidden
            continue
        panel = getattr(parameter, "rich_help_panel", None)
        default = "Arguments" if parameter.param_type_name == "argument" else "Options"
        name = re.sub(r" <\w+>$", "", record[0])
        text = " ".join(escaped(record[1].replace("  [", " [")).split())
        groups.setdefault(panel if isinstance(panel, str) else default, []).append(f"`` {name} ``\n: {text or '.'}\n")
    for title, lines in groups.items():
        yield f"**{title}**\n"
        yield from lines


def reference() -> str:
    """Return the Markdown of all commands."""
    from bitesize.cli.app import app

    group: Any = get_command(app)
    top = typer.Context(group, info_name="bitesize")
    lines = ["(command-bitesize)=", "## bitesize", "", *parameters(group, top)]
    panels: dict[str, list[str]] = {}
    for name, command in group.commands.items():
        if not command.hidden:
            panel = command.rich_help_panel if isinstance(command.rich_help_panel, str) else "Commands"
            panels.setdefault(panel, []).append(name)
    for title, names in panels.items():
        links = ", ".join(f"[{name}](#command-{name})" for name in names)
        lines += [f"**{title}**\n: {links}\n"]
    for names in panels.values():
        for name in names:
            command = group.commands[name]
            context = typer.Context(command, info_name=name, parent=top)
            usage = " ".join(command.get_usage(context).removeprefix("Usage: ").split())
            lines += [f"(command-{name})=", f"## {name}", ""]
            lines += [paragraphs(command.help or ""), "```text", usage, "```", "", *parameters(command, context)]
            if command.epilog:
                lines += [paragraphs(command.epilog)]
    return "\n".join(lines)


def paragraphs(text: str) -> str:
    """Return help of several paragraphs; lines that are indented, or that are commands, are a block of code."""
    found = []
    for paragraph in re.split(r"\n\s*\n", inspect.cleandoc(text.replace("\b", ""))):
        if re.match(r"\s+\S|\s*(\$ )?bitesize \w", paragraph):
            found.append("```bash\n" + "\n".join(line.strip() for line in paragraph.splitlines() if line.strip()) + "\n```")
        else:
            found.append(escaped(" ".join(paragraph.split())))
    return "\n\n".join(found) + "\n"


def fill(app: Sphinx, docname: str, content: list[str]) -> None:
    """Write the reference into the page that has the mark."""
    if MARK in content[0]:
        content[0] = content[0].replace(MARK, reference())


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect the page."""
    app.connect("source-read", fill)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
