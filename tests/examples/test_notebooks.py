"""The notebooks of the examples: what is committed was executed, and each runs in a fresh kernel."""

import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "examples"
NEEDS = {
    "sklearn": ["sklearn"],
    "keras": ["keras", "jax"],
    "torch": ["torch"],
    "jax": ["jax"],
    "tensorflow": ["keras", "tensorflow"],
}
MOST_BYTES = 300_000
# Cells whose output Jupyter shows as HTML.
SHOWN = (
    "source",
    "next(iter(loader)).copy()",
    "loader.plan",
    "bs.Predictions(probabilities[some], val.classes, files.__getitem__)",
)


def outputs(path):
    """Return the code of each cell with its outputs; each cell must have run, the first one first, without an error."""
    cells = [cell for cell in json.loads(path.read_text(encoding="utf-8"))["cells"] if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))
    assert all(output["output_type"] != "error" for cell in cells for output in cell["outputs"])
    return {"".join(cell["source"]): cell["outputs"] for cell in cells}


def check(path):
    """Check that the model has learned, and that results are shown as HTML."""
    found = outputs(path)
    printed = "".join("".join(output.get("text", "")) for each in found.values() for output in each)
    assert float(re.findall(r"validation accuracy ([\d.]+)", printed)[-1]) > 0.8
    for line in SHOWN:
        (shown,) = [output for code, each in found.items() if code.endswith(line) for output in each if "data" in output]
        html = "".join(shown["data"]["text/html"])
        assert '<div class="bitesize">' in html
        assert ("<img" in html) == (line in SHOWN[:2])


def test_there_is_a_notebook_for_each_framework():
    assert {path.stem for path in FOLDER.glob("*.ipynb")} == set(NEEDS)


@pytest.mark.parametrize("name", NEEDS)
def test_the_committed_notebook_was_executed_and_names_no_machine(name):
    path = FOLDER / f"{name}.ipynb"
    check(path)
    text = path.read_text(encoding="utf-8")
    assert len(text.encode()) < MOST_BYTES
    assert not re.search(r"/tmp|/home/|/root|/Users/|[A-Z]:\\\\|site-packages|0x[0-9a-f]{8}|stderr", text)
    assert 6 <= len(outputs(path)) <= 10


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[pytest.mark.framework, pytest.mark.slow] if name != "sklearn" else []) for name in NEEDS],
)
def test_the_notebook_runs_in_a_fresh_kernel(name, tmp_path):
    for package in ["nbclient", "ipykernel", *NEEDS[name]]:
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed")
    command = [sys.executable, "-m", "tests.examples.executing", "--out", str(tmp_path), str(FOLDER / f"{name}.ipynb")]
    environment = {**os.environ, "IPYTHONDIR": str(tmp_path), "JUPYTER_RUNTIME_DIR": str(tmp_path)}
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=290, env=environment)
    assert done.returncode == 0, done.stderr[-4000:]
    check(tmp_path / f"{name}.ipynb")
