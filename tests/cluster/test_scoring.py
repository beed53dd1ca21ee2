"""A team evaluates and predicts as one process does."""

from __future__ import annotations

import functools
import os

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

import bitesize as bs
from bitesize.cli.app import app
from bitesize.cluster import scoring
from bitesize.cluster.needed_files import NeededFiles
from bitesize.errors import BadFile, BadSetting, BitesizeError, NotFound, TooManyBadRows
from bitesize.memory.budget import Budget
from bitesize.training.collecting import collect
from bitesize.training.data import open_for_run
from bitesize.training.trained import TrainedModel, evaluate_source, open_run, predict_blocks
from tests.cluster.teams import WITHOUT_RAY, KillsOnce, team_of

pytest.importorskip("ray", reason=WITHOUT_RAY)
pytest.importorskip("skops", reason="models of scikit-learn are saved with skops")
SHAPE = (6, 5, 3)


@pytest.fixture(scope="module")
def team():
    with team_of(2) as team:
        yield team


def picture(i):
    random = np.random.default_rng(i)
    values = random.integers(60, 120, SHAPE).astype(np.uint8)
    values[:, :2] += np.uint8(100 * (i % 2))
    return values


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Images in class folders, and the same rows in one file."""
    top = tmp_path_factory.mktemp("scoring")
    for i in range(300):
        (top / "photos" / ("dull", "left")[i % 2]).mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture(i)).save(top / "photos" / ("dull", "left")[i % 2] / f"{i:03}.png")
    np.save(top / "rows.npy", np.stack([picture(i) for i in range(300)]))
    return top


def trained(data, out, model):
    words = ["train", data, "--model", model, "--image-size", 6, "--epochs", 1, "--batch-size", 8, "--out", out, "--json"]
    done = CliRunner().invoke(app, list(map(str, words)))
    assert done.exit_code == 0, done.output
    return open_run(out)


@pytest.fixture(scope="module")
def estimator(data, tmp_path_factory):
    return trained(data / "photos", tmp_path_factory.mktemp("runs") / "sklearn", "sklearn:SGDClassifier")


@pytest.fixture(scope="module")
def network(data, tmp_path_factory):
    pytest.importorskip("keras", reason="Keras is not installed: pip install 'bitesize[keras]'")
    return trained(data / "photos", tmp_path_factory.mktemp("runs") / "keras", "mlp")


def opened(run, data, **options):
    return open_for_run({**run.config(), "classes": run.classes()}, data, options, labeled=True)


@functools.cache
def model_of(run):
    return TrainedModel(run)


def alone(run, source, **options):
    policy = {"on_error": "raise", "max_bad": 0.01} | options
    return evaluate_source(model_of(run), source, "64 MiB", **policy)


@pytest.mark.parametrize("kind", ["estimator", "network"])
def test_every_row_counts_once_with_the_same_figures(team, data, kind, request):
    run = request.getfixturevalue(kind)
    source = opened(run, str(data / "photos"))
    expected, done = alone(run, source), []
    found = scoring.evaluate(team, run, source, "64 MiB", progress=done.append)
    assert {**found, "loss": 0} == {**expected, "loss": 0}
    assert found["loss"] == pytest.approx(expected["loss"], rel=1e-6)
    assert (found["rows"], sum(done)) == (300, 300)


@pytest.mark.skipif(os.environ.get("BITESIZE_TESTS") != "full", reason="runs with BITESIZE_TESTS=full")
def test_a_part_of_the_rows_can_be_evaluated(team, data, estimator):
    source = opened(estimator, str(data / "photos")).subset(np.arange(5, 250, 3))
    assert scoring.evaluate(team, estimator, source) == alone(estimator, source)


def test_bad_rows_of_all_workers_count_together(team, data, estimator, tmp_path):
    x = np.stack([picture(i) for i in range(300)]).astype(np.float32)
    x[[3, 150, 299], 0] = np.nan
    np.save(tmp_path / "x.npy", x)
    not_finite = opened(estimator, bs.open(tmp_path / "x.npy", ["dull", "left"] * 150))
    found = scoring.evaluate(team, estimator, not_finite, on_error="skip")
    assert found == alone(estimator, not_finite, on_error="skip")
    assert [bad["row"] for bad in found["bad"]] == [3, 150, 299]
    for name in ("dull", "left"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for i in range(60):
            Image.fromarray(picture(2 * i + (name == "left"))).save(tmp_path / "photos" / name / f"{i}.png")
        (tmp_path / "photos" / name / "59.png").write_text("no image")
    source = opened(estimator, str(tmp_path / "photos"))
    assert scoring.evaluate(team, estimator, source, on_error="skip", max_bad=0.02) == alone(
        estimator, source, on_error="skip", max_bad=0.02
    )
    errors = []
    for evaluate in (lambda **o: scoring.evaluate(team, estimator, source, **o), lambda **o: alone(estimator, source, **o)):
        with pytest.raises(TooManyBadRows, match="2 of 120 rows are bad") as error:
            evaluate(on_error="skip", max_bad=0.01)
        errors.append(str(error.value))
        with pytest.raises(BadFile) as error:
            evaluate(on_error="raise")
        errors.append((str(error.value), error.value.row))
    assert errors[:2] == errors[2:]


def predicted(blocks):
    blocks = list(blocks)
    reasons = {row: (type(error), str(error)) for block in blocks for row, error in block.reasons.items()}
    return [block.start for block in blocks], np.concatenate([block.predictions for block in blocks]), reasons


@pytest.mark.parametrize(
    ("kind", "what"), [("estimator", "photos"), ("estimator", "rows.npy"), ("estimator", "mixed"), ("network", "photos")]
)
def test_predictions_are_the_same_block_by_block(team, data, kind, what, request, tmp_path):
    run, given = request.getfixturevalue(kind), [str(data / what)]
    if what == "mixed":
        np.save(tmp_path / "dim.npy", (picture(0) / 255).astype(np.float32))
        np.save(tmp_path / "many.npy", np.stack([picture(i) / (255 if i > 50 else 1) for i in range(60)]).astype(np.float32))
        (tmp_path / "text.png").write_text("no image")
        names = ("dim.npy", "text.png", "many.npy")
        given = [*(str(tmp_path / name) for name in names), str(data / "rows.npy"), str(data / "photos")]
    config, said, done = run.config(), [], []
    model = model_of(run)
    expected = predicted(predict_blocks(model, collect(config, given), Budget("64 MiB"), "skip"))
    got = predicted(scoring.predict(team, run, collect(config, given), "64 MiB", progress=done.append, said=said))
    assert got[0] == expected[0]
    np.testing.assert_allclose(got[1], expected[1], rtol=1e-5, atol=1e-6)
    if kind == "estimator":
        np.testing.assert_array_equal(got[1], expected[1])
    assert got[2] == expected[2]
    assert said == model.adapted
    assert sum(done) == len(got[1])
    if what == "mixed":
        assert 1 in got[2]
        assert any("9 rows are on a scale of 0 to 1" in line for line in said)


@pytest.mark.skipif(os.environ.get("BITESIZE_TESTS") != "full", reason="runs with BITESIZE_TESTS=full")
def test_rows_of_another_shape_have_the_reason_or_raise(team, estimator, tmp_path):
    np.save(tmp_path / "wide.npy", np.zeros((40, 9, 9, 7), np.float32))
    given = collect(estimator.config(), str(tmp_path / "wide.npy"), {"file_is_row": False})
    _, values, reasons = predicted(scoring.predict(team, estimator, given))
    assert np.isnan(values).all()
    assert sorted(reasons) == list(range(40))
    with pytest.raises(BadSetting, match="rows of shape"):
        list(scoring.predict(team, estimator, given, on_error="raise"))


def test_a_worker_that_is_killed_changes_nothing(team, data, estimator):
    given = collect(estimator.config(), str(data / "rows.npy"))
    kills = KillsOnce()
    expected = predicted(predict_blocks(model_of(estimator), given, Budget("64 MiB"), "skip"))
    got = predicted(scoring.predict(team, estimator, given, progress=kills))
    assert kills.killed
    np.testing.assert_array_equal(got[1], expected[1])


@pytest.mark.skipif(os.environ.get("BITESIZE_TESTS") != "full", reason="runs with BITESIZE_TESTS=full")
def test_results_that_wait_are_charged_and_returned(team, data, estimator):
    given, budget = collect(estimator.config(), str(data / "rows.npy")), Budget("64 MiB")
    held = [budget.in_use for _ in scoring.predict(team, estimator, given, budget=budget)]
    assert min(held) >= 2 * len(given) / 16
    assert budget.in_use == 0
    with pytest.raises(bs.DoesNotFit):
        list(scoring.predict(team, estimator, given, budget=Budget("4 KiB")))


def test_a_run_that_is_missing_on_the_machine_of_a_worker_is_named_with_the_machine(team, data, estimator, monkeypatch):
    gone = NeededFiles(((b"runs/first", None),), "/no/such/folder")
    monkeypatch.setattr(NeededFiles, "of", lambda sources, paths: gone)
    given = collect(estimator.config(), str(data / "rows.npy"))
    with pytest.raises(
        NotFound, match=r"/no/such/folder/runs/first does not exist on \S+, where a worker needs it: use a folder"
    ):
        list(scoring.predict(team, estimator, given))
    assert issubclass(NotFound, BitesizeError)
