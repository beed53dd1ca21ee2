"""A trained model and its predictions as outputs of cells."""

from pathlib import Path

import numpy as np
import pytest
from tests.html.reading import page_of

import bitesize as bs
from bitesize.training.mask_predictions import MaskPredictions
from bitesize.training.predictions import NumberPredictions, TagPredictions

RUN = Path(__file__).parents[1] / "golden" / "v1" / "run"
EVIL = "<b>&"


def test_a_trained_model_shows_its_task_its_score_and_its_curves():
    pytest.importorskip("keras")
    model = bs.load(RUN)
    page = page_of(model)
    assert {"classify", "rows of 2", "2: left, right", "validation accuracy 0.667 after 2 epochs"} <= set(page.cells)
    assert page.html.count("<svg") == 2
    assert model.history["loss"][0] == 0.648452


def test_predictions_show_their_first_rows_and_the_reasons_of_those_without():
    values = np.tile(np.array([0.25, 0.75], np.float32), (30, 1))
    values[1] = np.nan
    page = page_of(bs.Predictions(values, ("cat", EVIL), "{}.jpg".format, {1: "damaged"}))
    assert "30 rows, the first 10; cat, <b>&" in page.text
    assert page.cells[:7] == ["row", "class", "probability", "0.jpg", EVIL, "0.750", "1.jpg"]
    assert "no prediction: damaged" in page.cells


def test_the_number_of_predictions_has_its_noun():
    values = np.array([[0.25, 0.75], [0.5, 0.5]], np.float32)
    assert repr(bs.Predictions(values[:1], ("cat", "dog"), str)).startswith("Predictions(1 row, classes cat, dog):")
    assert repr(NumberPredictions(values, ("price", "size"), str)).startswith("NumberPredictions(2 rows of price, size):")


def test_tags_and_numbers_and_masks_are_shown():
    values = np.array([[0.9, 0.6]], np.float32)
    assert "round, red" in page_of(TagPredictions(values, ("round", "red"), "{}.jpg".format)).cells
    assert "price 0.9, size 0.6" in page_of(NumberPredictions(values, ("price", "size"), "{}.jpg".format)).cells
    masks = np.zeros((2, 8, 8), np.uint8)
    masks[0, :4] = 1
    page = page_of(MaskPredictions(masks, ("sky", "tree"), (0, 1), "{}.png".format))
    assert [image["alt"] for image in page.images] == [
        "mask of 0.png: sky 50 %, tree 50 %",
        "mask of 1.png: sky 100 %, tree 0 %",
    ]
    volumes = page_of(MaskPredictions(np.zeros((1, 4, 8, 8), np.uint8), ("sky",), (0,), str))
    assert len(volumes.images) == 1


def test_predicting_and_evaluating_report_their_rows(capsys):
    pytest.importorskip("keras")
    model = bs.load(RUN)
    values = np.random.default_rng(0).normal(size=(70, 2)).astype(np.float32)
    seen = []
    model.predict(values, progress=seen.append)
    assert sum(seen) == 70
    seen.clear()
    model.evaluate(values, ["left", "right"] * 35, progress=seen.append)
    assert sum(seen) == 70
    model.predict(values, progress=True)
    assert capsys.readouterr().err.startswith("predicting: 70/70 rows, ")
