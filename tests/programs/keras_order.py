"""Check on one Keras backend which rows reach the train step, and in which order. See test_keras.py.

The loss itself records the targets it is given, so what is compared is what the model was trained on.
"""

from __future__ import annotations

import itertools
import os
import sys
import warnings

import numpy as np

os.environ["KERAS_BACKEND"] = sys.argv[1]
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
warnings.simplefilter("ignore")

import keras  # noqa: E402

import bitesize as bs  # noqa: E402

BACKEND = sys.argv[1]
N, BATCH = 22, 4
STEPS = -(-N // BATCH)
X = np.arange(N, dtype=np.float32)[:, None] * np.ones((1, 3), np.float32)
Y = np.arange(N, dtype=np.float32) + 1  # 0 is what a look is recognized by, and -1 marks validation
seen: list[list[float]] = []


def _note(values) -> None:
    seen.append(np.array(values).ravel().tolist())


def recording_loss(y_true, y_pred):
    if BACKEND == "jax":
        import jax

        jax.debug.callback(_note, y_true, ordered=True)
    elif BACKEND == "torch":
        _note(y_true.detach().numpy())
    else:
        import tensorflow as tf

        tf.py_function(lambda values: _note(values.numpy()), [y_true], [])
    return keras.ops.mean(keras.ops.square(y_pred - keras.ops.reshape(y_true, (-1, 1))), axis=-1) * 0.0


def recorded() -> list[list[float]]:
    if BACKEND == "jax":
        import jax

        jax.effects_barrier()
    # torch calls the loss once with ones, to build it; validation's targets are negative
    return [batch for batch in seen if min(batch) > 0 and batch != [1.0] * len(batch)]


def stream(loader: bs.Loader, epochs: int) -> list[list[float]]:
    """All batches of our order, one after the other."""
    rows = [loader.order.rows(epoch, 0, N) for epoch in range(epochs)]
    return [(Y[epoch[i : i + BATCH]]).tolist() for epoch in rows for i in range(0, N, BATCH)]


def one_case(*, shuffle: bool, built: bool, steps: int | None, validated: bool, workers: int) -> None:
    seen.clear()
    with (
        bs.Loader(bs.open(X, Y), batch_size=BATCH, memory="16 MiB", seed=5) as loader,
        bs.Loader(bs.open(X, -Y), batch_size=BATCH, memory="16 MiB", shuffle=False) as val_loader,
    ):
        data = bs.to_keras(loader, workers=workers)
        layers = [keras.Input((3,)), keras.layers.Dense(1)]
        model = keras.Sequential(layers if built else layers[1:])
        model.compile(loss=recording_loss, optimizer="sgd", metrics=None if built else ["mae"])
        options = {"shuffle": shuffle, "verbose": 0, "steps_per_epoch": steps}
        if validated:
            options["validation_data"] = bs.to_keras(val_loader)
        model.fit(data, epochs=3, **options)
        model.fit(data, epochs=2, **options)
        got = recorded()
        expected = stream(loader, 7)
        assert got == expected[: len(got)], (shuffle, built, steps, validated, workers, got[:3], expected[:3])
        if steps is None or steps > STEPS:
            assert len(got) == 5 * STEPS
        elif steps == 1:
            assert len(got) == 5
        if validated:
            rows = sorted(set(sum(([-v for v in batch] for batch in seen if max(batch) < 0), [])))
            assert rows == Y.tolist()


def evaluation_and_prediction() -> None:
    with bs.Loader(bs.open(X, Y), batch_size=BATCH, memory="16 MiB", shuffle=False) as loader:
        data = bs.to_keras(loader)
        model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1, use_bias=False, kernel_initializer="ones")])
        model.compile(loss=recording_loss, optimizer="sgd")
        for _ in range(2):
            assert np.allclose(model.predict(data, verbose=0).ravel(), X.sum(axis=1))
        assert np.allclose(model.predict(data, steps=2, verbose=0).ravel(), X[: 2 * BATCH].sum(axis=1))
        assert np.allclose(model.predict(data, verbose=0).ravel(), X.sum(axis=1))
        for steps in (None, 2, 2, None):
            seen.clear()
            model.evaluate(data, steps=steps, verbose=0)
            count = (steps or STEPS) * BATCH
            assert sum(recorded(), []) == Y[: min(N, count)].tolist()


def several_steps_an_execution() -> None:
    seen.clear()
    with bs.Loader(bs.open(X, Y), batch_size=BATCH, memory="16 MiB", seed=2, last="drop") as loader:
        model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
        model.compile(loss=recording_loss, optimizer="sgd", steps_per_execution=5)
        model.fit(bs.to_keras(loader), epochs=2, verbose=0)
        assert len(recorded()) == 2 * len(loader)


def masked_rows_are_left_out() -> None:
    with bs.Loader(bs.open(X, Y), batch_size=BATCH, memory="16 MiB", last="pad", shuffle=False) as loader:
        data = bs.to_keras(loader)
        assert [len(data[i][1]) for i in range(STEPS)] == [BATCH] * (STEPS - 1) + [N % BATCH]
        model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
        model.compile(loss="mse", metrics=["mae"])
        result = model.evaluate(data, verbose=0, return_dict=True)
        error = np.asarray(model.predict_on_batch(X)).ravel() - Y
        assert np.isclose(result["loss"], np.mean(error**2), rtol=1e-4)
        assert np.isclose(result["mae"], np.mean(np.abs(error)), rtol=1e-4)
    with bs.Loader(bs.open(X, Y), batch_size=BATCH, memory="16 MiB") as loader:
        data = bs.to_keras(loader, inputs=["x", "y"], targets=["y"])
        (first, second), (target,) = data[0]
        assert np.array_equal(second, target)
        assert first.shape == (BATCH, 3)


def a_loop_in_between_takes_nothing_away() -> None:
    seen.clear()
    with bs.Loader(bs.open(X, Y), batch_size=BATCH, memory="16 MiB", seed=5) as loader:
        data = bs.to_keras(loader)
        model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
        model.compile(loss=recording_loss, optimizer="sgd")
        model.fit(data, epochs=1, verbose=0)
        for _ in loader:
            break
        model.fit(data, epochs=1, verbose=0)
        assert recorded() == stream(loader, 2)
        loader.set_epoch(5)
        seen.clear()
        model.fit(data, epochs=1, verbose=0)
        assert recorded() == stream(loader, 6)[-STEPS:]


cases = itertools.product((True, False), (True, False), (None, 1, 4, 9), (False, True), (1, 4))
count = 0
for shuffle, built, steps, validated, workers in cases:
    # Every second one, so that any four of the five settings still meet in all ways.
    if (shuffle + built + (steps in (1, 9)) + validated + (workers == 1)) % 2:
        continue
    one_case(shuffle=shuffle, built=built, steps=steps, validated=validated, workers=workers)
    count += 1
evaluation_and_prediction()
if BACKEND != "torch":  # which refuses it
    several_steps_an_execution()
masked_rows_are_left_out()
a_loop_in_between_takes_nothing_away()
sys.stdout.write(f"{count} cases in order on {BACKEND}\n")
