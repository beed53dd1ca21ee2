"""Settings of a command in a file: ``--config FILE``, and ``--print-config``."""

from __future__ import annotations

import difflib
import json
import os
import re
from collections.abc import Iterable, Mapping
from typing import Annotated, Any

import typer

from bitesize.cli.console import print_plain, print_warning

# Options that are no settings, and settings that are not printed: credentials, and what is done with a run that exists.
_NO_SETTINGS = frozenset(("config", "print_config", "help", "ram"))
_NOT_PRINTED = _NO_SETTINGS | {"storage_option", "json", "resume", "overwrite"}
# Settings are a few lines; more is another file, taken by mistake.
_MOST_NBYTES = 1 << 20
_NULLS = frozenset(("", "~", "null", "Null", "NULL"))
# Characters that YAML does not read as they stand, or reads as the end of a line.
_NOT_PRINTABLE = re.compile("[^\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]")
_WHOLE = re.compile(r"0|-?[1-9]\d{0,14}")


def _read(context: typer.Context, path: str | None) -> str | None:
    """Make the settings of a file the defaults of the command."""
    if path is None or context.resilient_parsing:
        return path
    known = {parameter.name or "": parameter for parameter in context.command.params if parameter.name not in _NO_SETTINGS}
    defaults = {}
    for name, value in settings_of_file(path).items():
        if name not in known:
            raise typer.BadParameter(_unknown(name, path, [*known]))
        defaults[name] = _as_option(value, known[name])
        try:
            known[name].process_value(context, defaults[name])
        except Exception as error:
            if not hasattr(error, "format_message"):  # no mistake of usage
                raise
            raise typer.BadParameter(f"{path} has {name}: {value}. {getattr(error, 'message', error)}") from None
    context.default_map = defaults
    return path


def print_settings(context: Any) -> None:
    """Print all settings of a command as a file for ``--config``."""
    for name in (parameter.name or "" for parameter in context.command.params):
        value = context.params.get(name)
        if name not in _NOT_PRINTED and value is not None:
            print_plain(f"{name}: {_as_yaml(value)}")


def _as_yaml(value: Any) -> str:
    """Return a value of an option as YAML on one line: values of JSON are values of YAML, too."""
    if isinstance(value, str) and _WHOLE.fullmatch(value):
        return value
    return _NOT_PRINTABLE.sub(lambda found: f"\\u{ord(found[0]):04x}", json.dumps(value, ensure_ascii=False))


ConfigFile = Annotated[
    str | None,
    typer.Option(
        "--config",
        metavar="FILE",
        is_eager=True,
        callback=_read,
        help="Take settings from a YAML or JSON file, such as `epochs: 20`, or from a run: its folder or config.json. Options of the command "
        "line win. Paths in a file are from the current directory, those of a run from where it was started.",
    ),
]
PrintConfig = Annotated[
    bool,
    typer.Option("--print-config", help="Print all settings, as a file for --config, and do nothing else."),
]


def settings_of_file(path: str) -> dict[str, Any]:
    """Return the settings of a YAML or JSON file, or of a run, by their names with underscores; without those that are null.

    Parameters
    ----------
    path
        A file, or the folder of a run.

    Returns
    -------
    dict
        Text, lists of texts, or mappings of names to texts, as written: YAML's own types (``no``, dates, octal numbers) do not apply.

    Raises
    ------
    NotFound
        If the file does not exist.
    BadFile
        If it is not YAML or JSON, has no mapping of names to values, names a setting twice, or is larger than 1 MiB.
    """
    from bitesize.errors import BadFile

    if os.path.isdir(path):
        path = os.path.join(path, "config.json")
    pairs = _json(path) if path.lower().endswith(".json") else _yaml(path)
    content = dict(pairs)
    if isinstance(content.get("settings"), Mapping) and "schema" in content:
        return _of_run(content, path)
    found: dict[str, Any] = {}
    for name, value in pairs:
        setting = name.replace("-", "_")
        if setting in found:
            raise BadFile(f"--config {path} has the setting {setting} twice")
        found[setting] = _as_text(value, f"--config {path}: {setting}")
    return {name: value for name, value in found.items() if value is not None}


def _text(path: str) -> str:
    from bitesize.errors import BadFile, NotFound
    from bitesize.storage.url import is_url

    if is_url(path):
        raise BadFile(f"--config {path} is an address: settings are read from a file on this machine")
    try:
        with open(path, "rb") as file:
            content = file.read(_MOST_NBYTES + 1)
        text = content.decode("utf-8-sig")
    except FileNotFoundError:
        raise NotFound(f"--config {path} does not exist") from None
    except (OSError, UnicodeDecodeError) as error:
        raise BadFile(f"--config {path} cannot be read: {error}") from error
    if len(content) > _MOST_NBYTES:
        raise BadFile(f"--config {path} is larger than 1 MiB: it has no settings")
    return text


def _json(path: str) -> list[tuple[str, Any]]:
    """Return the names and values of a JSON file."""
    from bitesize.errors import BadFile

    pairs: list[tuple[str, Any]] = []

    def outermost(found: list[tuple[str, Any]]) -> dict[str, Any]:
        """Keep the pairs of each object; the last one is the outermost."""
        pairs[:] = found
        return dict(found)

    try:
        content = json.loads(_text(path), object_pairs_hook=outermost)
    except (ValueError, RecursionError) as error:
        raise BadFile(f"--config {path} is not JSON: {error}") from None
    if not isinstance(content, dict):
        raise _no_settings(path, type(content).__name__)
    return pairs


def _yaml(path: str) -> list[tuple[str, Any]]:
    """Return the names and values of a YAML file, all of them text as it is written there."""
    import yaml

    from bitesize.errors import BadFile

    text = _text(path)
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        raise BadFile(f"--config {path} is not YAML: {error}") from None
    except RecursionError:
        raise BadFile(f"--config {path} has lists in lists, too many to read") from None
    if not isinstance(node, yaml.MappingNode):
        raise _no_settings(path, "nothing" if node is None else node.id)
    return [(str(name.value), _of_node(value)) for name, value in node.value]


def _of_node(node: Any) -> Any:
    """Return a value of YAML; deeper lists and mappings keep their nodes, which `_as_text` refuses."""
    if node.id == "scalar":
        return None if node.style is None and node.value in _NULLS else node.value
    if node.id == "sequence":
        return [_of_node(each) if each.id == "scalar" else {} for each in node.value]
    return {str(name.value): _of_node(each) if each.id == "scalar" else {} for name, each in node.value}


def _no_settings(path: str, found: str) -> Exception:
    from bitesize.errors import BadFile

    return BadFile(f"--config {path} must have names and values, such as `epochs: 20`, but it has {found}")


def _as_text(value: Any, where: str) -> Any:
    """Return a value, or those of a list or a mapping, as text."""
    from bitesize.errors import BadFile

    def one(each: Any) -> str:
        """Return one value."""
        if each is None or isinstance(each, list | Mapping):
            raise BadFile(
                f"{where} must be a value, a list of values, or names with values, not deeper lists or empty values"
            )
        return json.dumps(each) if isinstance(each, bool) else str(each)

    if value is None:
        return None
    if isinstance(value, Mapping):
        return {str(name): one(each) for name, each in value.items()}
    return list(map(one, value)) if isinstance(value, list) else one(value)


def _of_run(content: Mapping[str, Any], path: str) -> dict[str, Any]:
    """Return the settings of a run, without those that are defaults, with paths as they were at its start."""
    from bitesize.errors import BadFile
    from bitesize.training.differences import PATHS, found_path
    from bitesize.training.estimators import is_estimator
    from bitesize.training.settings import TrainSettings

    try:
        settings = TrainSettings.from_dict(content["settings"]).as_dict()
        default = TrainSettings(settings["data"]).as_dict()
    except (TypeError, KeyError) as error:
        raise BadFile(f"--config {path} has no settings of a run: {error}") from None
    left_out = set(content["settings"]) - set(settings) - {"pretrained"}
    if left_out:
        print_warning(f"{path} has settings that this version of bitesize does not have: {', '.join(sorted(left_out))}")
    # A fold is trained with the others. Estimators have no early stopping: they record 0.
    not_options = {"fold"} | ({"early_stopping"} if is_estimator(settings["model"]) else set())
    given, folder = content.get("given") or {}, str(content.get("folder", "."))
    found = {}
    for name, value in settings.items():
        if name not in not_options and (name == "data" or value != default[name]):
            if name in PATHS and isinstance(value, str):
                value = given.get(name) if isinstance(given.get(name), str) else found_path(name, value, folder)
            found[name] = _as_text(value, f"--config {path}: {name}")
    return found


def _unknown(name: str, path: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, known, 1, 0.5)
    hint = f": did you mean {near[0]}?" if near else f"; the settings are {', '.join(sorted(known))}"
    return f"{path} has the unknown setting {name!r}{hint}"


def _as_option(value: Any, parameter: Any) -> Any:
    """Return a value as the command line takes it: one text, or one for each time that an option is given."""
    if isinstance(value, Mapping):
        value = [f"{name}={inner}" for name, inner in value.items()]
    if getattr(parameter, "multiple", False):
        return value if isinstance(value, list) else [value]
    return ",".join(value) if isinstance(value, list) else value


def is_given(context: Any, name: str) -> bool:
    """Return whether an option was given, on the command line or in a file."""
    source = context.get_parameter_source(name)
    return source is not None and source.name in ("COMMANDLINE", "DEFAULT_MAP")
