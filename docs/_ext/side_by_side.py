"""Blocks of code beside each other: a bold title and its block, directly followed by another title and its block.

On a code host, and on narrow screens, they stand one below the other.
"""

from __future__ import annotations

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.transforms.post_transforms import SphinxPostTransform


def is_title(node: nodes.Node) -> bool:
    """Return whether a paragraph has nothing but bold text."""
    return isinstance(node, nodes.paragraph) and [type(part) for part in node if part.astext()] == [nodes.strong]


class SideBySide(SphinxPostTransform):
    """Put titled blocks into the columns of a container."""

    default_priority = 20  # before blocks are highlighted

    def run(self, **kwargs: object) -> None:
        """Find each run of titled blocks, and put it into a container."""
        for section in list(self.document.findall(nodes.section)):
            children, i = list(section.children), 0
            while i < len(children):
                pairs = []
                while i + 1 < len(children) and is_title(children[i]) and isinstance(children[i + 1], nodes.literal_block):
                    pairs.append((children[i], children[i + 1]))
                    i += 2
                if len(pairs) > 1:
                    columns = nodes.container(classes=["side-by-side"])
                    section.replace(pairs[0][0], columns)
                    for title, block in pairs:
                        for moved in (title, block):
                            if moved in section.children:
                                section.remove(moved)
                        columns += nodes.container("", title, block, classes=["side"])
                elif not pairs:
                    i += 1


def setup(app: Sphinx) -> dict[str, bool]:
    """Add the transform."""
    app.add_post_transform(SideBySide)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
