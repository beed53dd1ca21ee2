"""Scores of predicted numbers."""

import numpy as np
import pytest

from bitesize.training.tasks.number_score import NumberScore, join_scores


@pytest.mark.parametrize("value", [4.0, 0.1, 1e9 / 3, -7e-5])
@pytest.mark.parametrize("mean", [0.0, 5.123456, -1e3])
def test_equal_labels_have_no_r2_whatever_rounding_leaves_of_their_variance(value, mean):
    labels, found = np.full((20, 1), value), np.random.default_rng(0).normal(size=(20, 1))
    batches = [NumberScore.of(labels[i : i + 6], found[i : i + 6], np.array([mean]), 0) for i in range(0, 20, 6)]
    figures = join_scores(["y"], [mean], [2.0], batches)
    assert figures["r2"] is None
    assert figures["per_target"][0]["r2"] is None


def test_r2_of_labels_far_from_the_mean_of_training_equals_its_definition():
    random = np.random.default_rng(0)
    labels = 1e4 + random.normal(size=(50, 1))
    found = labels + random.normal(size=(50, 1))
    figures = join_scores(["y"], [0.0], [1.0], [NumberScore.of(labels, found, np.zeros(1), 0)])
    expected = 1 - ((found - labels) ** 2).sum() / ((labels - labels.mean()) ** 2).sum()
    assert figures["r2"] == pytest.approx(expected, abs=1e-4)
