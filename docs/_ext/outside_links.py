"""Links between this folder and the root of the project: pages of the root, such as the change log, have pages of their own in the site.

A page that is one ``{include}`` of a page of the root becomes that page, with links that hold here.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path

from sphinx.application import Sphinx

ROOT = Path(__file__).parents[2]
# Paths from the root of the project, and what stands for them here.
PAGES = {
    "README.md": "docs/index.md",
    "README.zh.md": "docs/zh/index.md",
    "CHANGELOG.md": "docs/changelog.md",
    "CONTRIBUTING.md": "docs/contributing.md",
    "SECURITY.md": "docs/security.md",
    "examples": "docs/examples.md",
    "examples/clusters": "docs/clusters.md",
}


def with_links(text: str, written_in: str, shown_in: str) -> str:
    """Return Markdown that was written in one folder, with relative links that hold in another and stay within the site."""

    def target(found: re.Match[str]) -> str:
        path, anchor = posixpath.normpath(posixpath.join(written_in, found[1])), found[2] or ""
        page = PAGES.get(path, path)
        if page.endswith("index.md") and page != path:
            anchor = ""  # the front page has other headings than the README
        return f"]({posixpath.relpath(page, shown_in)}{anchor})"

    return re.sub(r"\]\((?![a-z]+:)([^)#\s]+)(#[^)]*)?\)", target, text)


def rewrite(app: Sphinx, docname: str, content: list[str]) -> None:
    """Rewrite a page's links before it is parsed; or replace the page by what it includes."""
    folder = posixpath.join("docs", posixpath.dirname(docname)).rstrip("/")
    included = re.fullmatch(r"```\{include\} \.\./(\w+\.md)\n```\n", content[0])
    if included:
        app.env.note_dependency(str(ROOT / included[1]))
        content[0] = with_links((ROOT / included[1]).read_text(encoding="utf-8"), "", folder)
    else:
        content[0] = with_links(content[0], folder, folder)


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect the rewriting."""
    app.connect("source-read", rewrite, priority=900)  # after pages are filled
    return {"parallel_read_safe": True, "parallel_write_safe": True}
