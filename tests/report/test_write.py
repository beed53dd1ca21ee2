"""Reports of runs: written by training, with the figures that `bitesize evaluate` prints, for each task."""

from __future__ import annotations

import json
import re
import shutil
from html.parser import HTMLParser
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image
from tests.cli.running import lines_of, run

import bitesize as bs
from bitesize.cli.report import write_after_training
from bitesize.errors import BadSetting
from bitesize.training.record import Split
from bitesize.training.run import RunFolder
from bitesize.training.settings import TrainSettings

pytest.importorskip("keras")
SMALL = ["--model", "mlp", "--epochs", 2, "--batch-size", 8, "--memory", "64MiB", "--learning-rate", 0.01]


class Page(HTMLParser):
    """Elements, text and addresses of a page."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.text, self.addresses, self.ids, self._open = [], [], [], [], []
        self.feed(text)
        self.text = " ".join(" ".join(self.text).split())

    def handle_starttag(self, tag, attributes):
        values = dict(attributes)
        self.tags.append(tag)
        self.addresses += [values[name] for name in ("src", "href") if name in values]
        self.ids += [values["id"]] if "id" in values else []
        self._open.append(tag)

    def handle_endtag(self, tag):
        if tag in self._open:
            del self._open[len(self._open) - 1 - self._open[::-1].index(tag) :]

    def handle_data(self, text):
        if not {"style", "script"} & set(self._open):
            self.text.append(text)


def page_of(folder):
    return Page((folder / "report.html").read_text(encoding="utf-8"))


def pictures(folder, names, count=24, odd=False):
    """Write a folder of small pictures for each class; with ``odd`` some have the wrong label."""
    for i in range(count):
        for number, name in enumerate(names):
            (folder / name).mkdir(parents=True, exist_ok=True)
            bright = 40 + 170 * ((number + (odd and i % 4 == 0)) % len(names)) // max(1, len(names) - 1)
            pixels = np.random.default_rng((i, number)).normal(bright, 6, (24, 24, 3)).clip(0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{i:02}.png")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run with wrong labels, and its data."""
    top = tmp_path_factory.mktemp("report")
    pictures(top / "photos", ["cat", "dog <b>&"], odd=True)
    done = run("train", "photos", *SMALL, "--val-split", 0.5, "--image-size", 16, "--out", "first", cwd=top)
    assert "report: first/report.html" in done.stdout
    return top


def test_training_writes_the_figures_that_evaluate_prints(trained):
    measured = json.loads(run("evaluate", "first", "photos", "--part", "val", "--json", cwd=trained).stdout)
    saved = json.loads((trained / "first" / "evaluation.json").read_text())
    assert saved["figures"]["accuracy"] == measured["accuracy"]
    assert saved["figures"]["loss"] == pytest.approx(measured["loss"], rel=1e-5)
    matrix = np.zeros((2, 2), int)
    for true, predicted, count in saved["figures"]["pairs"]:
        matrix[true, predicted] = count
    assert matrix.tolist() == measured["confusion"]
    page = page_of(trained / "first")
    assert f"accuracy {measured['accuracy']:.3f}" in page.text
    assert "2 classes, 24 rows to train on, 24 to validate on" in page.text
    wrong = 24 - int(np.trace(matrix))
    assert len(saved["examples"]) == wrong > 0
    assert sum(address.startswith("data:image/jpeg") for address in page.addresses) == wrong


def test_names_of_files_and_classes_are_never_elements(trained):
    page = page_of(trained / "first")
    assert "b" in page.tags
    assert "dog <b>&" in page.text
    assert page.tags.count("script") == 1


def test_the_page_is_one_file_that_loads_nothing(trained):
    page = page_of(trained / "first")
    assert all(address.startswith(("data:", "#")) for address in page.addresses)
    assert {address[1:] for address in page.addresses if address.startswith("#")} <= set(page.ids)
    assert len(page.ids) == len(set(page.ids))
    text = (trained / "first" / "report.html").read_text()
    assert "default-src 'none'" in text
    assert not re.search(r"https?://(?!www\.w3\.org)", text)


def test_the_page_says_what_is_needed_to_repeat_the_run(trained):
    text = page_of(trained / "first").text
    config = json.loads((trained / "first" / "config.json").read_text())
    assert "bitesize train --config first/config.json --out NEW" in text
    for fact in (config["fingerprints"]["val"], config["versions"]["numpy"], config["folder"]):
        assert fact in text
    assert "held by the loaders" in str((trained / "first" / "report.html").read_text())


def test_mistakes_are_rows_of_the_validation_data_with_their_paths(trained):
    saved = json.loads((trained / "first" / "evaluation.json").read_text())
    listed = (trained / "first" / "split.csv").read_text().splitlines()
    validated = {line.split(",", 2)[2] for line in listed if line.startswith("val")}
    for each in saved["examples"]:
        assert any(each["path"].endswith(path) or path.endswith(each["path"]) for path in validated)
        assert each["true"] in each["path"]
        assert each["predicted"] != each["true"]


def test_report_is_written_again_without_reading_data(trained):
    (trained / "first" / "report.html").unlink()
    moved = trained / "elsewhere"
    (trained / "photos").rename(moved)
    try:
        assert "wrote first/report.html" in run("report", "first", cwd=trained).stdout
    finally:
        moved.rename(trained / "photos")
    assert "Most confident mistakes" in page_of(trained / "first").text


def test_a_run_without_results_is_measured_and_data_that_is_gone_is_said(trained):
    other = trained / "second"
    shutil.copytree(trained / "first", other, ignore=shutil.ignore_patterns("checkpoints"))
    before = json.loads((other / "evaluation.json").read_text())
    (other / "evaluation.json").unlink()
    moved = trained / "elsewhere"
    (trained / "photos").rename(moved)
    try:
        done = run("report", "second", cwd=trained)
        assert "validation rows could not be read" in " ".join(done.stderr.split())
        assert "Confusion matrix" not in page_of(other).text
        assert "does not exist" in page_of(other).text
    finally:
        moved.rename(trained / "photos")
    assert json.loads(run("report", "second", "--json", cwd=trained).stdout) == {
        "report": "second/report.html",
        "missing": "",
    }
    assert json.loads((other / "evaluation.json").read_text())["figures"] == before["figures"]
    Image.new("RGB", (24, 24)).save(trained / "photos" / "cat" / "new.png")
    (other / "evaluation.json").unlink()
    try:
        assert "does not have the rows" in json.loads(run("report", "second", "--json", cwd=trained).stdout)["missing"]
    finally:
        (trained / "photos" / "cat" / "new.png").unlink()


def test_rows_whose_labels_have_changed_are_not_measured(tmp_path):
    lines = [f"{i % 5},{i},{'ab'[i % 2]}" for i in range(40)]
    for text in ("\n".join(lines), "\n".join([*lines[:-1], lines[-1].replace("b", "a")])):
        (tmp_path / "val.csv").write_text(f"x,z,label\n{text}\n")
        if not (tmp_path / "first").exists():
            model = ["--model", "sklearn:SGDClassifier", "--epochs", 1]
            run("train", "val.csv", "--val", "val.csv", *model, "--out", "first", cwd=tmp_path)
            (tmp_path / "first" / "evaluation.json").unlink()
    missing = json.loads(run("report", "first", "--json", cwd=tmp_path).stdout)["missing"]
    assert "or have other labels" in missing


def test_a_run_in_a_folder_that_cannot_be_written_is_measured_for_a_page_elsewhere(trained, caplog, monkeypatch):
    other = trained / "kept"
    shutil.copytree(trained / "first", other, ignore=shutil.ignore_patterns("checkpoints", "report.html"))
    (other / "evaluation.json").unlink()
    (other / "evaluation.json").mkdir()  # no file can replace a folder, also for an administrator
    monkeypatch.chdir(trained)
    assert bs.write_report("kept", out="page.html") == "page.html"
    assert "Confusion matrix" in Page((trained / "page.html").read_text(encoding="utf-8")).text
    assert "the next report measures them again" in caplog.text


def test_results_of_an_earlier_model_are_not_shown(trained):
    other = trained / "third"
    shutil.copytree(trained / "first", other, ignore=shutil.ignore_patterns("checkpoints"))
    saved = json.loads((other / "evaluation.json").read_text())
    (other / "evaluation.json").write_text(json.dumps({**saved, "run": "another", "figures": {}}))
    run("report", "third", cwd=trained)
    assert json.loads((other / "evaluation.json").read_text())["figures"] == saved["figures"]


def test_all_rows_that_could_not_be_read_are_counted_though_only_some_are_listed(tmp_path):
    pictures(tmp_path / "photos", ["a", "b"], 60)
    for path in sorted((tmp_path / "photos").glob("*/*.png"))[::2]:
        path.write_bytes(b"no image")
    skipping = ["--on-error", "skip", "--max-bad", 1.0, "--val-split", 0.95]
    model = ["--model", "sklearn:SGDClassifier", "--epochs", 1, "--image-size", 8]
    run("train", "photos", *model, *skipping, "--out", "first", cwd=tmp_path)
    saved = json.loads((tmp_path / "first" / "evaluation.json").read_text())["figures"]
    assert saved["bad_rows"] > len(saved["bad"]) == 50
    assert f"{saved['bad_rows']} rows could not be read and are not counted" in page_of(tmp_path / "first").text


def test_a_run_that_was_resumed_has_all_of_its_commands(tmp_path):
    pictures(tmp_path / "photos", ["a", "b"], 6)
    run("train", "photos", *SMALL, "--image-size", 16, "--out", "first", cwd=tmp_path)
    run("train", "--resume", "--epochs", 3, "--out", "first", cwd=tmp_path)
    page = page_of(tmp_path / "first")
    assert "commands of this run, which was resumed" in page.text
    assert "train --resume --epochs 3 --out first" in page.text


def test_several_runs_are_compared(trained):
    options = [*SMALL, "--val-split", 0.5, "--image-size", 16, "--epochs", 1, "--no-report"]
    run("train", "photos", *options, "--out", "short", cwd=trained)
    assert not (trained / "short" / "report.html").exists()
    assert "wrote report.html" in run("report", "first", "short", cwd=trained).stdout
    page = Page((trained / "report.html").read_text())
    assert "epochs 2 1" in page.text
    assert "seed" not in page.text
    assert "first/report.html" in page.addresses
    assert not any("short" in address for address in page.addresses)
    assert "exists already" in " ".join(run("report", "first", "short", code=1, cwd=trained).stderr.split())
    run("report", "first", "short", "--overwrite", cwd=trained)


def test_folds_are_compared_in_their_folder(tmp_path):
    pictures(tmp_path / "photos", ["a", "b"], 6)
    done = run("train", "photos", *SMALL, "--image-size", 16, "--folds", 2, "--out", "cv", cwd=tmp_path)
    assert "report: cv/report.html" in done.stdout
    page = page_of(tmp_path / "cv")
    summary = json.loads((tmp_path / "cv" / "folds.json").read_text())
    assert "Cross-validation with 2 folds" in page.text
    assert f"mean ± deviation {summary['mean']['val_accuracy']:.3f} ± {summary['std']['val_accuracy']:.3f}" in page.text
    assert "validated on different rows" not in page.text
    assert {"fold-1/report.html", "fold-2/report.html"} <= set(page.addresses)
    assert "wrote again.html" in run("report", "cv", "--out", "again.html", cwd=tmp_path).stdout
    assert "wrote cv/report.html" in run("report", "cv", cwd=tmp_path).stdout


def test_the_validation_rows_are_a_source_with_the_figures_of_the_page(trained, monkeypatch):
    monkeypatch.chdir(trained)
    model = bs.load("first")
    rows = model.validation_rows()
    figures = json.loads((trained / "first" / "evaluation.json").read_text())["figures"]
    measured = model.evaluate(rows)
    assert (len(rows), measured["accuracy"]) == (figures["rows"], figures["accuracy"])
    labels = [rows.classes[label] for label in rows.labels]
    assert np.mean([a == b for a, b in zip(model.predict(rows).labels, labels, strict=True)]) == measured["accuracy"]


def test_python_writes_the_same_page(trained, monkeypatch):
    monkeypatch.chdir(trained)
    before = (trained / "first" / "report.html").read_bytes()
    assert bs.write_report("first") == "first/report.html"
    assert (trained / "first" / "report.html").read_bytes() == before
    with pytest.raises(BadSetting, match="name the folder of a run"):
        bs.write_report()


def table(folder, columns, targets):
    """Write a CSV of numbers; return its name."""
    random = np.random.default_rng(0)
    x = random.normal(size=(60, 2))
    values = targets(x, random)
    lines = [",".join(["a", "b", *columns])]
    lines += [",".join(map(str, [*row.round(3), *value])) for row, value in zip(x, values, strict=True)]
    (folder / "data.csv").write_text("\n".join(lines))
    return "data.csv"


@pytest.mark.parametrize(
    ("columns", "targets", "options", "texts"),
    [
        (["price"], lambda x, r: [[round(v, 2)] for v in 1000 + 300 * x.sum(axis=1)], ["--labels", "price"], ["price: residuals", "MAE of the mean", "Largest errors"]),
        (["p", "q"], lambda x, r: (x * [1, 1000]).round(3).tolist(), ["--labels", "p,q"], ["p: residuals", "q: residuals"]),
        (["kind"], lambda x, r: [["left" if v < 0 else "right"] for v in x[:, 0]], ["--labels", "kind"], ["calibration", "Confusion matrix"]),
    ],
)  # fmt: skip
def test_tables_have_results_of_their_task(tmp_path, columns, targets, options, texts):
    data = table(tmp_path, columns, targets)
    run("train", data, *options, *SMALL, "--out", "first", cwd=tmp_path)
    page = page_of(tmp_path / "first")
    for text in [*texts, "Each ", "MAE" if columns[0] in "pprice" else "accuracy"]:
        assert text in page.text
    assert "nan" not in page.text.lower().split()


def test_errors_in_tiny_units_are_not_zero(tmp_path):
    data = table(tmp_path, ["dose"], lambda x, r: [[repr(float(v))] for v in 5e-9 + 1e-9 * x.sum(axis=1)])
    done = run("train", data, "--labels", "dose", *SMALL, "--out", "first", cwd=tmp_path)
    measured = json.loads((tmp_path / "first" / "evaluation.json").read_text())["figures"]["mae"]
    saved = {line["epoch"]: float(line["val_mae"]) for line in lines_of(tmp_path / "first" / "history.csv")}
    best = json.loads((tmp_path / "first" / "summary.json").read_text())["best_epoch"]
    assert saved[str(best)] == pytest.approx(measured, rel=1e-3)
    assert f"{saved[str(best)]:.3g}" in done.stdout
    assert f"MAE {measured:.3g}" in page_of(tmp_path / "first").text


def test_tags_and_masks_show_their_pictures(tmp_path):
    random = np.random.default_rng(0)
    (tmp_path / "pictures").mkdir()
    lines = ["path,label"]
    for i in range(40):
        there = random.random(2) < 0.5
        pixels = np.zeros((16, 16, 3), np.uint8)
        pixels[:8, :, 0], pixels[8:, :, 1] = 250 * there[0], 250 * there[1]
        Image.fromarray(pixels).save(tmp_path / "pictures" / f"{i}.png")
        tags = [
            name for name, here in zip(("red", "green"), there ^ (i % 4 == 0), strict=True) if here
        ]  # a quarter is wrong
        lines.append(f"pictures/{i}.png,{'|'.join(tags)}")
        for kind, values in (("images", pixels), ("masks", (pixels.max(axis=-1) > 0).astype(np.uint8))):
            (tmp_path / "cells" / kind).mkdir(parents=True, exist_ok=True)
            Image.fromarray(values).save(tmp_path / "cells" / kind / f"{i}.png")
    (tmp_path / "tags.csv").write_text("\n".join(lines))
    options = ["tags.csv", "--tag-delimiter", "|", *SMALL, "--val-split", 0.5, "--epochs", 1, "--learning-rate", 1e-5]
    run("train", *options, "--out", "tags", cwd=tmp_path)
    assert "share of the tags that are there" in (tmp_path / "tags" / "report.html").read_text()
    assert any(address.startswith("data:image/jpeg") for address in page_of(tmp_path / "tags").addresses)
    run("train", "cells", *SMALL[2:], "--image-size", 16, "--out", "cells-run", cwd=tmp_path)
    page = page_of(tmp_path / "cells-run")
    saved = json.loads((tmp_path / "cells-run" / "evaluation.json").read_text())
    assert sum(address.startswith("data:image/jpeg") for address in page.addresses) == 3 * len(saved["examples"]) > 0
    assert "mean IoU" in page.text


def test_rows_that_vanish_after_training_leave_a_report_without_results(trained, capsys):
    folder = trained / "fourth"
    shutil.copytree(trained / "first", folder, ignore=shutil.ignore_patterns("checkpoints"))
    gone = trained / "gone"
    shutil.copytree(trained / "photos", gone)
    source = bs.open(gone)
    shutil.rmtree(gone)
    job = SimpleNamespace(split=Split(source, source), settings=TrainSettings("gone", memory="64MiB"))
    written = write_after_training(job, RunFolder.open(folder), quiet=True)
    assert written == str(folder / "report.html")
    assert "the report has no results" in " ".join(capsys.readouterr().err.split())
    assert "loss" in page_of(folder).text
