"""Every Python block of the README and the documents runs, in a folder that has what they speak of; and the site is complete."""

import importlib
import re
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from typer.testing import CliRunner

import bitesize
from bitesize.cli.app import app
from tests.conftest import noise, write_jpeg

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
TRANSLATED = [ROOT / "README.zh.md", *sorted((DOCS / "zh").glob("*.md"))]  # with the code of the English pages
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted(page for page in DOCS.rglob("*.md") if not {"_build", "api", "zh"} & set(page.parts)),
]


def name_of(page):
    return page.relative_to(ROOT).as_posix() if page.parent != DOCS else page.name


def blocks_of(page, marks=""):
    """Return the blocks of a page that are Python for one framework, or for none."""
    return re.findall(rf"```python{marks}\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)


# tests/test_tutorial.py runs the tutorial, with its commands.
PAGES_WITH_CODE = [page for page in PAGES if blocks_of(page) and page.name != "tutorial.md"]


@pytest.mark.parametrize("page", PAGES_WITH_CODE, ids=name_of)
def test_the_python_blocks_of_a_page_run(page, tmp_path, monkeypatch):
    blocks = blocks_of(page)
    data_of_pages(tmp_path, monkeypatch)
    if any("runs/first" in block for block in blocks):
        a_trained_run()
    run(blocks, page, monkeypatch)


def test_pages_are_found():
    assert {"README.md", "data.md", "docs/coming-from/keras.md"} <= set(map(name_of, PAGES_WITH_CODE))


def data_of_pages(folder, monkeypatch):
    """Make what pages speak of, and go there: photographs and arrays in class folders."""
    monkeypatch.chdir(folder)
    for i in range(80):
        write_jpeg(folder / "photos" / ("cat", "dog")[i % 2] / f"{i}.jpg", noise(120, 100, seed=i))
        scans = folder / "scans" / ("ill", "well")[i % 2]
        scans.mkdir(parents=True, exist_ok=True)
        np.save(scans / f"{i}.npy", np.random.default_rng(i).random((24, 24, 3)))


def run(blocks, page, monkeypatch):
    """Run the blocks of a page as one module, and close what they have opened."""
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
@pytest.mark.filterwarnings("ignore:`shuffle=True` was passed:UserWarning")  # Keras, of its own dataset
@pytest.mark.parametrize("framework", ["torch", "tensorflow"])
def test_the_blocks_for_a_framework_run(framework, tmp_path, monkeypatch):
    pytest.importorskip(framework)
    data_of_pages(tmp_path, monkeypatch)
    pages = [page for page in PAGES if blocks_of(page, f" {framework}")]
    assert pages
    for page in pages:
        run(blocks_of(page, f" {framework}"), page, monkeypatch)


@pytest.mark.parametrize("page", PAGES + TRANSLATED, ids=name_of)
def test_links_within_the_project_lead_somewhere(page):
    for target in re.findall(r"\]\(([^):]+)\)", without_blocks(page)):
        path, _, anchor = target.partition("#")
        other = page.parent / path if path else page
        assert other.exists(), target
        if (
            other != DOCS / "reference" / "command-line.md"
        ):  # whose headings are made from the commands; `make docs` checks them
            assert not anchor or anchor in anchors_of(other), target


def without_blocks(page):
    return re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)


def anchors_of(page):
    """Return the anchors that GitHub makes of the headings."""
    titles = re.findall(r"^#+ (.*)$", without_blocks(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", [page for page in PAGES if page.name != "upgrading.md"], ids=name_of)
def test_pages_name_what_exists(page):
    for name in re.findall(r"`bs\.(\w+(?:\.\w+)?)", page.read_text(encoding="utf-8")):
        first, _, second = name.partition(".")
        assert hasattr(bitesize, first), name
        if second and isinstance(getattr(bitesize, first), ModuleType):
            assert hasattr(getattr(bitesize, first), second), name


NAMESPACES = (
    "bitesize",
    "bitesize.keras",
    "bitesize.sklearn",
    "bitesize.ray",
    "bitesize.testing",
    "bitesize.sources",
    "bitesize.storage",
)


def public_names():
    """Return the names that have a page in the reference; a name of two namespaces has it in the first."""
    names, seen = set(), []
    for namespace in map(importlib.import_module, NAMESPACES):
        for name in namespace.__all__:
            thing = getattr(namespace, name)
            if not isinstance(thing, ModuleType) and not any(thing is other for other in seen):
                names.add(f"{namespace.__name__}.{name}")
                seen.append(thing)
    return names


def test_the_reference_has_every_public_name_once():
    pages = sorted((DOCS / "reference").glob("*.md"))
    documented = [
        name for page in pages for name in re.findall(r"^   (bitesize[\w.]+)$", page.read_text("utf-8"), re.MULTILINE)
    ]
    assert sorted(documented) == sorted(public_names()), "add the name to a page in docs/reference"


def test_every_page_is_in_a_table_of_contents():
    listed = {DOCS / "index.md"}
    for page in PAGES:
        for entries in re.findall(r"```\{toctree\}\n(.*?)```", page.read_text("utf-8"), re.DOTALL):
            listed |= {page.parent / f"{entry}.md" for entry in re.findall(r"^[\w/-]+$", entries, re.MULTILINE)}
    assert {page for page in PAGES if page.is_relative_to(DOCS)} - listed == set()


def test_every_transform_has_a_picture_in_the_gallery():
    gallery = (DOCS / "gallery.md").read_text("utf-8")
    shown = set(re.findall(r"bs\.(\w+)\(", gallery))
    kinds = [getattr(bitesize, name) for name in bitesize.__all__]
    steps = {kind.__name__ for kind in kinds if isinstance(kind, type) and issubclass(kind, bitesize.Transform)}
    assert steps - {"Transform"} - shown == set(), "add a block and a picture to docs/gallery.md, and run docs/gallery.py"
    assert all(alt for alt in re.findall(r"!\[(.*?)\]", gallery))


def test_every_example_is_listed():
    listed = set(re.findall(r"\]\(\.\./(examples/[\w/]+\.py)\)", (DOCS / "examples.md").read_text("utf-8")))
    assert listed == {path.relative_to(ROOT).as_posix() for path in (ROOT / "examples").rglob("*.py")}
