"""The language of each page, for screen readers and hyphenation: pages of the folder ``zh`` are Chinese."""

from __future__ import annotations

from typing import Any

from sphinx.application import Sphinx


def set_language(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: Any) -> None:
    """Set the language in the context of a page's template."""
    if page.startswith("zh/"):
        context["language"] = "zh-Hans"


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect the language."""
    app.connect("html-page-context", set_language)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
