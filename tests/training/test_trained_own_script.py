"""From a trained run to a prediction with what README and docs/use.md say alone, as a new user would try it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tests.conftest import compiled_once, noise, write_jpeg

import bitesize as bs
from bitesize.training.backend import choose_backend

ROOT = Path(__file__).parent.parent.parent
try:
    choose_backend()
except bs.MissingPackage as error:
    pytest.skip(str(error), allow_module_level=True)
pytestmark = pytest.mark.slow


def block_with(page, text, kind="python"):
    """Return the block of a page that has a text."""
    blocks = re.findall(rf"```{kind}\n(.*?)```", (ROOT / page).read_text(encoding="utf-8"), re.DOTALL)
    (found,) = [block for block in blocks if text in block]
    return found


def started(*arguments, cwd):
    done = subprocess.run(
        [sys.executable, *map(str, arguments)], cwd=cwd, capture_output=True, text=True, check=False, timeout=280, encoding="utf-8",
        env={**os.environ, "PYTHONIOENCODING": "utf-8"},
    )  # fmt: skip
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with photographs, and the run that README's own command trains on them."""
    top = tmp_path_factory.mktemp("reader")
    for i in range(24):
        pixels = noise(150, 200, seed=i) // 2 + np.uint8(120 * (i % 2))
        write_jpeg(top / "photos" / ("cat", "dog")[i % 2] / f"{i}.jpg", pixels)
        write_jpeg(top / ("unknown" if i < 6 else f"more-photos/{('cat', 'dog')[i % 2]}") / f"{i}.jpg", pixels[::-1].copy())
    line, *_ = re.findall(
        r"^bitesize (train photos/ .*--out runs/first)", block_with("README.md", "bitesize info", "bash"), re.M
    )
    words = [*line.split(), "--epochs", 2, *block_with("docs/use.md", "--image-size 96", "bash").split()[3:5]]
    with compiled_once(top / "compiled"):
        started("-m", "bitesize", *words, cwd=top)  # the last --epochs counts
    return top


def test_the_script_of_the_docs_predicts(folder):
    block = block_with("docs/use.md", "bs.load(")
    assert len([line for line in block.splitlines() if line.strip()]) <= 10
    (folder / "script.py").write_text(block, encoding="utf-8")
    lines = started("script.py", cwd=folder).splitlines()
    assert lines[0].startswith("TrainedModel('runs/first': cnn, rows of 96 x 96 x 3, classes cat, dog, validation accuracy")
    for i, line in enumerate(lines[1:7]):
        assert re.fullmatch(rf".*unknown.{i}\.jpg (cat|dog) [01]\.\d\d\d", line), line
    assert lines[7:9] == ["(6, 2)", "() {}"]
    assert 0 <= float(lines[9]) <= 1


def test_the_keras_file_alone_gives_the_same_answer_by_the_five_lines_of_the_docs(folder, monkeypatch):
    monkeypatch.chdir(folder)
    model = bs.load("runs/first")
    assert [type(step).__name__ for step in model.transforms] == ["Resize", "Scale"]
    assert (model.config["output"], model.transforms[0].size) == ("logits", 96)
    block = block_with("docs/use.md", "model.keras", "python keras")
    assert len([line for line in block.splitlines() if line and not line.startswith(("import", "from"))]) == 5
    names = {}
    exec(compile(block, "docs/use.md", "exec"), names)
    found = model.predict("unknown/1.jpg")
    np.testing.assert_allclose(names["probabilities"], found.probabilities, atol=0.02)
    assert names["label"] == found.labels[0]
