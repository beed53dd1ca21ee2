"""Every Python block of the README and the documents runs, in a folder that has what they speak of."""

import re
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from typer.testing import CliRunner

from bitesize.cli.app import app
from tests.conftest import noise, write_jpeg

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
TRANSLATED = [ROOT / "README.zh.md", *sorted((ROOT / "docs" / "zh").glob("*.md"))]  # with the code of the English pages
RUN = [page for page in PAGES if page.name != "tutorial.md"]  # which tests/test_tutorial.py runs with its commands


@pytest.mark.parametrize("page", RUN, ids=lambda page: page.name)
def test_the_python_blocks_of_a_page_run(page, tmp_path, monkeypatch):
    blocks = re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    assert blocks or page.name != "README.md"
    monkeypatch.chdir(tmp_path)
    for i in range(80):
        write_jpeg(tmp_path / "photos" / ("cat", "dog")[i % 2] / f"{i}.jpg", noise(120, 100, seed=i))
        folder = tmp_path / "scans" / ("ill", "well")[i % 2]
        folder.mkdir(parents=True, exist_ok=True)
        np.save(folder / f"{i}.npy", np.random.default_rng(i).random((24, 24, 3)))
    if any("runs/first" in block for block in blocks):
        a_trained_run()
    module = ModuleType("page")  # classes of a page are found again by pickle
    monkeypatch.setitem(sys.modules, "page", module)
    names = module.__dict__
    try:
        for block in blocks:
            exec(compile(block, str(page), "exec"), names)
    finally:
        for value in list(names.values()):
            close = getattr(value, "close", None)
            if type(value).__module__.startswith("bitesize") and close is not None:
                close()


def a_trained_run():
    """Train what a page's reader has trained, in seconds, and have photographs that it has not seen."""
    pytest.importorskip("skops")
    for i in range(6):
        for folder in ("unknown", f"more-photos/{('cat', 'dog')[i % 2]}"):
            write_jpeg(Path(folder) / f"{i}.jpg", noise(120, 100, seed=100 + i))
    done = CliRunner().invoke(
        app, ["train", "photos/", "--model", "sklearn:GaussianNB", "--epochs", "1", "--out", "runs/first"]
    )
    assert done.exit_code == 0, done.output


@pytest.mark.framework
def test_the_blocks_for_torch_run(tmp_path, monkeypatch):
    pytest.importorskip("torch")
    monkeypatch.chdir(tmp_path)
    blocks = [
        block for page in PAGES for block in re.findall(r"```python torch\n(.*?)```", page.read_text("utf-8"), re.DOTALL)
    ]
    assert blocks
    for block in blocks:
        exec(compile(block, "block", "exec"), {})


@pytest.mark.parametrize("page", PAGES + TRANSLATED, ids=lambda page: f"{page.relative_to(ROOT)}")
def test_links_within_the_project_lead_somewhere(page):
    for target in re.findall(r"\]\(([^):]+)\)", without_blocks(page)):
        path, _, anchor = target.partition("#")
        other = page.parent / path if path else page
        assert other.exists(), target
        assert not anchor or anchor in anchors_of(other), target


def without_blocks(page):
    return re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)


def anchors_of(page):
    """Return the anchors that GitHub makes of the headings."""
    titles = re.findall(r"^#+ (.*)$", without_blocks(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}
