"""The examples at the end of each help are commands that work."""

from __future__ import annotations

import shlex

import numpy as np
import pytest
import typer
from tests.cli.running import run
from tests.conftest import noise, write_jpeg

from bitesize.cli.app import app
from bitesize.cli.examples import EXAMPLES
from bitesize.packages import is_installed

COMMANDS = typer.main.get_command(app).commands
ALL = [(name, command) for name, examples in EXAMPLES.items() if not name or name in COMMANDS for command, _ in examples]
# Only parsed: they train for minutes, download, make data, write to the user's folders, or are run by other tests.
PARSED = (
    "bitesize train photos/", "bitesize train houses.csv", "bitesize models MobileNetV2", "bitesize demo", "bitesize cache clear",
    "bitesize bench photos/ --image-size 224", "bitesize report", "bitesize doctor",
)  # fmt: skip


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Return a folder with what the examples name; runs/first is trained in seconds."""
    pytest.importorskip("skops")
    top = tmp_path_factory.mktemp("examples")
    for i in range(40):
        write_jpeg(top / "photos" / ("cat", "dog")[i % 2] / f"{i}.jpg", noise(48, 40, seed=i))
    for i in range(4):
        for folder in ("new", "more", "more-photos/cat", "more-photos/dog"):
            write_jpeg(top / folder / f"{i}.jpg", noise(48, 40, seed=100 + i))
    (top / "houses.csv").write_text("rooms,price\n" + "".join(f"{i},{i * 0.5}\n" for i in range(40)))
    (top / "parts").mkdir()
    for i in range(3):
        np.save(top / "parts" / f"{i}.npy", np.full((4, 2), i))
    (top / "data").mkdir()
    run("train", "photos/", "--model", "sklearn:GaussianNB", "--epochs", 1, "--out", "runs/first", cwd=top)
    return top


@pytest.mark.parametrize(("name", "command"), ALL, ids=[command for _, command in ALL])
def test_an_example_is_understood(name, command, place, monkeypatch):
    monkeypatch.chdir(place)
    program, word, *rest = shlex.split(command)
    assert program == "bitesize"
    assert name in ("", word)
    assert COMMANDS[word].make_context(word, rest).params


def test_the_examples_run(place):
    examples = list(dict.fromkeys(command for _, command in ALL))
    for command in [each for each in examples if not each.startswith(PARSED)]:
        if ("--model cnn" in command or command == "bitesize models") and not is_installed("keras"):
            continue
        if "--overwrite" not in command:
            (place / "predictions.csv").unlink(missing_ok=True)  # of another example
        run(*shlex.split(command)[1:], cwd=place)
    for written in ("found.csv", "grid.png", "all.npy", "packed", "packed-256", "runs/1"):
        assert (place / written).exists(), written
    assert np.load(place / "all.npy").shape == (3, 4, 2)
