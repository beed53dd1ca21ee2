"""A bar chart of one case as SVG: plain shapes and text, readable on a light and on a dark page."""

from __future__ import annotations

from html import escape

from bench.compare import Result

_WIDTH, _NAME, _ROW, _TOP = 760, 250, 24, 46


def chart(title: str, unit: str, results: dict[str, Result]) -> str:
    """Draw the medians of all loaders that took part; ours in color, bounds hollow."""
    shown = {peer: result for peer, result in results.items() if result.values}
    most = max(result.median for result in shown.values())
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{_TOP + _ROW * len(shown) + 8}" '
        'font-family="system-ui, sans-serif" font-size="13">',
        "<style>text{fill:#24292f}@media(prefers-color-scheme:dark){text{fill:#e6edf3}}</style>",
        f'<text x="8" y="18" font-weight="600">{escape(title)}</text>',
        f'<text x="8" y="36" opacity="0.7">{escape("seconds, less is better" if unit == "s" else unit)}, median</text>',
    ]
    for i, (peer, result) in enumerate(sorted(shown.items(), key=lambda item: item[1].median, reverse=unit != "s")):
        top = _TOP + i * _ROW
        long = max(1.0, (_WIDTH - _NAME - 90) * result.median / most)
        style = 'fill="none" stroke="#8b949e"' if peer.startswith("bound") else f'fill="{_color(peer)}"'
        value = f"{result.median:.3g}" if unit == "s" else f"{result.median:,.0f}"
        lines.append(f'<text x="{_NAME - 8}" y="{top + 15}" text-anchor="end">{escape(peer)}</text>')
        lines.append(f'<rect x="{_NAME}" y="{top + 3}" width="{long:.1f}" height="{_ROW - 8}" rx="2" {style}/>')
        lines.append(f'<text x="{_NAME + long + 6:.1f}" y="{top + 15}">{value}</text>')
    return "\n".join([*lines, "</svg>"]) + "\n"


def _color(peer: str) -> str:
    return "#2f81f7" if peer.startswith("bitesize") else "#8b949e"
