"""The history of a training."""

import math
from pathlib import Path

import numpy as np
import pytest
from tests.html.reading import Page, page_of

import bitesize as bs
from bitesize.training.history import History, read_history

RUN = Path(__file__).parents[1] / "golden" / "v1" / "run"


def test_the_history_of_a_run_is_that_of_its_file():
    history = read_history(RUN)
    assert history["val_loss"] == (0.573283, 0.56492)
    assert history.epochs == 2
    assert list(history) == ["accuracy", "loss", "val_accuracy", "val_loss", "seconds", "rows_per_second"]


def test_a_run_without_history_has_an_empty_one(tmp_path):
    (tmp_path / "1").mkdir()
    assert read_history(tmp_path / "1").epochs == 0
    (tmp_path / "history.csv").write_text("epoch,loss,val_loss\n1,0.5,\n2,odd,0.25\n")
    history = read_history(tmp_path)
    assert history["loss"][0] == 0.5
    assert math.isnan(history["loss"][1])
    assert math.isnan(history["val_loss"][0])
    assert "0.25" in page_of(history).cells


def test_training_and_validation_share_a_chart_and_the_last_epochs_are_in_the_table():
    page = page_of(History({"accuracy": [0.5] * 30, "loss": np.linspace(2, 1, 30), "val_loss": [1.0] * 30}))
    assert page.html.count("<svg") == 2
    assert page.html.index("loss by epoch") < page.html.index("accuracy by epoch")
    assert "the last 10 of 30 epochs" in page.text
    assert page.cells[:5] == ["epoch", "loss", "accuracy", "val_loss", "21"]
    assert page_of(History({})).cells == []


@pytest.mark.slow
def test_fit_returns_a_history_of_keras_that_a_notebook_shows():
    keras = pytest.importorskip("keras")
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    model.compile(optimizer="sgd", loss="mse")
    with bs.Loader(bs.open(np.ones((8, 3)), np.ones(8)), batch_size=4, memory="16 MiB") as loader:
        history = bs.keras.fit(model, loader, epochs=3, verbose=0)
        assert isinstance(history, keras.callbacks.History)
        assert repr(history).startswith("History(3 epochs: loss ")
        page = Page(history._repr_html_())
        assert page.cells[:2] == ["epoch", "loss"]
        assert len(page.cells) == 8
        own = keras.callbacks.History()
        assert bs.keras.fit(model, loader, epochs=1, verbose=0, callbacks=[own]) is own
