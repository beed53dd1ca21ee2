"""Charts as inline SVG: they follow the colors of the page, their text can be selected, and screen readers read a description."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from bitesize.html.notebook import Html, escaped
from bitesize.html.scales import Scale, label, scale_of

Point = tuple[float, float]
# Units of the drawing: at the width of a phone, text is still 10 pixels high.
WIDTH, HEIGHT = 420, 250
_RIGHT, _TOP, _BOTTOM = 16, 20, 40
# Units of the name of the vertical axis, and of a character of its labels.
_NAME, _LETTER = 24, 6.8
# Colors and dashes of the style sheet.
STYLES = 8


@dataclass(frozen=True)
class Series:
    """A named line or set of points in a chart.

    Parameters
    ----------
    name
        Name in the legend.
    points
        Pairs of x and y; a y that is not finite interrupts a line.
    style
        Number of its color and dash, from 0.
    dots
        Whether the points of a short line are drawn, too.
    """

    name: str
    points: Sequence[Point]
    style: int = 0
    dots: bool = True


@dataclass(frozen=True)
class Axis:
    """An axis of a chart.

    Parameters
    ----------
    name
        Name, with the unit.
    zero, whole
        As in `scale_of`.
    label
        Function that returns the label of a value.
    values
        Further values that the axis has to show.
    """

    name: str
    zero: bool = False
    whole: bool = False
    label: Callable[[float], str] = label
    values: tuple[float, ...] = ()

    def scale(self, values: Iterable[float], start: float, end: float) -> Scale:
        """Return the scale of the axis for values."""
        return scale_of([*values, *self.values], start, end, zero=self.zero, whole=self.whole)


@dataclass(frozen=True)
class Chart:
    """A drawn chart.

    Attributes
    ----------
    title : str
    svg : Html
        The drawing.
    legend : list of (str, int)
        Names of the series, and their styles.
    x : str
        Name of the horizontal axis.
    table : list of list of str
        The values as text: the columns of x and of each series. Empty if there are too many.
    """

    title: str
    svg: Html
    legend: list[tuple[str, int]]
    x: str
    table: list[list[str]]


def line_chart(
    title: str, series: Sequence[Series], x: Axis, y: Axis, *, mark: tuple[float, str] | None = None, most_rows: int = 60
) -> Chart:
    """Draw lines.

    Parameters
    ----------
    title
        Title of the chart.
    series
        The lines.
    x, y
        The axes.
    mark
        Value of x that is marked by a vertical line, and its text.
    most_rows
        Number of values of x up to which the chart has a table.
    """
    frame = _Frame.around([point for each in series for point in each.points], x, y)
    drawn = []
    for each in series:
        for run in _runs(each.points):
            path = "M" + " L".join(f"{frame.x(a):.1f} {frame.y(b):.1f}" for a, b in run)
            drawn.append(f'<path class="line s{each.style % STYLES}" d="{path}"/>')
            if len(run) == 1 or (each.dots and len(each.points) <= 12):
                drawn += [
                    f'<circle class="dot s{each.style % STYLES}" cx="{frame.x(a):.1f}" cy="{frame.y(b):.1f}" r="2.5"/>'
                    for a, b in run
                ]
    if mark is not None:
        at = frame.x(mark[0])
        drawn.append(f'<line class="mark" x1="{at:.1f}" x2="{at:.1f}" y1="{_TOP - 5}" y2="{HEIGHT - _BOTTOM}"/>')
        anchor = "end" if at + _LETTER * len(mark[1]) / 2 > WIDTH else "middle"
        drawn.append(f'<text class="note" x="{at:.1f}" y="{_TOP - 9}" text-anchor="{anchor}">{escaped(mark[1])}</text>')
    return Chart(
        title,
        frame.draw(title, _described(title, series, x, y), drawn),
        [(each.name, each.style % STYLES) for each in series],
        x.name,
        _table(series, x, most_rows),
    )


def scatter_chart(title: str, series: Series, x: Axis, y: Axis, *, diagonal: bool = False) -> Chart:
    """Draw points; with a diagonal, both axes have the same values, and points on it are right."""
    points = [point for point in series.points if all(map(math.isfinite, point))]
    if diagonal:
        both = tuple(value for point in points for value in point)
        x, y = (Axis(axis.name, axis.zero, axis.whole, axis.label, (*axis.values, *both)) for axis in (x, y))
    frame = _Frame.around(points, x, y)
    drawn = [f'<circle class="point" cx="{frame.x(a):.1f}" cy="{frame.y(b):.1f}" r="2.5"/>' for a, b in points]
    if diagonal:
        low, high = frame.x.low, frame.x.high
        drawn.insert(
            0,
            f'<line class="mark" x1="{frame.x(low):.1f}" y1="{frame.y(low):.1f}" x2="{frame.x(high):.1f}" y2="{frame.y(high):.1f}"/>',
        )
    described = f"{title}: {len(points):,} points, {x.name} from {label(frame.x.low)} to {label(frame.x.high)}"
    return Chart(title, frame.draw(title, described, drawn), [], x.name, [])


def bar_chart(title: str, bars: Sequence[tuple[float, float, float]], x: Axis, y: Axis) -> Chart:
    """Draw a histogram: each bar has its two ends on the axis x, and its height."""
    frame = _Frame.around(
        [point for a, b, high in bars for point in ((a, high), (b, 0.0))], x, Axis(y.name, True, y.whole, y.label)
    )
    drawn = []
    for a, b, high in bars:
        left, right, top = frame.x(a), frame.x(b), frame.y(high)
        drawn.append(
            f'<rect class="bar" x="{left:.1f}" y="{top:.1f}" width="{max(1.0, right - left - 1):.1f}" height="{frame.y(0.0) - top:.1f}"/>'
        )
    table = [[f"{x.label(a)} to {x.label(b)}", y.label(high)] for a, b, high in bars]
    most = max(bars, key=lambda bar: bar[2], default=(0.0, 0.0, 0.0))
    described = f"{title}: most, {y.label(most[2])}, from {x.label(most[0])} to {x.label(most[1])}"
    return Chart(title, frame.draw(title, described, drawn), [], x.name, [[x.name, y.name], *table])


@dataclass(frozen=True)
class _Frame:
    """The axes of a chart."""

    x: Scale
    y: Scale
    x_axis: Axis
    y_axis: Axis

    @classmethod
    def around(cls, points: Sequence[Point], x: Axis, y: Axis) -> _Frame:
        """Return axes around points, with room for the labels at the left."""
        vertical = y.scale((b for _, b in points), HEIGHT - _BOTTOM, _TOP)
        left = _NAME + _LETTER * max((len(y.label(value)) for value in vertical.ticks), default=1)
        return cls(x.scale((a for a, _ in points), left, WIDTH - _RIGHT), vertical, x, y)

    def draw(self, title: str, described: str, content: Iterable[str]) -> Html:
        """Return the chart with its axes."""
        bottom, left = HEIGHT - _BOTTOM, self.x.start
        parts = [
            f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escaped(described)}"><title>{escaped(title)}</title>'
        ]
        for value in self.y.ticks:
            at = self.y(value)
            parts.append(f'<line class="grid" x1="{left:.1f}" x2="{WIDTH - _RIGHT}" y1="{at:.1f}" y2="{at:.1f}"/>')
            parts.append(
                f'<text x="{left - 6:.1f}" y="{at + 4:.1f}" text-anchor="end">{escaped(self.y_axis.label(value))}</text>'
            )
        parts += [
            f'<text x="{self.x(value):.1f}" y="{bottom + 16}" text-anchor="{_anchor(self.x(value), self.x_axis.label(value))}">{escaped(self.x_axis.label(value))}</text>'
            for value in _thinned(self.x.ticks, self.x_axis.label, WIDTH - left)
        ]
        parts.append(f'<line class="axis" x1="{left:.1f}" x2="{WIDTH - _RIGHT}" y1="{bottom}" y2="{bottom}"/>')
        middle = (left + WIDTH - _RIGHT) / 2
        parts.append(
            f'<text class="name" x="{middle}" y="{HEIGHT - 6}" text-anchor="middle">{escaped(self.x_axis.name)}</text>'
        )
        up = (bottom + _TOP) / 2
        parts.append(
            f'<text class="name" transform="translate(11 {up}) rotate(-90)" text-anchor="middle">{escaped(self.y_axis.name)}</text>'
        )
        return Html("".join([*parts, *content, "</svg>"]))


def _anchor(at: float, text: str) -> str:
    """Return the anchor of a label: its end where it would not fit into the chart."""
    return "end" if at + _LETTER * len(text) / 2 > WIDTH else "middle"


def _thinned(ticks: Sequence[float], labels: Callable[[float], str], width: float) -> Sequence[float]:
    """Return the ticks whose labels fit side by side."""
    longest = max((len(labels(value)) for value in ticks), default=1)
    most = max(2, int(width / (_LETTER * longest + 14)))
    return ticks[:: -(-len(ticks) // most)] if ticks else ticks


def _runs(points: Sequence[Point]) -> list[list[Point]]:
    """Return the stretches of a line without gaps."""
    runs: list[list[Point]] = [[]]
    for point in points:
        if all(map(math.isfinite, point)):
            runs[-1].append(point)
        elif runs[-1]:
            runs.append([])
    return [run for run in runs if run]


def _described(title: str, series: Sequence[Series], x: Axis, y: Axis) -> str:
    """Return what the lines show, for readers who do not see them."""
    texts = []
    for each in series:
        points = [point for run in _runs(each.points) for point in run]
        if points:
            low = min(points, key=lambda point: point[1])
            high = max(points, key=lambda point: point[1])
            texts.append(
                f"{each.name}: from {y.label(points[0][1])} to {y.label(points[-1][1])}, at least {y.label(low[1])}, at most {y.label(high[1])}"
            )
    return f"{title} by {x.name}. " + "; ".join(texts)


def _table(series: Sequence[Series], x: Axis, most: int) -> list[list[str]]:
    places = sorted({a for each in series for a, _ in each.points})
    if len(places) > most:
        return []
    values = [dict(each.points) for each in series]
    rows = [[x.label(a), *(f"{of[a]:.4g}" if a in of else "" for of in values)] for a in places]
    return [[x.name, *(each.name for each in series)], *rows]
