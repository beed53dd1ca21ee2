"""A bar chart of one case as SVG: plain shapes and text, readable on a light and on a dark page, and on a phone.

The chart has a background of its own, because a page may be dark where the system is light.
"""

from __future__ import annotations

from html import escape
from textwrap import wrap

from bench.compare import Result

_WIDTH, _ROW, _TOP, _BAR = 480, 40, 52, 14
_STYLE = (
    "text{fill:#1f2328}.page{fill:#fff}.bound{fill:none;stroke:#6e7781}.other{fill:#8c959f}.ours{fill:#0b62c4}"
    "@media(prefers-color-scheme:dark){text{fill:#e6edf3}.page{fill:#161b22}.ours{fill:#4c9bff}}"
)


def chart(title: str, unit: str, results: dict[str, Result]) -> str:
    """Draw the medians of all loaders that took part; ours in color, bounds hollow."""
    shown = {peer: result for peer, result in results.items() if result.values}
    most = max(result.median for result in shown.values())
    head, *rest = wrap(title, 62)
    top = _TOP + 18 * len(rest)
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {top + _ROW * len(shown) + 8}" width="{_WIDTH}" '
        f'role="img" font-family="system-ui, sans-serif" font-size="14">',
        f"<title>{escape(title)}</title>",
        f"<style>{_STYLE}</style>",
        '<rect class="page" width="100%" height="100%" rx="6"/>',
        *(f'<text x="12" y="{22 + 18 * i}" font-weight="600">{escape(line)}</text>' for i, line in enumerate((head, *rest))),
        f'<text x="12" y="{top - 12}">{escape("seconds, less is better" if unit == "s" else unit)}, median</text>',
    ]
    for i, (peer, result) in enumerate(sorted(shown.items(), key=lambda item: item[1].median, reverse=unit != "s")):
        y = top + i * _ROW
        long = max(1.0, (_WIDTH - 100) * result.median / most)
        value = f"{result.median:.3g}" if unit == "s" else f"{result.median:,.0f}"
        lines.append(f'<text x="12" y="{y + 12}">{escape(peer)}</text>')
        lines.append(f'<rect class="{_kind(peer)}" x="12" y="{y + 17}" width="{long:.1f}" height="{_BAR}" rx="2"/>')
        lines.append(f'<text x="{12 + long + 8:.1f}" y="{y + 29}">{value}</text>')
    return "\n".join([*lines, "</svg>"]) + "\n"


def _kind(peer: str) -> str:
    return "bound" if peer.startswith("bound") else "ours" if peer.startswith("bitesize") else "other"
