"""Settings of a command in a file: ``--config FILE``, and ``--print-config``."""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping
from typing import Annotated, Any

import typer

from bitesize.cli.console import console

# Options that are no settings, and settings that are not printed: credentials, and what is done with a run that exists.
_NO_SETTINGS = frozenset(("config", "print_config", "help", "ram"))
_NOT_PRINTED = _NO_SETTINGS | {"storage_option", "json", "resume", "overwrite"}


def _read(context: typer.Context, path: str | None) -> str | None:
    """Make the settings of a file the defaults of the command."""
    if path is None or context.resilient_parsing:
        return path
    defaults = settings_of_file(path)
    known = {parameter.name or "": parameter for parameter in context.command.params}
    for name in defaults:
        if name not in known or name in _NO_SETTINGS:
            raise typer.BadParameter(_unknown(name, path, [each for each in known if each not in _NO_SETTINGS]))
    context.default_map = {name: _as_option(value, known[name]) for name, value in defaults.items()}
    return path


def print_settings(context: Any) -> None:
    """Print all settings of a command as a file for ``--config``."""
    for name in (parameter.name or "" for parameter in context.command.params):
        value = context.params.get(name)
        if name not in _NOT_PRINTED and value is not None:
            # Values of JSON are values of YAML, too.
            console.print(f"{name}: {json.dumps(value)}", markup=False, highlight=False, soft_wrap=True)


ConfigFile = Annotated[
    str | None,
    typer.Option(
        "--config",
        metavar="FILE",
        is_eager=True,
        callback=_read,
        help="Take settings from a YAML or JSON file, such as `epochs: 20`, or from the config.json of a run. Options of the command line win.",
    ),
]
PrintConfig = Annotated[
    bool,
    typer.Option("--print-config", help="Print all settings, as a file for --config, and do nothing else."),
]


def settings_of_file(path: str) -> dict[str, Any]:
    """Return the settings of a YAML or JSON file by their names, with underscores; without those that are null.

    Raises
    ------
    NotFound
        If the file does not exist.
    BadFile
        If it is not YAML or JSON, or has no mapping of names to values.
    """
    from bitesize.errors import BadFile

    content = _content(path)
    if not isinstance(content, Mapping):
        raise BadFile(
            f"--config {path} must have names and values, such as `epochs: 20`, but it has {type(content).__name__}"
        )
    if isinstance(content.get("settings"), Mapping) and "schema" in content:
        return _of_run(content)
    return {str(name).replace("-", "_"): value for name, value in content.items() if value is not None}


def _content(path: str) -> Any:
    from bitesize.errors import BadFile, NotFound

    try:
        with open(path, encoding="utf-8-sig") as file:
            text = file.read()
    except FileNotFoundError:
        raise NotFound(f"--config {path} does not exist") from None
    except (OSError, UnicodeDecodeError) as error:
        raise BadFile(f"--config {path} cannot be read: {error}") from error
    if path.lower().endswith(".json"):
        try:
            return json.loads(text)
        except ValueError as error:
            raise BadFile(f"--config {path} is not JSON: {error}") from None
    import yaml

    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise BadFile(f"--config {path} is not YAML: {error}") from None


def _of_run(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of a run, with paths from the folder in which it was started."""
    settings = {name: value for name, value in content["settings"].items() if value is not None and name != "fold"}
    given = content.get("given") or {}
    return settings | {name: given[name] for name in ("data", "val") if isinstance(given.get(name), str)}


def _unknown(name: str, path: str, known: list[str]) -> str:
    near = difflib.get_close_matches(name, known, 1, 0.5)
    hint = f": did you mean {near[0]}?" if near else f"; the settings are {', '.join(sorted(known))}"
    return f"{path} has the unknown setting {name!r}{hint}"


def _as_option(value: Any, parameter: Any) -> Any:
    """Return a value as the command line takes it: lists and mappings as text, or one text for each time that an option is given."""
    if isinstance(value, Mapping):
        value = [f"{name}={inner}" for name, inner in value.items()]
    if getattr(parameter, "multiple", False):
        return list(map(str, value)) if isinstance(value, list) else [str(value)]
    if isinstance(value, list):
        return ",".join(map(str, value))
    return value if isinstance(value, bool) else str(value)


def is_given(context: Any, name: str) -> bool:
    """Return whether an option was given, on the command line or in a file."""
    source = context.get_parameter_source(name)
    return source is not None and source.name in ("COMMANDLINE", "DEFAULT_MAP")
