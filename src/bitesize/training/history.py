"""History of a training: its figures by epoch, as curves and a table in notebooks."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from bitesize.html.charts import Axis, Series, line_chart
from bitesize.html.notebook import COLORS, Html, beside, element, output, swatch, table
from bitesize.memory.sizes import counted, rounded
from bitesize.training.backend import load_keras

# Columns that say how fast an epoch was, not how well it went; charts, and lines of the table, that are shown.
_SPEED = ("seconds", "rows_per_second")
_MOST_CHARTS, _MOST_LINES = 4, 10
# Colors of the lines, as variables of the style.
_COLORS = ";".join(f"--s{i}:{color}" for i, color in enumerate(COLORS[:2]))


class History(Mapping[str, tuple[float, ...]]):
    """Figures by epoch: a mapping from a name, such as ``"val_loss"``, to one number per epoch. A notebook shows it as curves.

    Parameters
    ----------
    figures
        Numbers by name; NaN where an epoch has none.

    Examples
    --------
    >>> history = History({"loss": [0.9, 0.4], "val_loss": [0.8, 0.5]})
    >>> history["val_loss"], list(history), history
    ((0.8, 0.5), ['loss', 'val_loss'], History(2 epochs: loss 0.4, val_loss 0.5))
    """

    def __init__(self, figures: Mapping[str, Sequence[float]]) -> None:
        self._figures = {name: tuple(map(float, values)) for name, values in figures.items()}

    def __getitem__(self, name: str) -> tuple[float, ...]:
        return self._figures[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._figures)

    def __len__(self) -> int:
        return len(self._figures)

    @property
    def epochs(self) -> int:
        """Number of epochs."""
        return max(map(len, self._figures.values()), default=0)

    def __repr__(self) -> str:
        last = ", ".join(f"{name} {rounded(values[-1])}" for name, values in self.items() if values)
        return f"History({counted(self.epochs, 'epoch')}{f': {last}' if last else ''})"

    def html_blocks(self) -> list[Html]:
        """Return the curves and the table as HTML; none without epochs."""
        if not self.epochs:
            return []
        return [beside(self._charts()), self._table()]

    def _repr_html_(self) -> str:
        return output(f"History: {counted(self.epochs, 'epoch')}", *self.html_blocks())

    def _charts(self) -> list[Html]:
        """Return a chart for each figure of training, with that of validation; the loss first."""
        names = [name for name in self if not name.startswith("val_") and name not in _SPEED]
        names += [name.removeprefix("val_") for name in self if name.startswith("val_") and name[4:] not in self]
        names.sort(key=lambda name: name != "loss")
        charts = []
        for name in names[:_MOST_CHARTS]:
            pair = {"training": self.get(name), "validation": self.get(f"val_{name}")}
            charts.append(_chart(name, {of: values for of, values in pair.items() if values}))
        return charts

    def _table(self) -> Html:
        """Return a table of the last epochs."""
        names = sorted(self, key=lambda name: (name in _SPEED, name.startswith("val_"), name.removeprefix("val_") != "loss"))
        shown = range(max(0, self.epochs - _MOST_LINES), self.epochs)
        lines = [(i + 1, *(_figure(self[name], i) for name in names)) for i in shown]
        caption = f"the last {_MOST_LINES} of {self.epochs:,} epochs" if self.epochs > _MOST_LINES else ""
        return table(lines, ["epoch", *names], numbers=range(len(names) + 1), caption=caption)


def _chart(name: str, lines: Mapping[str, Sequence[float]]) -> Html:
    """Return a chart of one figure by epoch."""
    series = [Series(of, list(enumerate(values, 1)), i) for i, (of, values) in enumerate(lines.items())]
    chart = line_chart(name, series, Axis("epoch", whole=True), Axis(""))
    legend = [element("span", swatch(style), of, " ") for of, style in chart.legend] if len(series) > 1 else []
    return element("figure", element("b", name), chart.svg, element("figcaption", *legend), cls="chart", style=_COLORS)


def _figure(values: Sequence[float], i: int) -> str:
    return "" if i >= len(values) or math.isnan(values[i]) else rounded(values[i])


def read_history(folder: Path) -> History:
    """Read ``history.csv`` of a run; empty if there is none."""
    try:
        with (folder / "history.csv").open(encoding="utf-8-sig", newline="") as file:
            lines = list(csv.DictReader(file))
    except OSError:  # a run without history can still be used
        return History({})
    names = [name for name in (lines[0] if lines else {}) if name != "epoch"]
    return History({name: [_number(line.get(name)) for line in lines] for name in names})


def _number(text: str | None) -> float:
    try:
        return float(text or "nan")
    except ValueError:
        return math.nan


def keras_history() -> Any:
    """Return a `keras.callbacks.History` that a notebook shows as curves."""

    class KerasHistory(load_keras().callbacks.History):  # type: ignore[misc]
        """Keras's history, with curves for notebooks."""

        def __repr__(self) -> str:
            return repr(History(self.history))

        def _repr_html_(self) -> str:
            return History(self.history)._repr_html_()

    KerasHistory.__name__ = "History"  # checkpoints know callbacks by the names of their classes
    return KerasHistory()
