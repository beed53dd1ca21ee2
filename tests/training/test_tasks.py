"""A task is found from the labels; what it trains, measures and predicts is in units of the data."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.cli.running import run

import bitesize as bs
from bitesize.errors import BadFile, BadSetting
from bitesize.sources.open_to_train import open_to_train
from bitesize.training.tasks.choose import choose_task, saved_task
from bitesize.training.tasks.regress import Regress
from bitesize.training.tasks.tag_score import TagScore, join_scores
from bitesize.training.tasks.targets import read_labels

X = np.zeros((60, 3))
RANDOM = np.random.default_rng(0)
TAGS = [["a"], ["a", "b"], []] * 20


def found(labels, task="auto", names=None):
    return choose_task(bs.open(X, labels), task, names, "the data")


@pytest.mark.parametrize(
    ("labels", "name"),
    [
        (["cat", "dog"] * 30, "classify"),
        (TAGS, "multilabel"),
        (RANDOM.integers(0, 2, (60, 4)), "multilabel"),
        (RANDOM.normal(size=60), "regress"),
        (RANDOM.normal(size=(60, 2)), "regress"),
        (np.arange(60) * 100.0, "regress"),
        (np.arange(60) % 2 * 1.0, "classify"),
    ],
)
def test_the_task_is_found_from_the_labels(labels, name):
    task, _, said = found(labels)
    assert task.name == name
    assert (name == "classify") == (said == [])


@pytest.mark.parametrize(
    ("task", "labels", "message"),
    [
        ("classify", RANDOM.normal(size=60), "--task classify learns classes: use --task regress"),
        ("regress", ["cat", "dog"] * 30, "the labels of the data are 2 classes, such as cat"),
        ("regress", TAGS, "the labels of the data are 2 tags, such as a"),
        ("multilabel", ["cat", "dog"] * 30, "needs 0 or 1 for each tag of a row"),
        ("nothing", TAGS, "--task must be auto, classify, multilabel, regress"),
    ],
)
def test_labels_of_another_task_are_refused_with_what_they_are(task, labels, message):
    with pytest.raises(BadSetting, match=message):
        found(labels, task)


def test_targets_are_standardized_for_the_loss_and_predictions_are_in_units_of_the_data():
    y = np.stack([RANDOM.normal(1000, 50, 60), RANDOM.normal(-2, 0.1, 60)], axis=1)
    task, source, _ = found(y, names="price,rooms")
    task = task.fitted(source)
    assert task.names == ("price", "rooms")
    with bs.Loader(task.for_loss(source), batch_size=60, shuffle=False, memory="16 MiB") as loader:
        standardized = next(iter(loader))["y"].copy()
    np.testing.assert_allclose(standardized.mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(standardized.std(axis=0), 1, atol=1e-5)
    np.testing.assert_allclose(task.decode(standardized.astype(np.float64), "values"), y, rtol=1e-5)
    assert saved_task({"task": json.loads(json.dumps(task.as_dict()))}, task.names) == task


def test_a_target_that_is_nan_is_refused_with_its_row(tmp_path):
    y = RANDOM.normal(size=(60, 2))
    y[7, 1] = np.nan
    np.savez(tmp_path / "d.npz", x=X, y=y)
    task, source, _ = choose_task(bs.open(tmp_path / "d.npz"), "regress", None, "the data")
    with pytest.raises(BadFile, match=r"target 'y2' of .*row 7"):
        task.fitted(source)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 40), st.integers(1, 9), st.booleans())
def test_scores_of_tags_do_not_depend_on_how_rows_are_cut_or_counted(seed, rows, cut, many):
    random = np.random.default_rng(seed)
    odds, true = random.normal(0, 3, (rows, 3)), random.integers(0, 2, (rows, 3))
    most = 10**6 if many else rows  # whether counts or rows are kept
    whole = join_scores("abc", 0.5, (), [TagScore.of(true, odds, 0)], rows)
    pieces = join_scores(
        "abc", 0.5, (), [TagScore.of(true[i : i + cut], odds[i : i + cut], 0) for i in range(0, rows, cut)], most
    )
    assert pieces.pop("loss") == pytest.approx(whole.pop("loss"))
    assert pieces == whole
    rounded = np.floor(odds * 256)  # rows of one step count as equal
    for i, tag in enumerate(whole["per_tag"]):
        above, below = (rounded[true[:, i] == there, i] for there in (1, 0))
        if len(above) and len(below):
            exact = (above[:, None] > below).mean() + 0.5 * (above[:, None] == below).mean()
            assert tag["auc"] == pytest.approx(exact)


A, B = RANDOM.normal(size=(2, 400))


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """A table with tags and a price; opened once, because its reader keeps a pipe open from then on."""
    path = tmp_path_factory.mktemp("tasks") / "t.csv"
    tags = [
        " ".join(t for t, there in (("hot", a > 0), ("wet", b > 0)) if there) or "none" for a, b in zip(A, B, strict=True)
    ]
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([["a", "b", "price", "tags"], *zip(A, B, 900 + 300 * A, tags, strict=True)])
    bs.open(path, "price")
    return path


def trained(table, out, name):
    pytest.importorskip("keras", reason="Keras is not installed: pip install 'bitesize[keras]'")
    words = ["--labels", name, *(("--tag-delimiter", " ") if name == "tags" else ()), "--epochs", 6, "--learning-rate", 0.01]
    run("train", table, *words, "--out", out)
    return bs.load(out), json.loads(run("evaluate", out, table, "--json").stdout)


def test_a_run_of_tags_evaluates_and_predicts_them(table, tmp_path):
    model, result = trained(table, tmp_path / "run", "tags")
    assert (result["rows"], result["tags"]) == (400, ["hot", "none", "wet"])
    assert result["f1_micro"] > result["baseline"]["f1_micro"]
    found = model.predict(str(table))
    assert found.probabilities.shape == (400, 3)
    run("predict", tmp_path / "run", table, "--threshold", 0.9, "--out", tmp_path / "p.csv")
    with (tmp_path / "p.csv").open(encoding="utf-8-sig") as file:
        lines = list(csv.DictReader(file))
    assert list(lines[0]) == ["path", "predicted", "p_hot", "p_none", "p_wet", "error"]
    assert [tuple(filter(None, line["predicted"].split("|"))) for line in lines] == found.tags(0.9)


def test_a_run_of_numbers_evaluates_and_predicts_in_units_of_the_data(table, tmp_path):
    model, result = trained(table, tmp_path / "run", "price")
    assert (result["rows"], result["targets"]) == (400, ["price"])
    assert result["mae"] < 0.5 * result["baseline"]["mae"]
    values = model.predict(str(table)).values[:, 0]
    assert np.abs(values - (900 + 300 * A)).mean() == pytest.approx(result["mae"], rel=1e-3)
    run("predict", tmp_path / "run", table, "--out", tmp_path / "p.csv")
    with (tmp_path / "p.csv").open(encoding="utf-8-sig") as file:
        lines = list(csv.DictReader(file))
    np.testing.assert_allclose([float(line["predicted_price"]) for line in lines], values, rtol=1e-6)


@pytest.mark.parametrize(("form", "labels"), [("csv", "price"), ("csv", "price,energy"), ("parquet", "price")])
def test_targets_have_the_names_of_their_columns_also_from_a_packed_store(table, tmp_path, form, labels):
    pytest.importorskip("keras")
    pandas = pytest.importorskip("pandas")
    rows = pandas.DataFrame({"a": A, "b": B, "price": 900 + 300 * A, "energy": B - A})[:80]
    file, store, out = tmp_path / f"t.{form}", tmp_path / "store", tmp_path / "run"
    rows.to_csv(file, index=False) if form == "csv" else rows.to_parquet(file)
    run("pack", file, "--labels", labels, "--out", store)
    names = labels.split(",")
    assert f"numbers, {'(2,)' if len(names) > 1 else '()'} float64: {', '.join(names)}" in run("info", store).stdout
    run("train", store, "--epochs", 1, "--out", out)
    assert bs.load(out).names == tuple(names)
    for data in ((store,), (file, "--labels", labels)):
        result = json.loads(run("evaluate", out, *data, "--json").stdout)
        assert [line["target"] for line in result["per_target"]] == result["targets"] == names
    run("predict", out, store, "--out", tmp_path / "p.csv")
    with (tmp_path / "p.csv").open(encoding="utf-8-sig") as lines:
        assert next(csv.reader(lines)) == ["path", *(f"predicted_{name}" for name in names), "error"]


def test_targets_of_other_data_are_matched_by_name(tmp_path):
    pandas = pytest.importorskip("pandas")
    table = pandas.DataFrame({"a": A, "price": 900 + 300 * A, "energy": B, "rooms": A + B})
    table.to_parquet(tmp_path / "t.parquet")

    def opened(*names):
        return open_to_train(tmp_path / "t.parquet", list(names), fields=["a"])

    task, source = Regress.of(opened("price", "energy"), None, "t")
    turned = task.matched(opened("energy", "price"), None, "other")
    np.testing.assert_array_equal(read_labels(turned, np.arange(9)), read_labels(source, np.arange(9)))
    with pytest.raises(BadSetting, match="energy, rooms, but the model predicts 2 targets: price, energy"):
        task.matched(opened("energy", "rooms"), None, "other")
    assert Regress.of(bs.open(X, RANDOM.normal(size=(60, 2))), None, "t")[0].names == ("y1", "y2")
    assert task.matched(bs.open(X, RANDOM.normal(size=(60, 2))), None, "other").spec["y"].shape == (2,)
