"""The demos of single tasks."""

import numpy as np
import pytest

pytest.importorskip("keras")
from bitesize.cli.demo_tasks import DEMOS, demo_task, write_flowers


@pytest.mark.slow
@pytest.mark.parametrize(("task", "margin"), [("tabular", 0.4), ("multilabel", 0.2), ("segment", 0.2), ("volumes", 0.2)])
def test_the_model_is_clearly_better_than_the_trivial_answer(tmp_path, capsys, task, margin):
    found = demo_task(task, tmp_path)
    assert found.value > found.trivial + margin
    shown = capsys.readouterr().out
    assert f"the model     {found.value:.4g}" in shown
    assert f"trivial       {found.trivial:.4g}, {found.answer}" in shown


@pytest.mark.slow
def test_the_error_of_the_model_is_a_fraction_of_that_of_the_mean(tmp_path):
    found = demo_task("regress", tmp_path)
    assert (found.metric, found.better) == ("MAE of price", True)
    assert found.value < 0.4 * found.trivial


def test_every_demo_is_tested_and_lengths_of_flowers_are_above_0(tmp_path):
    assert set(DEMOS) == {"tabular", "multilabel", "segment", "volumes", "regress"}
    write_flowers(tmp_path)
    values = np.loadtxt(tmp_path / "flowers.csv", delimiter=",", skiprows=1, usecols=range(4))
    assert values.min() >= 0.1
