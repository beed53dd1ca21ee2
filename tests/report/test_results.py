"""Figures of runs without results of their validation rows: those of the history that mean the same."""

from types import SimpleNamespace

from bitesize.report.results import figures_of, has_other_loss
from bitesize.training.tasks.classify import Classify
from bitesize.training.tasks.regress import Regress


def unmeasured(task, **figures):
    """Return records of a run without an evaluation."""
    saved = SimpleNamespace(figures={f"val_{name}": str(value) for name, value in figures.items()})
    return SimpleNamespace(evaluation=None, task=task, saved=saved)


def test_errors_in_deviations_are_not_shown_as_errors_in_units_of_the_data():
    figures = {"loss": 0.5, "mae": 0.25, "r2": 0.75}
    one, two = Regress(("p",), "mse", (0.0,), (1.0,)), Regress(("p", "q"), "mse", (0.0, 0.0), (1.0, 9.0))
    assert figures_of(unmeasured(one, **figures)) == [("MAE", "0.250"), ("R²", "0.750")]
    assert figures_of(unmeasured(two, **figures)) == [("R²", "0.750")]


def test_a_loss_that_may_be_weighted_is_not_shown_beside_those_that_are_not():
    assert figures_of(unmeasured(Classify(("a", "b")), loss=0.5, accuracy=0.75)) == [("accuracy", "0.750")]


def test_a_loss_that_differs_from_that_of_the_curves_is_noticed():
    records = unmeasured(Classify(("a", "b")), loss=0.5)
    assert not has_other_loss(records)
    for loss, other in ((0.502, False), (0.8, True)):
        records.evaluation = {"figures": {"loss": loss}}
        assert has_other_loss(records) is other
