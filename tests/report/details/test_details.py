"""Details of single rows: which are shown, and calibration as scikit-learn computes it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitesize.report.details.base import Calibration, Example, Worst
from bitesize.report.details.classify import ClassDetails
from bitesize.report.details.multilabel import TagDetails
from bitesize.report.details.regress import NumberDetails
from bitesize.report.details.segment import MaskDetails
from bitesize.training.score import Scored
from bitesize.training.tasks.multilabel import Multilabel
from bitesize.training.tasks.regress import Regress
from bitesize.training.tasks.segment import Segment


@given(st.lists(st.sampled_from([0.1, 0.2, 0.5, 0.9]), max_size=40), st.integers(1, 5))
def test_the_worst_rows_are_kept_and_equal_ones_by_their_number(values, most):
    worst = Worst(most)
    for row, value in enumerate(values):
        worst.add(Example(value, row, {}))
    expected = sorted(range(len(values)), key=lambda row: (-values[row], row))[:most]
    assert [example.row for example in worst.examples()] == expected


def test_calibration_equals_scikit_learn():
    calibration = pytest.importorskip("sklearn.calibration")
    random = np.random.default_rng(0)
    probabilities = random.random(1000)
    right = random.random(1000) < probabilities**2
    ours = Calibration()
    for part in np.array_split(np.arange(1000), 7):
        ours.add(probabilities[part], right[part])
    share, mean = calibration.calibration_curve(right, probabilities, n_bins=10)
    bins = ours.as_dict()["bins"]
    assert [each["right"] for each in bins] == pytest.approx(share.tolist())
    assert [each["probability"] for each in bins] == pytest.approx(mean.tolist())


def batches(labels, scores, size=16):
    """Yield the rows of an evaluation; the last row of each batch could not be read."""
    for start in range(0, len(labels), size):
        part = slice(start, start + size)
        rows = np.arange(len(labels))[part]
        mask = np.ones(len(rows), bool)
        mask[-1] = False
        yield Scored(rows, mask, labels[part], scores[part])


def test_confident_mistakes_come_first_and_rows_without_a_prediction_do_not_count():
    random = np.random.default_rng(0)
    labels, logits = random.integers(0, 12, 160), random.normal(size=(160, 12)) * 3
    logs = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    details = ClassDetails(tuple(map(str, range(12))))
    counted = np.arange(160) % 16 != 15
    for scored in batches(labels, logs):
        details.add(scored)
    found, best = details.examples(), np.exp(logs.max(axis=1))
    wrong = [row for row in range(160) if counted[row] and logs[row].argmax() != labels[row]]
    assert [example.row for example in found] == sorted(wrong, key=lambda row: -best[row])[:24]
    assert found[0].facts["probability"] == pytest.approx(best[found[0].row])
    ranks = (logs > logs[np.arange(160), labels][:, None]).sum(axis=1)
    assert details.as_dict()["top5"] == pytest.approx((ranks[counted] < 5).mean())


def test_wrong_tags_are_named_with_their_probability():
    odds, labels = np.array([[4.0, -3.0], [-2.0, 0.1], [0.0, 0.0]]), np.array([[0.0, 1.0], [0.0, 1.0], [1.0, 1.0]])
    details = TagDetails(Multilabel(("sun", "rain")))
    for scored in batches(labels, odds):
        details.add(scored)
    found = [(example.row, example.facts["tag"], example.facts["there"]) for example in details.examples()]
    assert found == [(0, "sun", False), (0, "rain", True)]


def test_the_largest_errors_are_in_deviations_of_their_target():
    labels = np.array([[0.0, 0.0]] * 4)
    found = np.array([[1.0, 10.0], [0.0, 2000.0], [5.0, 0.0], [0.0, 0.0]])
    details = NumberDetails(Regress(("a", "b"), mean=(0.0, 0.0), std=(1.0, 1000.0)), 4)
    for scored in batches(labels, found):
        details.add(scored)
    assert [(each.row, each.facts["target"]) for each in details.examples()] == [(2, "a"), (1, "b"), (0, "a")]
    assert details.as_dict()["points"]["b"] == {"true": [0.0] * 3, "predicted": [10.0, 2000.0, 0.0]}


def test_the_masks_with_most_wrong_pixels_come_first_and_ignored_pixels_do_not_count():
    task = Segment(("0", "1"), numbers=(0, 1), ignored=255)
    labels = np.zeros((4, 2, 2, 1), np.uint8)
    labels[1, 0, 0], labels[2] = 255, 1
    scores = np.log(np.full((4, 2, 2, 2), [0.9, 0.1], np.float32))
    scores[1, 0, 0] = scores[1, 0, 0, ::-1]
    details = MaskDetails(task, 4)
    for scored in batches(labels, scores):
        details.add(scored)
    assert [(each.row, each.facts["wrong"]) for each in details.examples()] == [(2, 1.0), (0, 0.0), (1, 0.0)]


def test_equal_probabilities_do_not_count_as_the_true_class_being_among_the_first_five():
    details = ClassDetails(tuple(map(str, range(20))))
    details.add(Scored(np.arange(20), np.ones(20, bool), np.arange(20), np.full((20, 20), np.log(1 / 20))))
    assert details.as_dict()["top5"] == 5 / 20
