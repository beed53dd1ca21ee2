"""The memory of the counts of tags: charged before work, of the smaller form, and no more than charged."""

import tracemalloc

import numpy as np
import pytest

import bitesize as bs
from bitesize.memory.budget import Budget
from bitesize.training.score import charged_scores
from bitesize.training.tasks.classify import Classify
from bitesize.training.tasks.multilabel import Multilabel
from bitesize.training.tasks.regress import Regress
from bitesize.training.tasks.segment import Segment
from bitesize.training.tasks.tag_counts import counts_nbytes
from bitesize.training.tasks.tag_score import TagScore

NAMES = tuple(map(str, range(300)))


def peak_of(task, rows, batches):
    tracemalloc.start()
    try:
        result = task.joined(batches, rows)
        return result, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("rows", [500, 10**6])
def test_scores_of_many_tags_take_the_bytes_that_are_charged(rows):
    random = np.random.default_rng(0)
    task = Multilabel(NAMES)
    batches = (TagScore.of(random.random((50, 300)) < 0.3, random.normal(size=(50, 300)), 0) for _ in range(10))
    result, peak = peak_of(task, rows, batches)
    assert result["rows"] == 500
    assert peak <= task.joining(rows).nbytes + (2 << 20)  # and a batch


def test_rows_are_kept_where_that_is_smaller_than_counts():
    assert counts_nbytes(5000, 400)[0] == 4_000_000
    assert counts_nbytes(5000, 10**9)[0] == 5000 * 64 * 1024


def test_a_budget_that_is_too_small_is_refused_before_work_and_bytes_are_returned():
    budget = Budget("64 MiB")
    with (
        pytest.raises(bs.DoesNotFit, match=r"scoring 300 tags needs 19.0 MiB, but 1.0 MiB"),
        charged_scores(Multilabel(NAMES), 10**6, Budget("1 MiB")),
    ):
        pass
    with charged_scores(Multilabel(NAMES), 10**6, budget) as lines:
        assert budget.breakdown() == {"scoring 300 tags": budget.in_use}
        assert lines == ["memory: 19.0 MiB for scoring 300 tags: 64 KiB for each of 300 tags"]
    assert budget.in_use == 0


def test_confusion_matrices_are_charged_and_numbers_have_none():
    many = tuple(map(str, range(2000)))
    assert Classify(many).joining(10).nbytes >= 16 * 2000**2
    assert Segment(many, numbers=tuple(range(2000))).joining(10).nbytes >= 16 * 2000**2
    assert Regress(many).joining(10).nbytes < 4 << 20
