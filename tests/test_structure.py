"""The shape of the code: short files, short functions, and tests that are named after the modules they test."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "bitesize"
MODULES = sorted(PACKAGE.rglob("*.py"))
MOST_LINES, MOST_LINES_OF_A_FUNCTION = 400, 60
# Folders of tests that have a subject of their own, which no single folder of the package has.
OTHER_FOLDERS = {"contract", "examples", "fuzz", "golden", "hostile", "layouts", "programs", "servers"}


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def lines_of(node: ast.stmt) -> int:
    assert node.end_lineno is not None
    return node.end_lineno - node.lineno + 1


@pytest.mark.parametrize("module", MODULES, ids=name_of)
def test_a_module_fits_a_few_screens(module):
    assert len(module.read_text(encoding="utf-8").splitlines()) <= MOST_LINES


@pytest.mark.parametrize("module", [path for path in MODULES if path.parent.name != "kernels"], ids=name_of)
def test_a_function_fits_one_screen(module):
    """Its docstring is not counted: the description of many parameters is read as text, not as code."""
    functions = [
        node for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))) if isinstance(node, ast.FunctionDef)
    ]
    long = {node.name: lines_of(node) - lines_of(node.body[0]) * (ast.get_docstring(node) is not None) for node in functions}
    assert {name: lines for name, lines in long.items() if lines > MOST_LINES_OF_A_FUNCTION} == {}


def test_folders_of_tests_mirror_the_package():
    folders = {path.parent.relative_to(ROOT / "tests").parts[0] for path in (ROOT / "tests").glob("*/**/test_*.py")}
    packages = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    assert folders - OTHER_FOLDERS <= packages


@pytest.mark.parametrize("folder", sorted(path.parent.name for path in PACKAGE.glob("*/__init__.py")))
def test_a_test_is_named_after_the_module_it_tests(folder):
    """``test_npy_headers.py`` and ``test_npy.py`` test the module ``npy``; what concerns the whole folder has its name."""
    modules = {path.stem for path in (PACKAGE / folder).rglob("*.py")} | {
        path.name for path in (PACKAGE / folder).rglob("*/")
    }
    subjects = modules | {folder}
    tests = [path.stem.removeprefix("test_") for path in (ROOT / "tests" / folder).rglob("test_*.py")]
    assert [
        name for name in tests if not any(name == subject or name.startswith(f"{subject}_") for subject in subjects)
    ] == []
