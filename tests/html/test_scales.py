"""Scales of charts: round ticks that contain all values."""

import math

from hypothesis import given
from hypothesis import strategies as st

from bitesize.html.scales import label, round_step, scale_of

NUMBERS = st.floats(-1e12, 1e12)


@given(st.lists(NUMBERS, min_size=1, max_size=20), st.booleans())
def test_all_values_and_ticks_are_within_the_axis(values, zero):
    scale = scale_of(values, 0, 100, zero=zero)
    assert scale.low < scale.high
    assert len(scale.ticks) <= 12
    for value in [*values, *scale.ticks]:
        assert -1e-3 <= scale(value) <= 100 + 1e-3


@given(st.integers(1, 500))
def test_epochs_have_whole_ticks(epochs):
    ticks = scale_of(range(1, epochs + 1), 0, 100, whole=True).ticks
    assert all(tick == int(tick) and 1 <= tick <= max(epochs, 2) for tick in ticks)


def test_values_that_are_not_finite_do_not_count():
    assert scale_of([1.0, math.nan, math.inf, 2.0], 0, 100).high == 2.0
    assert scale_of([math.nan], 0, 100).ticks


@given(st.floats(1e-9, 1e12))
def test_a_step_is_1_2_or_5_times_a_power_of_ten(step):
    found = round_step(step)
    assert found >= step * (1 - 1e-6)
    assert f"{found:.0e}"[0] in "125"


@given(NUMBERS)
def test_a_label_is_short(value):
    assert len(label(value)) <= 11
