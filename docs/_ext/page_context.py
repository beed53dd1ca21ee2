"""What screen readers need of each page, and neither Sphinx nor the theme gives: languages, levels of headings, lists that are lists."""

from __future__ import annotations

import re
from typing import Any

from sphinx.application import Sphinx


def complete(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: Any) -> None:
    """Complete the context of a page's template."""
    if page.startswith("zh/"):
        context["language"] = "zh-Hans"
    if "furo_navigation_tree" in context:
        tree = context["furo_navigation_tree"]
        context["furo_navigation_tree"] = tree.replace('role="heading">', 'role="heading" aria-level="2">')
    if "body" in context:  # parameters of long signatures: a definition list without terms
        context["body"] = re.sub(
            r"<dl>\s*(<dd><em class=\"sig-param\">.*?</dd>)\s*</dl>", lines_of_signature, context["body"], flags=re.DOTALL
        )


def lines_of_signature(found: re.Match[str]) -> str:
    """Return the parameters of a signature as lines of text."""
    lines = found[1].replace("<dd>", '<span class="sig-line">').replace("</dd>", "</span>")
    return f'<span class="sig-lines">{lines}</span>'


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect after the theme, which makes the tree."""
    app.connect("html-page-context", complete, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
