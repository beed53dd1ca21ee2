"""Check on one Keras backend that inspecting a dataset takes no rows from training. See test_keras.py."""

from __future__ import annotations

import importlib.util
import os
import sys

os.environ["KERAS_BACKEND"] = sys.argv[1]

import keras
import numpy as np

import bitesize as bs

ROWS, BATCH = 24, 4
X = np.arange(ROWS, dtype=np.float32)[:, None] * np.ones((1, 3), np.float32)
Y = np.arange(ROWS, dtype=np.float32) + 1.0


class Recorder(keras.Model):
    """Notes the labels it is trained on, step by step."""

    def __init__(self):
        super().__init__()
        self.dense = keras.layers.Dense(1)
        self.noted = []

    def call(self, x):
        """Learn a little."""
        return self.dense(x)

    def train_step(self, *given):
        """Note the labels, which come last whatever the backend."""
        self.noted.append(np.array(given[-1][1]).astype(int))
        return super().train_step(*given)

    def seen(self):
        """Give the labels, in order."""
        return np.concatenate(self.noted).tolist()


def make(**settings):
    """Make a loader and a model."""
    loader = bs.Loader(bs.open(X, Y), **{"batch_size": BATCH, "memory": "16 MiB", "threads": 2, **settings})
    model = Recorder()
    model(X[:BATCH])
    model.compile("sgd", "mse", run_eagerly=True)
    return loader, bs.to_keras(loader), model


def expected(loader, epochs):
    """Give the labels of epochs, in the loader's order."""
    return [int(row) + 1 for epoch in epochs for row in loader.order.rows(epoch, 0, ROWS)]


def predict(model, data, *, in_order):
    """Predict in the order of the rows; from a shuffled loader not at all."""
    if in_order:
        assert np.allclose(model.predict(data, verbose=0), keras.ops.convert_to_numpy(model(X)), atol=1e-5)
        return
    try:
        model.predict(data, verbose=0)
    except bs.BadSetting as error:
        assert "shuffle=False" in str(error), error
    else:
        raise AssertionError("predictions came in another order than the rows")


def halves(shuffle):
    """Halves of epochs, with evaluation and prediction between them."""
    loader, data, model = make(shuffle=shuffle)
    for _ in range(4):
        model.fit(data, steps_per_epoch=3, epochs=1, verbose=0)
        model.evaluate(data, verbose=0)
        predict(model, data, in_order=not shuffle)
    assert model.seen() == expected(loader, (0, 1)), "halves"
    assert (loader.epoch, loader.state_dict()["position"]) == (2, 0)


def by_callback(shuffle):
    """A callback that evaluates the training data after each epoch."""

    class Looks(keras.callbacks.Callback):
        """Evaluates and predicts."""

        def on_epoch_end(self, epoch, logs=None):
            """Look."""
            self.model.evaluate(data, verbose=0)
            predict(self.model, data, in_order=not shuffle)

    for steps in (None, 3):
        loader, data, model = make(shuffle=shuffle)
        model.fit(data, epochs=4, steps_per_epoch=steps, callbacks=[Looks()], verbose=0)
        assert model.seen() == expected(loader, range(4 if steps is None else 2)), f"by callback, {steps} steps"


def before_training(shuffle):
    """Looks of all kinds before the first epoch."""
    if importlib.util.find_spec("tensorflow"):  # which Keras wants for this, on any backend
        scale = keras.layers.Normalization()
        scale.adapt(bs.to_keras(bs.Loader(bs.open(X), batch_size=BATCH, memory="16 MiB", seed=5)))
        assert np.allclose(np.asarray(scale.mean).ravel()[0], X.mean(), atol=1e-4), np.asarray(scale.mean)
    loader, data, model = make(seed=5, shuffle=shuffle)
    model.evaluate(data, verbose=0)
    predict(model, data, in_order=not shuffle)
    first = np.asarray(data[0][1]).astype(int).tolist()
    assert np.asarray(data[2][1]).astype(int).tolist() == expected(loader, (0,))[2 * BATCH : 3 * BATCH]
    assert first == expected(loader, (0,))[:BATCH]
    model.fit(data, epochs=2, verbose=0)
    assert model.seen() == expected(loader, (0, 1)), "before training"


def loops():
    """Loops of the user's own."""
    loader, data, model = make(shuffle=False)
    assert np.asarray(data[0][1]).tolist() == [1, 2, 3, 4]
    for _ in data:
        break
    for _ in range(2):
        assert np.concatenate([np.array(y) for _, y in data]).tolist() == Y.tolist()
    assert loader.epoch == 2
    assert np.allclose(model.predict(data, verbose=0), keras.ops.convert_to_numpy(model(X)), atol=1e-5)
    with_raises = []
    try:
        with_raises += [x for x, _ in data]
    except bs.BatchesHeld as error:
        with_raises.append(error)
    assert isinstance(with_raises[-1], bs.BatchesHeld)


def stopped():
    """Training that ends within an epoch goes on there."""

    class Stops(keras.callbacks.Callback):
        """Stops behind the fourth batch."""

        def on_train_batch_end(self, batch, logs=None):
            """Stop."""
            if batch == 3:
                self.model.stop_training = True

    loader, data, model = make()
    model.fit(data, epochs=5, callbacks=[Stops()], verbose=0)
    model.fit(data, epochs=1, verbose=0)
    seen = model.seen()
    if sys.argv[1] == "tensorflow":  # which takes batches ahead, so that some may come again; none is left out
        assert set(seen) >= set(expected(loader, (0,)))
    else:
        assert seen == expected(loader, (0, 1))[: 4 * BATCH + ROWS], "stopped"


def every_row():
    """Predictions of all rows, or none: also where rows are left out, come by weight, or are those of one rank."""
    for settings in (
        {"order": "balanced"},
        {"order": bs.Order(ROWS, shuffle=False, limit_rows=9)},
        {"order": bs.Order(ROWS, shuffle=False, repeat=2)},
        {"shuffle": False, "batch_size": 7, "last": "drop"},
        {"shuffle": False, "shard": bs.Shard(0, 2)},
    ):
        source = bs.open(X, np.arange(ROWS) % 2)
        with bs.Loader(source, **{"batch_size": BATCH, "memory": "16 MiB", "threads": 2, **settings}) as loader:
            model = Recorder()
            model(X)
            try:
                model.predict(bs.to_keras(loader), verbose=0)
            except bs.BadSetting as error:
                assert str(error).startswith("predict "), error
            else:
                raise AssertionError(f"predictions of a loader with {settings}")
    for settings in ({"last": "drop"}, {"last": "pad", "batch_size": 7}, {"batch_size": 7}):
        _, data, model = make(shuffle=False, **settings)
        predict(model, data, in_order=True)


def names_of_inputs():
    """Inputs by the names that the model has for them, targets too, weights, and no targets."""
    source = bs.zip(first=bs.open(X), second=bs.open(-X), target=bs.open(Y), weight=bs.open(np.arange(ROWS) % 2.0))
    source.weight_name = "weight"
    inputs = {name: keras.Input((3,), name=name) for name in ("b", "a")}
    out = keras.layers.Dense(1, name="sum", kernel_initializer="ones")(keras.layers.Subtract()([inputs["a"], inputs["b"]]))
    model = keras.Model(inputs, {"sum": out})
    model.compile("sgd", {"sum": "mse"})
    expected = (6 * X[:, :1]).ravel()
    loss = np.mean((expected - Y) ** 2 * (np.arange(ROWS) % 2))
    with bs.Loader(source, batch_size=ROWS, memory="16 MiB", shuffle=False) as loader:
        named = {"inputs": {"a": "first", "b": "second"}, "targets": {"sum": "target"}}
        data = bs.to_keras(loader, **named)
        assert data.weight_name == "weight"
        assert np.isclose(model.evaluate(data, verbose=0), loss, rtol=1e-4)
        data = bs.to_keras(loader, **named, weights=False)
        assert np.isclose(model.evaluate(data, verbose=0), np.mean((expected - Y) ** 2), rtol=1e-4)
        for targets in (False, None):
            data = bs.to_keras(loader, inputs=named["inputs"], targets=targets)
            assert [type(part) for part in data[0]] == [dict]
            assert np.allclose(model.predict(data, verbose=0)["sum"].ravel(), expected)
        model.fit(bs.to_keras(loader, **named), epochs=2, verbose=0)
        listed = bs.to_keras(loader, inputs=["first", "second"], targets="target", weights="weight")
        assert isinstance(listed[0][0], tuple if sys.argv[1] == "tensorflow" else list)


for case in (halves, by_callback, before_training):
    for shuffle in (True, False):
        case(shuffle)
for case in (loops, stopped, every_row, names_of_inputs):
    case()
sys.stdout.write(f"looks take nothing on {sys.argv[1]}\n")
