"""`--help`: groups, examples, exit codes, at any width."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import typer
from tests.cli.running import run

from bitesize.cli.app import app
from bitesize.cli.console import console
from bitesize.cli.examples import EXAMPLES
from bitesize.cli.help import EXIT_CODES, GROUPS, group_of

COMMANDS = typer.main.get_command(app).commands
PAGE = (Path(__file__).parents[2] / "docs" / "command-line.md").read_text(encoding="utf-8")


@pytest.fixture(params=[40, 80, 200])
def width(request, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(request.param))
    monkeypatch.setattr(console, "_width", None)  # which is that of the test that has loaded the module
    return request.param


def options_of(command):
    return [each for each in command.params if each.param_type_name == "option" and not each.hidden]


@pytest.mark.parametrize("name", COMMANDS)
def test_each_option_has_a_group_and_says_what_it_takes(name):
    for option in options_of(COMMANDS[name]):
        assert group_of(option.name) is not None, f"add {option.name} to bitesize.cli.help.GROUPS"
        assert option.is_flag or option.metavar, option.name
        assert option.help, option.name


def test_an_option_has_one_group():
    names = [name for group in GROUPS.values() for name in group]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("name", COMMANDS)
def test_help_shows_options_and_examples_unbroken(name, width):
    lines = run(name, "--help").stdout.splitlines()
    text = "\n".join(lines)
    assert "\x1b" not in text
    assert "…" not in text
    for option in options_of(COMMANDS[name]):
        assert f"  {' / '.join([*option.opts, *option.secondary_opts])}" in text
    examples = [f"  {command}" for command, _ in EXAMPLES[name]]
    assert 2 <= len(examples) <= 4
    assert [line for line in lines if line in examples] == examples
    # Only what is copied, and words that cannot be broken, may be longer than a narrow terminal.
    assert [line for line in lines if len(line) > width and line not in examples and len(line.split()) > 3] == []


def test_the_help_of_the_program_has_commands_in_groups_and_exit_codes(width):
    text = run("--help").stdout
    assert re.findall(r"^  (\w+)(?:  .*)?$", text.partition("\nCompletion\n")[0], re.MULTILINE) == [*COMMANDS]
    assert "\nTrain and use models\n" in text
    assert all(re.search(rf"^  {code}\b", text, re.MULTILINE) for code in EXIT_CODES)


def test_the_page_has_the_exit_codes():
    assert re.findall(r"^\| (\d+) \| (.*) \|$", PAGE, re.MULTILINE) == [
        (str(code), text) for code, text in EXIT_CODES.items()
    ]


def test_wrong_usage_is_plain_lines(monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    error = run("train", "photos", "--epoch", "3", code=2).stderr
    assert re.search(r"^Error: No such option.*--epoch.*--epochs", error, re.MULTILINE)
    assert re.match(r"Usage: .*\btrain \[OPTIONS\] \[DATA\]\n", error)
    assert error.isascii()
