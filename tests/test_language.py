"""Plain American technical English: words that may not come back into what users read, and that become fewer elsewhere."""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

TOP = Path(__file__).parents[1]
SOURCES = sorted((TOP / "src").rglob("*.py"))
PAGES = [TOP / "README.md", TOP / "SECURITY.md", TOP / "CONTRIBUTING.md", *sorted((TOP / "docs").rglob("*.md"))]
# Each with what to write instead.
WORDS = {
    r"tells?|told|telling": "report, name, describe, return",
    r"anew": "again",
    r"so many": "this many, up to N",
    r"nobody": "no user, nothing",
    r"as they are": "unchanged",
    r"one behind the other": "one after another",
    r"in all(?! (?:of|cases|the|rows|parts|files|its|their))": "in total",
    r"go(?:es)? on with": "continue with",
    r"(?:the|at|at the) begin(?! and)": "start",
    r"sits? out": "are left out",
    r"by heart": "memorized",
    r"stood": "was",
    r"broken off": "interrupted",
    r"whoever": "the caller, users who",
    r"what is taken for": "name it",
    r"once more": "again",
    r"(?<!`bs\.)(?<!name `)\w*colour\w*|neighbour\w*|behaviour\w*|normalis\w*|labelled|grey|centred?|recognis\w*|organis\w*|favour\w*": "American spelling",
}


def docstrings(tree: ast.Module) -> set[int]:
    """Return the identities of the nodes that are docstrings."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.Module | ast.AsyncFunctionDef) and node.body:
            first = node.body[0]
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
                found.add(id(first.value))
    return found


@functools.cache
def messages() -> tuple[tuple[str, str], ...]:
    """Return where each text in code is, and the text: errors, help, log lines, and what is printed."""
    return tuple(_messages())


def _messages() -> Iterator[tuple[str, str]]:
    for path in SOURCES:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        outside = docstrings(tree)
        for node in ast.walk(tree):
            if (
                isinstance(node, ast.Constant)
                and isinstance(node.value, str)
                and id(node) not in outside
                and " " in node.value
            ):
                yield f"{path.relative_to(TOP)}:{node.lineno}", node.value


def found(word: str, texts: Iterable[tuple[str, str]]) -> list[str]:
    pattern = re.compile(rf"\b(?:{word})\b", re.IGNORECASE)
    return [
        f"{where}: ...{text[max(0, m.start() - 40) : m.end() + 30]!r}"
        for where, text in texts
        for m in pattern.finditer(text)
    ]


@pytest.mark.parametrize("word", WORDS)
def test_messages_are_plain(word):
    assert found(word, messages()) == [], f"write: {WORDS[word]}"


@pytest.mark.parametrize("word", WORDS)
def test_pages_are_plain(word):
    pages = ((f"{path.relative_to(TOP)}", path.read_text(encoding="utf-8")) for path in PAGES)
    assert found(word, pages) == [], f"write: {WORDS[word]}"


def test_docstrings_begin_with_what_is_returned_or_done():
    weak = []
    for path in SOURCES:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef):
                first = (ast.get_docstring(node) or "").partition(" ")[0]
                if first in ("Tell", "Give", "Whether", "What", "Let", "Say", "Know", "Hand"):
                    weak.append(f"{path.relative_to(TOP)}:{node.lineno}: {node.name}")
    assert weak == []
