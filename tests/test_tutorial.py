"""The tutorial runs as a reader runs it: every block in order, in an empty folder. The commands of other pages exist."""

import csv
import re
import shlex
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
import typer

from bitesize.cli.app import app
from bitesize.errors import MissingPackage
from bitesize.training.backend import choose_backend
from tests.conftest import compiled_once

ROOT = Path(__file__).parent.parent
TUTORIAL = ROOT / "docs" / "tutorial.md"
# A tenth of the pictures and of the epochs shows the same in a tenth of the time.
SMALLER = {"COUNT = 600": "COUNT = 90", "--epochs 6": "--epochs 1", "--epochs 8": "--epochs 2", "epochs=2": "epochs=1"}
PROGRAM = typer.main.get_command(app)
COMMANDS = PROGRAM.commands


def blocks_of(page):
    """Return (language, text) of the blocks that a reader runs: not the output in them, and not what is marked ``notest``."""
    found = re.findall(r"^```(\S*)(.*)\n((?s:.*?))^```$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return [(kind, text) for kind, mark, text in found if kind in ("bash", "python") and "notest" not in mark]


def lines_of(text):
    """Return the words of each command; ``!`` starts a command in a notebook."""
    lines = text.replace("\\\n", " ").splitlines()
    return [words for line in lines if (words := shlex.split(line.removeprefix("!"), comments=True))]


def run_command(words, folder):
    program = {"bitesize": ["-m", "bitesize"], "python": []}[words[0]]
    done = subprocess.run(
        [sys.executable, *program, *words[1:]], cwd=folder, capture_output=True, text=True, check=False, encoding="utf-8", timeout=250,
    )  # fmt: skip
    assert done.returncode == 0, f"{shlex.join(words)}\n{done.stdout}\n{done.stderr}"


@pytest.mark.slow
def test_the_tutorial_runs_from_an_empty_folder_to_predictions(tmp_path, monkeypatch):
    try:
        choose_backend()
    except MissingPackage as error:
        pytest.skip(str(error))
    pytest.importorskip("IPython")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONIOENCODING", "utf-8")
    blocks = blocks_of(TUTORIAL)
    replaced = set()
    cells = ModuleType("cells").__dict__
    with compiled_once(tmp_path / "compiled"):
        for kind, block in blocks:
            text = block
            for size, smaller in SMALLER.items():
                replaced |= {size} if size in text else set()
                text = text.replace(size, smaller)
            if kind == "bash":
                for words in lines_of(text):
                    run_command(words, tmp_path)
            elif name := re.match(r"# (\w+\.py)\n", text):
                (tmp_path / name[1]).write_text(text, encoding="utf-8")
            else:
                exec(compile(text, "docs/tutorial.md", "exec"), cells)
    for loader in ("loader", "val_loader", "new_loader"):
        cells[loader].close()
    assert replaced == set(SMALLER), "the page has other sizes: the test would take longer than it says"
    assert (tmp_path / "compare.html").is_file()
    for run in ("first", "second", "arrays"):
        assert {"model.keras", "history.csv", "report.html"} <= {path.name for path in (tmp_path / "runs" / run).iterdir()}
    with (tmp_path / "predictions.csv").open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 20
    assert not any(row["error"] for row in rows)
    assert (tmp_path / "my-model.keras").exists()


@pytest.mark.parametrize("page", ["README.md", *(f"docs/{page.name}" for page in sorted((ROOT / "docs").glob("*.md")))])
def test_the_commands_of_a_page_exist_with_their_options(page):
    unknown = []
    for kind, text in blocks_of(ROOT / page):
        for words in lines_of(text) if kind == "bash" else []:
            if words[0] != "bitesize":
                continue
            command = PROGRAM if words[1].startswith("--") else COMMANDS.get(words[1])
            if command is None:
                unknown.append(shlex.join(words))
                continue
            known = set().union(*(option.opts + option.secondary_opts for option in command.params))
            unknown += [
                f"{words[1]} {word}" for word in words[1:] if word.startswith("--") and word.partition("=")[0] not in known
            ]
    assert unknown == []
