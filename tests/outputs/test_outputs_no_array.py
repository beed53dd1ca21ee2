"""A loader that is given where arrays are expected says what makes a framework's data of it."""

import numpy as np
import pytest

import bitesize as bs


@pytest.fixture
def loader():
    with bs.Loader(bs.open(np.zeros((20, 4), np.float32), [0, 1] * 10), batch_size=5, memory="16 MiB") as loader:
        yield loader


def test_fit_of_keras_names_to_keras(loader):
    keras = pytest.importorskip("keras")
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    data = bs.to_keras(loader)
    for fails in (
        lambda: model.fit(loader, verbose=0),
        lambda: model.evaluate(loader, verbose=0),
        lambda: model.predict(loader, verbose=0),
        lambda: model.fit(data, validation_data=loader, verbose=0),
    ):
        with pytest.raises(bs.BadSetting, match=r"bs\.to_keras\(loader\)"):
            fails()
    model.fit(data, verbose=0)


def test_fit_of_scikit_learn_names_partial_fit(loader):
    linear = pytest.importorskip("sklearn.linear_model")
    with pytest.raises(bs.BadSetting, match=r"bs\.sklearn\.partial_fit\(model, loader\)"):
        linear.SGDClassifier().fit(loader, np.zeros(20))


def test_no_array_is_made_of_a_loader(loader):
    for make in (np.asarray, bs.open):
        with pytest.raises(bs.BadSetting, match=r"^a loader yields batches and is not an array"):
            make(loader)
    assert not hasattr(loader, "shape")
