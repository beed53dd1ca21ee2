"""A run with labels in a place of their own: evaluation on its data finds them again, and other data has its own."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
from PIL import Image
from tests.cli.running import run

import bitesize as bs

pytest.importorskip("keras")

ROWS = 20
CELLS = {"classify": "ab", "multilabel": ("p|q", "q", "p", ""), "regress": tuple(map(str, np.arange(ROWS) * 1.5))}


def pictures(folder, seed):
    """Write pictures without labels, and beside them a table of labels for each task, and masks."""
    random = np.random.default_rng(seed)
    for kind, shape, values in (("pictures", (12, 12, 3), 255), ("masks", (12, 12), 2)):
        (folder / kind).mkdir(parents=True)
        for i in range(ROWS):
            Image.fromarray(random.integers(0, values, shape).astype(np.uint8)).save(folder / kind / f"{i:02}.png")
    for task, cells in CELLS.items():
        with (folder / f"{task}.csv").open("w", newline="") as file:
            lines = [(f"{i:02}.png", cells[i % len(cells)]) for i in range(ROWS)]
            csv.writer(file).writerows([("path", "label"), *lines])
    return folder


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    top = tmp_path_factory.mktemp("labels")
    for seed, name in enumerate(("own", "other")):
        pictures(top / name, seed)
    return top


@pytest.fixture(scope="module", params=[*CELLS, "segment"])
def trained(request, place):
    """A run of each task, which was started in the folder of its data, and the name of the labels."""
    labels = "masks" if request.param == "segment" else f"{request.param}.csv"
    out = place / f"run-{request.param}"
    words = ["pictures", "--labels", labels, "--epochs", 1, "--image-size", 12, "--batch-size", 4, "--out", out]
    words += ["--model", "unet" if request.param == "segment" else "mlp"]
    words += ["--tag-delimiter", "|"] if request.param == "multilabel" else []
    run("train", *words, cwd=place / "own")
    return out, labels


def evaluated(*words, cwd=None):
    return json.loads(run("evaluate", *words, "--json", cwd=cwd).stdout)


def test_the_data_of_the_run_is_evaluated_with_its_labels_from_any_directory(place, trained):
    out, labels = trained
    expected = evaluated(out, "pictures", "--labels", labels, cwd=place / "own")
    assert expected["rows"] == ROWS
    assert expected["training_rows"] == ROWS - 2
    assert evaluated(out, place / "own" / "pictures") == expected
    assert evaluated(out, cwd=place / "own") == expected
    assert evaluated(out, "--part", "val")["rows"] == 2
    assert bs.load(out).evaluate(str(place / "own" / "pictures"))["loss"] == pytest.approx(expected["loss"])
    said = " ".join(run("evaluate", out, cwd=place / "own").stdout.split())
    assert "data: pictures, on which the run was trained" in said
    assert f"labels: {labels}, with which the run was trained" in said


def test_other_data_needs_labels_of_its_own(place, trained):
    out, labels = trained
    other = place / "other" / "pictures"
    found = evaluated(out, other, "--labels", place / "other" / labels)
    assert found["rows"] == ROWS
    assert "training_rows" not in found
    said = " ".join(run("evaluate", out, other, code=1).stderr.split())
    assert f"The labels of the training data are in {place / 'own' / labels}: name those of" in said


def test_labels_that_are_gone_are_named(place, trained):
    out, labels = trained
    if labels == "masks":
        pytest.skip("a folder that is gone could as well be a column")
    (place / "own" / labels).rename(place / "own" / "moved")
    try:
        said = " ".join(run("evaluate", out, code=1).stderr.split())
    finally:
        (place / "own" / "moved").rename(place / "own" / labels)
    assert f"{labels} does not exist: the labels that the run was trained with" in said
