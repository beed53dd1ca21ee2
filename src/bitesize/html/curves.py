"""Curves as inline SVG."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

from bitesize.html.notebook import COLORS, Html, element

_WIDTH, _HEIGHT = 280, 150
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 8, 22, 24  # margins, in pixels


def curves(title: str, series: Mapping[str, Sequence[float]], first: int = 1) -> Html:
    """Return a chart of values by epoch; values that are not finite are gaps. "" if there are none.

    Parameters
    ----------
    title
        What the values are.
    series
        Values by name; all have one length.
    first
        Number of the first epoch.
    """
    known = [value for values in series.values() for value in values if math.isfinite(value)]
    if not known:
        return Html("")
    low, high = min(known), max(known)
    if low == high:
        low, high = low - (abs(low) or 1) / 2, high + (abs(high) or 1) / 2
    count = max(map(len, series.values()))

    def x(i: int) -> float:
        return _LEFT + (_WIDTH - _LEFT - _RIGHT) * (i / (count - 1) if count > 1 else 0.5)

    def y(value: float) -> float:
        return _HEIGHT - _BOTTOM - (_HEIGHT - _TOP - _BOTTOM) * (value - low) / (high - low)

    drawn = [_text(title, _LEFT, 13, weight=600), *_axes(low, high, first, count, y)]
    right = float(_WIDTH - _RIGHT)
    for number, (name, values) in reversed(list(enumerate(series.items()))):
        color = COLORS[number % len(COLORS)]
        drawn += [_line([(x(i), y(v)) if math.isfinite(v) else None for i, v in enumerate(values)], color)]
        if len(series) > 1:
            drawn.append(_text(name, right, 13, anchor="end", fill=color))
            right -= 6.2 * len(name) + 10
    last = ", ".join(f"{name} {_last(values):.4g}" for name, values in series.items())
    label = f"{title} by epoch; last: {last}"
    return element(
        "svg", *drawn, role="img", aria_label=label, viewBox=f"0 0 {_WIDTH} {_HEIGHT}", width=_WIDTH, height=_HEIGHT
    )


def _last(values: Sequence[float]) -> float:
    return values[-1] if values else math.nan


def _axes(low: float, high: float, first: int, count: int, y: Callable[[float], float]) -> list[Html]:
    """Return lines at the lowest and the highest value, with their values, and the first and the last epoch."""
    drawn = []
    for value in (low, high):
        at = y(value)
        drawn.append(
            element(
                "line",
                x1=_LEFT,
                x2=_WIDTH - _RIGHT,
                y1=f"{at:.1f}",
                y2=f"{at:.1f}",
                stroke="currentColor",
                stroke_opacity=0.25,
            )
        )
        drawn.append(_text(f"{value:.3g}", _LEFT - 6, at + 4, anchor="end"))
    if count > 1:
        drawn += [
            _text(f"epoch {first}", _LEFT, _HEIGHT - 7),
            _text(f"{first + count - 1}", _WIDTH - _RIGHT, _HEIGHT - 7, anchor="end"),
        ]
    return drawn


def _line(points: Sequence[tuple[float, float] | None], color: str) -> Html:
    """Return a line through points, with gaps; points without neighbors are dots."""
    path, dots = [], []
    for i, point in enumerate(points):
        if point is None:
            continue
        before = points[i - 1] if i else None
        after = points[i + 1] if i + 1 < len(points) else None
        path.append(f"{'L' if before else 'M'}{point[0]:.1f} {point[1]:.1f}")
        if not before and not after:
            dots.append(element("circle", cx=f"{point[0]:.1f}", cy=f"{point[1]:.1f}", r=2.5, fill=color))
    return Html("".join([element("path", d=" ".join(path), fill="none", stroke=color, stroke_width=2), *dots]))


def _text(text: str, x: float, y: float, *, anchor: str = "start", weight: int = 400, fill: str = "currentColor") -> Html:
    return element(
        "text", text, x=f"{x:.1f}", y=f"{y:.1f}", text_anchor=anchor, font_weight=weight, font_size=11, fill=fill,
    )  # fmt: skip
