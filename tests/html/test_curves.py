"""Curves as SVG."""

import math

from tests.html.reading import Page

from bitesize.html.curves import curves


def test_a_chart_has_a_line_for_each_series_and_says_the_last_values():
    chart = curves("loss", {"training": [0.9, 0.5, 0.25], "validation": [0.8, 0.6, 0.5]})
    assert chart.count("<path") == 2
    assert "loss by epoch; last: training 0.25, validation 0.5" in chart
    assert Page(chart).text.split() == ["loss", "0.25", "0.9", "epoch", "1", "3", "validation", "training"]


def test_values_that_are_not_finite_are_gaps():
    chart = curves("loss", {"training": [1.0, math.nan, 3.0, 2.0]})
    path = chart.partition('d="')[2].partition('"')[0]
    assert [step[0] for step in path.split() if step[0] in "ML"] == ["M", "M", "L"]
    assert chart.count("<circle") == 1  # the first value has no neighbor
    assert curves("loss", {"training": [math.nan, math.inf]}) == ""


def test_equal_values_and_one_epoch_are_shown():
    assert curves("loss", {"training": [0.0, 0.0]}).count("<path") == 1
    assert curves("loss", {"training": [2.0]}).count("<circle") == 1
