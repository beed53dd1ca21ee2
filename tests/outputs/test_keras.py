"""What Keras trains on is our order, on each of its backends."""

import importlib.util
import json
import os
import subprocess
import sys

import numpy as np
import pytest
from tests.conftest import compiled_once
from tests.programs import run_program

import bitesize as bs


def needs(backend: str):
    for name in ("keras", backend):
        if importlib.util.find_spec(name) is None:
            pytest.skip(f"{name} is not installed")


@pytest.mark.slow
@pytest.mark.framework
@pytest.mark.parametrize("backend", ["jax", "torch", "tensorflow"])
def test_what_reaches_the_train_step_is_our_order(backend, tmp_path):
    needs(backend)
    with compiled_once(tmp_path):
        done = run_program("keras_order", backend, timeout=280)
    assert f"32 cases in order on {backend}" in done.stdout


@pytest.mark.slow
@pytest.mark.framework
@pytest.mark.parametrize("backend", ["jax", "torch", "tensorflow"])
def test_whatever_only_looks_takes_nothing_from_training(backend):
    needs(backend)
    done = run_program("keras_inspection", backend, timeout=280)
    assert f"looks take nothing on {backend}" in done.stdout


@pytest.fixture(scope="module")
def looped():
    """Hash what a loop gets with one thread."""
    from tests.programs.keras_pixels import in_a_loop

    return {seed: in_a_loop(1, seed) for seed in (5, 6)}


@pytest.mark.parametrize("threads", [2, 3, 7, 16])
def test_rows_and_pixels_in_a_loop_are_the_same_with_any_threads_and_others_with_another_seed(looped, threads):
    from tests.programs.keras_pixels import in_a_loop

    assert in_a_loop(threads, 5) == looped[5]
    assert looped[5] != looped[6]


@pytest.mark.framework
@pytest.mark.parametrize("backend", ["jax", "torch", "tensorflow"])
def test_rows_and_pixels_that_reach_the_train_step_are_those_of_a_loop(backend, looped):
    needs(backend)
    done = run_program("keras_pixels", backend, timeout=280)
    hashes = json.loads(done.stdout.splitlines()[-1])
    assert hashes == {"1, 5": looped[5], "3, 5": looped[5], "16, 5": looped[5], "2, 6": looped[6]}


class Fields(bs.Source):
    """Rows of several fields, as tables and HDF5 files have them."""

    def __init__(self, **fields):
        self.fields = {name: np.asarray(array, np.float32) for name, array in fields.items()}
        self.spec = {name: bs.Field(array.shape[1:], array.dtype) for name, array in self.fields.items()}

    def __len__(self):
        return len(self.fields["x"])

    def read(self, rows, into):
        for name, array in self.fields.items():
            into[name][...] = array[rows]

    def _identity(self):
        return b"".join(array.tobytes() for array in self.fields.values())


def make_fields():
    random = np.random.default_rng(0)
    x, other = random.random((70, 3)), random.random((70, 2))
    return Fields(x=x, other=other, y=x.sum(axis=1), z=other.sum(axis=1), w=np.arange(70) % 2)


def test_several_inputs_targets_and_weights_reach_the_model():
    import keras

    keras.utils.set_random_seed(0)
    inputs = keras.Input((3,), name="x"), keras.Input((2,), name="other")
    joined = keras.layers.Concatenate()(inputs)
    model = keras.Model(inputs, [keras.layers.Dense(1)(joined), keras.layers.Dense(1)(joined)])
    model.compile(keras.optimizers.Adam(0.05), ["mse", "mae"])
    source = make_fields()
    with bs.Loader(source, batch_size=16, memory="16 MiB") as loader:
        data = bs.to_keras(loader, inputs=["x", "other"], targets=["y", "z"])
        first, *_, last = model.fit(data, epochs=30, verbose=0).history["loss"]
    assert last < first / 10
    with bs.Loader(source, batch_size=16, memory="16 MiB", shuffle=False) as loader:
        found = model.predict(bs.to_keras(loader, inputs=["x", "other"], targets=["y", "z"]), verbose=0)
    expected = model.predict_on_batch([source.fields["x"], source.fields["other"]])
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


def test_weights_weigh_the_loss():
    import keras

    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    source = make_fields()
    with bs.Loader(source, batch_size=70, memory="16 MiB", shuffle=False) as loader:
        loss = model.evaluate(bs.to_keras(loader, weights="w"), verbose=0)
        with pytest.raises(bs.BadSetting, match="no field 'v'"):
            bs.to_keras(loader, weights="v")
    weighed = model.evaluate(
        source.fields["x"], source.fields["y"], sample_weight=source.fields["w"], batch_size=70, verbose=0
    )
    np.testing.assert_allclose(loss, weighed, rtol=1e-5)
    assert abs(loss - model.evaluate(source.fields["x"], source.fields["y"], batch_size=70, verbose=0)) > 1e-6


def weighed(weight_name="w"):
    source = make_fields()
    source.weight_name = weight_name
    return source


def test_weights_of_the_data_weigh_the_loss_and_that_is_said(caplog):
    import keras

    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    source = weighed()
    given = {"x": source.fields["x"], "y": source.fields["y"], "batch_size": 70, "verbose": 0}
    plain, heavy = model.evaluate(**given), model.evaluate(**given, sample_weight=source.fields["w"])
    caplog.set_level("INFO", "bitesize")
    with bs.Loader(source, batch_size=70, memory="16 MiB", shuffle=False) as loader:
        data = bs.to_keras(loader)
        assert data.weight_name == "w"
        assert "'w' weights each row in the loss (weights=False turns this off)" in caplog.text
        np.testing.assert_allclose(model.evaluate(data, verbose=0), heavy, rtol=1e-5)
        np.testing.assert_allclose(model.evaluate(bs.to_keras(loader, weights=False), verbose=0), plain, rtol=1e-5)
        with pytest.raises(bs.BadSetting, match=r"takes either class_weight or weights of rows.*'w'"):
            model.fit(data, class_weight={0: 1.0, 1: 2.0}, verbose=0)
        with pytest.raises(bs.BadSetting, match="the name of a field, or False, not True"):
            bs.to_keras(loader, weights=True)
        assert bs.to_keras(loader, targets=False).weight_name is None
        assert bs.to_keras(loader, targets="w").weight_name is None
        assert len(bs.to_keras(loader, targets=False)[0]) == 1
    with bs.Loader(source.split(0.5)[0].subset(range(10)), batch_size=5, memory="16 MiB") as loader:
        assert bs.to_keras(loader).weight_name == "w"
        assert bs.keras.fit(model, loader, epochs=1, verbose=0).epoch


def test_fields_are_named_by_text_a_list_or_a_dict():
    with bs.Loader(make_fields(), batch_size=10, memory="16 MiB") as loader:
        for wrong in ({"inputs": {"x": "nothing"}}, {"targets": {"out": "nothing"}}, {"inputs": ["x", "nothing"]}):
            with pytest.raises(bs.BadSetting, match="no field 'nothing': its fields are x, other, y, z, w"):
                bs.to_keras(loader, **wrong)
        with pytest.raises(bs.BadSetting, match="must be a string, a list of strings or a dict, not 3"):
            bs.to_keras(loader, inputs=3)


def test_one_hot_labels_train_with_categorical_crossentropy():
    import keras

    keras.utils.set_random_seed(0)
    x = np.random.default_rng(0).normal(size=(300, 4)).astype(np.float32)
    source = bs.open(x, np.array(["ant", "bee", "cow"])[x[:, :3].argmax(axis=1)]).one_hot()
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, "softmax")])
    model.compile(keras.optimizers.Adam(0.1), "categorical_crossentropy", metrics=["accuracy"])
    with bs.Loader(source, batch_size=50, memory="16 MiB") as loader:
        history = model.fit(bs.to_keras(loader), epochs=15, verbose=0).history
    assert history["accuracy"][-1] > 0.9


def test_a_batch_is_spread_over_eight_devices_by_data_parallel():
    needs("jax")
    program = """
import keras, jax, numpy as np, bitesize as bs
keras.distribution.set_distribution(keras.distribution.DataParallel(auto_shard_dataset=False))
keras.utils.set_random_seed(0)
random = np.random.default_rng(0)
x = random.random((160, 5), np.float32)
model = keras.Sequential([keras.Input((5,)), keras.layers.Dense(1)])
model.compile(keras.optimizers.Adam(0.05), "mse")
with bs.Loader(bs.open(x, x.sum(axis=1)), batch_size=32, memory="16 MiB") as loader:
    first, *_, last = model.fit(bs.to_keras(loader), epochs=40, verbose=0).history["loss"]
assert last < first / 20, (first, last)
print(len(model.weights[0].value.sharding.device_set), "devices")
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
        env={**os.environ, "KERAS_BACKEND": "jax", "XLA_FLAGS": "--xla_force_host_platform_device_count=8"},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert "8 devices" in done.stdout


ON_TORCH = """
import sys
import keras, numpy as np, torch
import bitesize as bs

x = np.arange(80 * 6, dtype=np.float32).reshape(80, 6)
data = bs.open(x, np.arange(80))

class Metric(keras.metrics.Metric):
    labels = []
    def update_state(self, y_true, y_pred, sample_weight=None):
        self.labels.append(y_true)  # whoever keeps targets keeps no slot
    def result(self):
        return torch.tensor(float(len(self.labels)))

class Model(keras.Model):
    at = set()
    def train_step(self, given):
        self.at.add(given[0].data_ptr())
        return super().train_step(given)
    def __init__(self):
        super().__init__()
        self.dense = keras.layers.Dense(1)
    def call(self, x):
        return self.dense(x)

with bs.Loader(data, batch_size=8, memory="16 MiB", threads=2) as loader:
    slots = set()
    for _ in range(3):
        slots |= {batch["x"].ctypes.data for batch in loader}
    model = Model()
    model.compile("sgd", "mse", metrics=[Metric()])
    model.fit(bs.to_keras(loader), epochs=3, verbose=0)
    assert model.at <= slots, "inputs were copied"
    assert sorted(torch.cat(Metric.labels[-10:]).tolist()) == list(range(80))

with bs.Loader(data, batch_size=8, memory="16 MiB", threads=2, shuffle=False) as loader:
    same = keras.Sequential([keras.Input((6,)), keras.layers.Identity()])
    assert np.array_equal(same.predict(bs.to_keras(loader), verbose=0), x)

odd = bs.open(np.arange(80, dtype=np.uint16).reshape(80, 1), np.arange(80))  # PyTorch knows less of uint16 than NumPy
with bs.Loader(odd, batch_size=8, memory="16 MiB", threads=2) as loader:
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    model.fit(bs.to_keras(loader), epochs=1, verbose=0)
sys.stdout.write("done")
"""


@pytest.mark.framework
def test_on_torch_inputs_are_not_copied_and_what_a_model_keeps_is():
    needs("torch")
    done = subprocess.run(
        [sys.executable, "-c", ON_TORCH],
        env={**os.environ, "KERAS_BACKEND": "torch"},
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.endswith("done")
