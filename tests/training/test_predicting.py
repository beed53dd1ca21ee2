"""Rows are scored and predicted piece by piece as all at once."""

from __future__ import annotations

import numpy as np
import pytest
from tests.cli.running import run

from bitesize.memory.budget import Budget
from bitesize.scan.rows import spans
from bitesize.training.collecting import collect
from bitesize.training.data import open_for_run
from bitesize.training.predicting import Piece, Predictor, pieces_of
from bitesize.training.score import Scorer
from bitesize.training.trained import open_run

pytest.importorskip("skops")
ROWS, BATCH = 100, 8


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    top = tmp_path_factory.mktemp("pieces")
    random = np.random.default_rng(0)
    y = np.arange(ROWS) % 2
    np.save(top / "x.npy", (random.normal(size=(ROWS, 6)) + 3 * y[:, None]).astype(np.float32))
    np.save(top / "y.npy", y)
    words = ("--labels", top / "y.npy", "--model", "sklearn:SGDClassifier", "--epochs", 1, "--batch-size", BATCH)
    run("train", top / "x.npy", *words, "--out", top / "run")
    return open_run(top / "run"), top


@pytest.mark.parametrize("step", [BATCH, 3 * BATCH, 5])
def test_spans_are_scored_as_all_rows(trained, step):
    folder, top = trained
    scorer, classes = Scorer(folder), folder.classes()
    config = {**folder.config(), "classes": classes}
    source = open_for_run(config, str(top / "x.npy"), {}, labels=str(top / "y.npy"), labeled=True)
    with scorer.loader(source, "32 MiB", BATCH, "raise") as loader:
        expected = scorer.task.joined(map(scorer.score, scorer.batches(loader, lambda rows: None)), len(source))
        scores = {}
        for span in reversed(spans(ROWS, step)):  # workers may have any of them
            scores[span.start] = [scorer.score(scored) for scored in scorer.batches(loader, lambda rows: None, span)]
            assert sum(len(score.true) for score in scores[span.start]) == len(span)
    found = scorer.task.joined([score for start in sorted(scores) for score in scores[start]], len(source))
    assert found.pop("loss") == pytest.approx(expected.pop("loss"), rel=1e-12)
    assert found == expected


def test_pieces_in_any_order_are_the_predictions_of_all_rows(trained, tmp_path):
    folder, top = trained
    for i in range(3):
        np.save(tmp_path / f"{i}.npy", np.load(top / "x.npy")[i])
    (tmp_path / "text.npy").write_text("no array")
    files = [*(str(tmp_path / f"{i}.npy") for i in range(3)), str(tmp_path / "text.npy"), str(top / "x.npy")]
    scorer, given = Scorer(folder), collect(folder.config(), files)

    def predicted(cut, order):
        budget = Budget("32 MiB")
        predictor = Predictor(scorer, given, budget, "skip")
        pieces = list(pieces_of(given, 2, cut))
        blocks = [block for piece in order(pieces) for block in predictor.predict(piece, lambda rows: None)]
        predictor.close()
        assert budget.in_use == 0
        blocks.sort(key=lambda block: block.start)
        assert {row for block in blocks for row in block.reasons} == {3}
        return pieces, np.concatenate([block.predictions for block in blocks])

    pieces, expected = predicted(lambda source: [range(len(source))], list)
    assert pieces == [Piece(0, range(4)), Piece(1, range(ROWS))]
    cut, found = predicted(lambda source: spans(len(source), 2 * BATCH), lambda pieces: reversed(list(pieces)))
    assert len(cut) == 1 + -(-ROWS // (2 * BATCH))
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(found[:3], found[4:7])
