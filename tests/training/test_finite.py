"""A loss that is NaN or infinite ends training; rows are named, and nothing spoiled is saved or restored."""

import importlib.util
import subprocess
import sys
import warnings

import numpy as np
import pytest
from tests.training.test_checkpoint import files

import bitesize as bs
from bitesize.training.snapshot import read_snapshot, write_snapshot

X = np.random.default_rng(0).random((200, 5), np.float32)
Y = X.sum(axis=1)


def fit(folder, x=X, y=Y, rate=1e-3, val=None, epochs=2, every=3):
    import keras

    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((5,)), keras.layers.Dense(4), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(rate), "mse")
    with bs.Loader(bs.open(x, y), batch_size=8, memory="16 MiB") as loader:
        checkpoint = bs.keras.Checkpoint(folder, every_batches=every)
        if val is None:
            return bs.keras.fit(model, loader, epochs=epochs, checkpoint=checkpoint, verbose=0)
        with bs.Loader(bs.open(*val), batch_size=8, memory="16 MiB", shuffle=False) as held:
            return bs.keras.fit(model, loader, epochs=epochs, validation_data=held, checkpoint=checkpoint, verbose=0)


def spoiled(array, row, value=np.nan):
    copy = array.copy()
    copy[row] = value
    return copy


def refused(*arguments, **settings):
    with pytest.raises(bs.NotFinite) as caught:
        fit(*arguments, **settings)
    return str(caught.value), caught.value.rows


def weights_are_finite(folder):
    for path in folder.glob("*.npz"):
        _, arrays = read_snapshot(path)
        assert all(np.isfinite(array).all() for name, array in arrays.items() if name.startswith("weights/"))


def test_rows_are_named_whose_inputs_or_targets_are_not_finite(tmp_path):
    for i, (settings, field) in enumerate(
        [
            ({"x": spoiled(X, (77, 2))}, "1 of 5 values of x"),
            ({"y": spoiled(Y, 77, np.inf)}, "y is NaN or infinite"),
        ]
    ):
        said, rows = refused(tmp_path / str(i), **settings)
        assert f"row 77: {field}" in said
        assert rows == (77,)
        assert " of epoch 1: rows of the batch have values that are NaN or infinite" in said
        weights_are_finite(tmp_path / str(i))


def test_rows_of_validation_are_named_and_its_epoch_is_continued_once_they_are_mended(tmp_path):
    whole = fit(tmp_path / "whole", val=(X[:40], Y[:40]))
    said, rows = refused(tmp_path / "a", val=(spoiled(X, (17, 0))[:40], Y[:40]))
    assert "val_loss is nan after epoch 1: rows of the validation data" in said
    assert rows == (17,)
    assert files(tmp_path / "a")[-1].endswith("-epoch0-batch25.npz")  # all batches of the epoch
    weights_are_finite(tmp_path / "a")
    assert fit(tmp_path / "a", val=(X[:40], Y[:40])).history == whole.history


def test_training_that_diverges_says_what_to_try(tmp_path):
    said, rows = refused(tmp_path, rate=1e18)
    assert "all values of the batch are finite: training diverged. Try a lower learning rate (it was 1e+18)" in said
    assert "scale the values, which went from" in said
    assert rows == ()
    weights_are_finite(tmp_path)


def test_weights_that_the_last_batch_of_an_epoch_spoils_are_noticed(tmp_path):
    # The loss of the only batch is about 1e36, and the step that follows is beyond float32.
    said, _ = refused(tmp_path, x=X[:8] * np.float32(1e18), y=Y[:8], rate=1e6, epochs=1)
    assert "the weights " in said
    assert "are NaN or infinite after batch 1 of epoch 1" in said
    assert files(tmp_path) == ["000001-epoch0-batch0.npz"]


def test_what_is_mended_is_continued_from_the_last_good_checkpoint(tmp_path):
    whole = fit(tmp_path / "whole")
    for _ in range(2):  # from the beginning, and within the epoch
        assert refused(tmp_path / "a", x=spoiled(X, 33, np.inf))[1] == (33,)
    assert len(files(tmp_path / "a")) > 1
    assert fit(tmp_path / "a").history == whole.history


def test_a_checkpoint_with_weights_that_are_nan_is_passed_over(tmp_path):
    whole = fit(tmp_path, epochs=1)
    newest = sorted(tmp_path.iterdir())[-1]
    state, arrays = read_snapshot(newest)
    write_snapshot(newest, state, arrays | {"weights/0": np.full_like(arrays["weights/0"], np.nan)})
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        history = fit(tmp_path, epochs=1)
    assert any("weights/0 has values that are NaN" in str(each.message) for each in caught)
    assert history.history == whole.history


def test_a_fit_of_ones_own_saves_no_weights_that_are_nan(tmp_path):
    import keras

    model = keras.Sequential([keras.Input((5,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    with bs.Loader(bs.open(spoiled(X, (5, 1)), Y), batch_size=8, memory="16 MiB") as loader:
        data, checkpoint = bs.to_keras(loader), bs.keras.Checkpoint(tmp_path, every_batches=1)
        checkpoint.restore(model, loader)
        with pytest.raises(bs.NotFinite, match="no checkpoint is saved"):
            model.fit(data, callbacks=[checkpoint], verbose=0)
        checkpoint.close()
    weights_are_finite(tmp_path)


def test_an_estimator_that_refuses_nan_names_the_rows():
    linear = pytest.importorskip("sklearn.linear_model")
    labels = (X[:, 0] > 0.5).astype(int)
    with bs.Loader(bs.open(spoiled(X, (77, 1)), labels), batch_size=8, memory="16 MiB") as loader:
        with pytest.raises(bs.NotFinite, match="row 77: 1 of 5 values of x") as caught:
            bs.sklearn.partial_fit(linear.SGDClassifier(), loader)
        assert caught.value.rows == (77,)
    with (
        bs.Loader(bs.open(X, Y), batch_size=8, memory="16 MiB") as loader,
        pytest.raises(bs.NotFinite, match="training diverged"),
    ):
        bs.sklearn.partial_fit(linear.SGDRegressor(eta0=1e200), loader)


@pytest.mark.framework
@pytest.mark.timeout(600)
@pytest.mark.parametrize("backend", ["jax", "torch", "tensorflow"])
def test_rows_are_named_on_every_backend(backend, tmp_path):
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
    program = (
        f"import os; os.environ['KERAS_BACKEND'] = {backend!r}\n"
        "import pathlib, sys\n"
        "from tests.training.test_finite import *\n"
        "folder = pathlib.Path(sys.argv[1])\n"
        "test_rows_are_named_whose_inputs_or_targets_are_not_finite(folder / 'a')\n"
        "test_rows_of_validation_are_named_and_its_epoch_is_continued_once_they_are_mended(folder / 'b')\n"
        "test_training_that_diverges_says_what_to_try(folder / 'c')\n"
        "test_what_is_mended_is_continued_from_the_last_good_checkpoint(folder / 'd')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, check=False, timeout=580
    )
    assert done.returncode == 0, done.stderr[-3000:]
