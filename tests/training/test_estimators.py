"""``bitesize train --model sklearn:...``: trained, saved without pickle, evaluated and used as any other."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest

import bitesize as bs
from bitesize.cli.app import app
from bitesize.training.estimator_model import load_estimator
from bitesize.training.estimators import build_estimator
from bitesize.training.run import RunFolder

pytest.importorskip("sklearn")
skops = pytest.importorskip("skops.io")

from typer.testing import CliRunner  # noqa: E402


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    """Make rows of two classes, a file each, that a line tells apart."""
    folder = tmp_path_factory.mktemp("rows")
    random = np.random.default_rng(0)
    for i in range(200):
        path = folder / "ab"[i % 2] / f"{i:03}.npy"
        path.parent.mkdir(exist_ok=True)
        np.save(path, (random.normal(size=(3, 4)) + 1.5 * (i % 2)).astype(np.float32))
    return folder


def run(*arguments, code=0):
    done = CliRunner().invoke(app, list(map(str, arguments)))
    assert done.exit_code == code, done.output
    return done


@pytest.fixture(scope="module")
def trained(rows, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "run"
    done = run(
        "train",
        rows,
        "--model",
        "sklearn:SGDClassifier",
        "--epochs",
        4,
        "--val-split",
        0.2,
        "--out",
        out,
        "--memory",
        "16MiB",
        "--json",
    )
    return out, json.loads(done.stdout)


def test_a_run_has_its_model_its_history_and_its_settings(trained):
    out, result = trained
    assert sorted(path.name for path in out.iterdir()) == [
        "classes.json",
        "config.json",
        "evaluation.json",
        "history.csv",
        "log.jsonl",
        "model.skops",
        "report.html",
        "split.csv",
        "summary.json",
    ]
    with (out / "history.csv").open() as file:
        history = list(csv.DictReader(file))
    assert [line["epoch"] for line in history] == ["1", "2", "3", "4"]
    assert float(history[-1]["val_accuracy"]) > 0.9
    assert result["epochs"][-1]["val_accuracy"] == float(history[-1]["val_accuracy"])
    assert RunFolder.open(out).saved.name == "model.skops"


def test_evaluation_and_prediction_agree_and_are_those_of_the_estimator(trained, rows, tmp_path):
    out, _ = trained
    result = json.loads(run("evaluate", out, rows, "--json").stdout)
    assert (result["rows"], result["classes"]) == (200, ["a", "b"])
    assert result["accuracy"] > 0.9
    run("predict", out, rows, "--out", tmp_path / "p.csv")
    with (tmp_path / "p.csv").open(encoding="utf-8-sig") as file:
        lines = list(csv.DictReader(file))
    right = sum(line["predicted"] == Path(line["path"]).parent.name for line in lines)
    assert right / 200 == result["accuracy"]
    model = skops.load(out / "model.skops", trusted=skops.get_untrusted_types(file=out / "model.skops"))
    (scaling,) = json.loads((out / "config.json").read_text())[
        "scaling"
    ]  # values below 0: brought to mean 0 and deviation 1
    x = np.stack([(np.load(line["path"]).ravel() - scaling["mean"]) / scaling["std"] for line in lines])
    np.testing.assert_allclose([float(line["p_b"]) for line in lines], model.predict_proba(x)[:, 1], atol=1e-5)


def test_what_is_no_such_classifier_or_no_such_setting_is_refused(rows, tmp_path):
    for name in ("Perceptron", "LogisticRegression", "Nothing"):
        with pytest.raises(bs.BadSetting, match="SGDClassifier"):
            build_estimator(f"sklearn:{name}", 0)
    for option in (["--early-stopping", 2], ["--class-weights"], ["--batch-size", "auto"]):
        done = CliRunner().invoke(app, [str(part) for part in ("train", rows, "--model", "sklearn:GaussianNB", *option)])
        assert isinstance(done.exception, bs.BadSetting)
        assert option[0] in str(done.exception)
    done = CliRunner().invoke(app, ["plan", str(rows), "--model", "sklearn:GaussianNB"])
    assert isinstance(done.exception, bs.BadSetting)


class Strange:
    """What no run of ours has saved."""


def test_a_file_that_would_run_other_code_is_refused(tmp_path):
    skops.dump(Strange(), tmp_path / "model.skops")
    with pytest.raises(bs.BadFile, match="not scikit-learn's"):
        load_estimator(tmp_path / "model.skops")
    (tmp_path / "model.skops").write_bytes(b"nothing")
    with pytest.raises(bs.BadFile, match="cannot be loaded"):
        load_estimator(tmp_path / "model.skops")


def test_a_run_of_another_kind_takes_the_folder_over(trained, tmp_path):
    folder = RunFolder.create(tmp_path / "run")
    (folder.path / "model.keras").write_bytes(b"an earlier run")
    folder.begin(build_estimator("sklearn:GaussianNB", 0), {}, ("a", "b"))
    folder.release()
    assert not (folder.path / "model.keras").exists()
    assert folder.saved.name == "model.skops"


def test_a_run_that_begins_again_keeps_its_own_records_until_they_are_replaced(tmp_path):
    folder = RunFolder.create(tmp_path / "run")
    model = build_estimator("sklearn:GaussianNB", 0)
    folder.begin(model, {"run": "1", "sklearn": ""}, ("a", "b"))
    folder.write_history([{"epoch": 1}])
    folder.begin(model, {"run": "1", "sklearn": ""}, ("a", "b"))
    assert (folder.path / "history.csv").exists()
    folder.begin(model, {"run": "2", "sklearn": ""}, ("a", "b"))
    assert not (folder.path / "history.csv").exists()
    folder.release()


def test_a_run_without_checkpoints_removes_those_of_an_earlier_run(tmp_path):
    folder = RunFolder.create(tmp_path / "run")
    folder.checkpoints.mkdir()
    (folder.checkpoints / "000001.npz").write_bytes(b"an earlier run")
    folder.begin(build_estimator("sklearn:GaussianNB", 0), {}, ("a", "b"))
    folder.release()
    assert not folder.checkpoints.exists()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--model", "sklearn:BernoulliNB"], "of scikit-learn"),
        (["--model", "sklearn:SGDClassifier", "--checkpoint-every", "3"], "is for Keras models"),
        (["--model", "sklearn:SGDClassifier", "--resume"], "leave out --resume to train from scratch"),
    ],
)
def test_what_estimators_cannot_do_is_refused(rows, tmp_path, options, says):
    done = CliRunner().invoke(app, [str(part) for part in ("train", rows, *options, "--out", tmp_path / "run")])
    assert isinstance(done.exception, bs.BadSetting)
    assert says in str(done.exception)
