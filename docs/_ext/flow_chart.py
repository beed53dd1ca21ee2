"""Flow charts: a block of Mermaid, which code hosts draw, becomes an SVG here, without a program from another server.

Understood are boxes ``A[text]`` and ``A[(text)]``, line breaks ``<br>``, and arrows ``A --> B`` and ``A -->|text| B``, also in chains.
"""

from __future__ import annotations

import re
from html import escape

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.transforms.post_transforms import SphinxPostTransform

_BOX = re.compile(r"(\w+)(?:\[\(?(.*?)\)?\])?")
_WIDTH, _HEIGHT, _ACROSS, _DOWN = 190, 50, 210, 86


def read(text: str) -> tuple[dict[str, str], list[tuple[str, str, str]]]:
    """Return the texts of the boxes, and the arrows as (from, to, text)."""
    boxes: dict[str, str] = {}
    arrows = []
    for line in text.strip().splitlines()[1:]:
        before = None
        for step, label in re.findall(r"\s*(\w+(?:\[.*?\])?)\s*(?:--+>(?:\|(.*?)\|)?|$)", line):
            found = _BOX.fullmatch(step)
            assert found, f"a box of a flow chart is not understood: {step}"
            name = found[1]
            boxes[name] = found[2] or boxes.get(name, name)
            if before is not None:
                arrows.append((before[0], name, before[1]))
            before = (name, label)
    return boxes, arrows


def ranks(boxes: dict[str, str], arrows: list[tuple[str, str, str]]) -> dict[str, int]:
    """Return the line of each box: below all that lead to it, and directly above the first that it leads to."""
    rank = dict.fromkeys(boxes, 0)
    for _ in boxes:
        for start, end, _text in arrows:
            rank[end] = max(rank[end], rank[start] + 1)
    for name in boxes:
        if all(end != name for _, end, _ in arrows):
            rank[name] = min((rank[end] for start, end, _ in arrows if start == name), default=1) - 1
    return rank


def drawn(text: str) -> str:
    """Return the SVG of a flow chart."""
    boxes, arrows = read(text)
    rank = ranks(boxes, arrows)
    rows = [[name for name in boxes if rank[name] == i] for i in range(max(rank.values()) + 1)]
    width = max(map(len, rows)) * _ACROSS
    place = {
        name: (width / 2 + (i - (len(row) - 1) / 2) * _ACROSS, 4 + _HEIGHT / 2 + rank[name] * _DOWN)
        for row in rows
        for i, name in enumerate(row)
    }
    spoken = "; ".join(f"{plain(boxes[start])} leads to {plain(boxes[end])}" for start, end, _ in arrows)
    size = f'viewBox="0 0 {width} {len(rows) * _DOWN - _DOWN + _HEIGHT + 8}" style="max-width:{width}px"'
    lines = [
        f'<svg class="flow-chart" role="img" aria-label="{escape(spoken)}" {size} font-size="14" text-anchor="middle" fill="currentColor">',
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="9" markerHeight="9" orient="auto"><path d="M0 0L8 4L0 8z"/></marker></defs>',
    ]
    for start, end, label in arrows:
        (x, y), (to_x, to_y) = place[start], place[end]
        y, to_y = y + _HEIGHT / 2, to_y - _HEIGHT / 2
        lines.append(
            f'<line x1="{x}" y1="{y}" x2="{to_x + (x - to_x) * 0.15}" y2="{to_y - 1}" stroke="currentColor" marker-end="url(#tip)"/>'
        )
        if label:
            lines.append(
                f'<text x="{(x + to_x) / 2 + 8}" y="{(y + to_y) / 2 + 4}" font-size="12" text-anchor="start">{escape(label)}</text>'
            )
    for name, (x, y) in place.items():
        lines.append(
            f'<rect x="{x - _WIDTH / 2}" y="{y - _HEIGHT / 2}" width="{_WIDTH}" height="{_HEIGHT}" rx="6" fill="none" stroke="currentColor"/>'
        )
        words = boxes[name].split("<br>")
        for i, line in enumerate(words):
            lines.append(f'<text x="{x}" y="{y + 5 + (i - (len(words) - 1) / 2) * 17}">{escape(line)}</text>')
    return "\n".join([*lines, "</svg>"])


def plain(text: str) -> str:
    """Return the text of a box on one line."""
    return text.replace("<br>", " ")


class FlowCharts(SphinxPostTransform):
    """Replace blocks of Mermaid by their drawings."""

    default_priority = 20  # before blocks are highlighted

    def run(self, **kwargs: object) -> None:
        """Replace each block."""
        for block in list(self.document.findall(nodes.literal_block)):
            if block.get("language") == "mermaid":
                block.replace_self(nodes.raw("", drawn(block.astext()), format="html"))


def setup(app: Sphinx) -> dict[str, bool]:
    """Add the transform."""
    app.add_post_transform(FlowCharts)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
