"""Charts: whatever the values, the drawing is valid, and all of it is within the frame."""

import math
import re
from xml.etree import ElementTree

from hypothesis import given
from hypothesis import strategies as st

from bitesize.html.charts import HEIGHT, WIDTH, Axis, Series, bar_chart, line_chart, scatter_chart

VALUES = st.floats(-1e9, 1e9) | st.sampled_from([math.nan, math.inf, -math.inf])
NUMBER = re.compile(r"-?\d+(?:\.\d+)?")


def drawn(chart):
    """Return the elements of a chart, which must be well-formed XML."""
    return list(ElementTree.fromstring(str(chart.svg)).iter())


@given(st.lists(st.lists(VALUES, max_size=30), min_size=1, max_size=3), st.text(max_size=20))
def test_lines_stay_within_the_chart(lines, name):
    name = re.sub(r"[^\x20-\ud7ff]", "?", name)
    series = [Series(name, list(enumerate(line)), i) for i, line in enumerate(lines)]
    for element in drawn(line_chart(name, series, Axis("epoch", whole=True), Axis(name), mark=(0.0, "here"))):
        if element.tag == "path":
            numbers = list(map(float, NUMBER.findall(element.get("d"))))
            assert all(0 <= x <= WIDTH for x in numbers[::2])
            assert all(0 <= y <= HEIGHT for y in numbers[1::2])


def test_a_gap_interrupts_a_line():
    chart = line_chart("loss", [Series("a", [(1, 1.0), (2, 2.0), (3, math.nan), (4, 1.0)])], Axis("epoch"), Axis("loss"))
    assert sum(element.tag == "path" for element in drawn(chart)) == 2


def test_names_are_text_and_never_elements():
    chart = line_chart("<b>", [Series("<script>alert(1)</script>", [(1, 1.0), (2, 2.0)])], Axis("<i>"), Axis('"&'))
    assert {element.tag for element in drawn(chart)} <= {"svg", "title", "line", "text", "path", "circle"}
    assert chart.legend == [("<script>alert(1)</script>", 0)]


def test_the_values_are_in_a_table_and_in_the_description():
    chart = line_chart("loss", [Series("training", [(1, 0.5), (2, 0.25)])], Axis("epoch", whole=True), Axis("loss"))
    assert chart.table == [["epoch", "training"], ["1", "0.5"], ["2", "0.25"]]
    assert "training: from 0.5 to 0.25" in str(chart.svg)


def test_a_diagonal_has_the_same_values_on_both_axes():
    chart = scatter_chart(
        "price", Series("price", [(1.0, 200.0), (2.0, 300.0)]), Axis("true"), Axis("predicted"), diagonal=True
    )
    texts = [element.text for element in drawn(chart) if element.tag == "text"]
    assert texts.count("300") == 2


def test_bars_stand_on_zero():
    bars = [
        element
        for element in drawn(bar_chart("errors", [(0, 1, 5), (1, 2, 0), (2, 3, 10)], Axis("x"), Axis("rows")))
        if element.tag == "rect"
    ]
    ends = {round(float(bar.get("y")) + float(bar.get("height")), 1) for bar in bars}
    assert len(ends) == 1
    assert float(bars[2].get("height")) == 2 * float(bars[0].get("height")) > float(bars[1].get("height")) == 0
