"""Interrupt and resume other models, optimizers and settings on one Keras backend. See test_checkpoint.py."""

from __future__ import annotations

import os
import sys
import tempfile
import warnings

import numpy as np

os.environ["KERAS_BACKEND"] = BACKEND = sys.argv[1]
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import keras

import bitesize as bs

random = np.random.default_rng(0)
X = random.random((53, 6), np.float32)
Y = (X.sum(axis=1) > 3).astype(np.int64)


class Breaker(keras.callbacks.Callback):
    """Raises after so many calls."""

    def __init__(self, left):
        super().__init__()
        self.left = left

    def on_train_batch_end(self, batch, logs=None):
        self.left -= 1
        if self.left == 0:
            raise SystemError("broken")


class Subclassed(keras.Model):
    """Has no variables before it is called."""

    def __init__(self):
        super().__init__()
        self.first, self.last = keras.layers.Dense(8, activation="relu"), keras.layers.Dense(2)
        self.noise = keras.layers.GaussianNoise(0.1)

    def call(self, x, training=False):
        return self.last(self.noise(self.first(x), training=training))


def sequence(units=2, activation=None):
    layers = keras.layers
    return keras.Sequential(
        [keras.Input((6,)), layers.Dense(8), layers.Dropout(0.4), layers.Dense(units, activation=activation)]
    )


CLASSES = {"loss": "classes", "metrics": ["accuracy"]}
CASES = {
    "no metrics": (sequence, {"loss": "classes"}, {}),
    "no input shape": (Subclassed, {"optimizer": "rmsprop", **CLASSES}, {}),
    "class weights": (sequence, CLASSES, {"class_weight": {0: 1.0, 1: 3.0}}),
    "inputs as targets": (lambda: sequence(6), {"loss": "mse"}, {"targets": "x"}),
    "loss scaling": (sequence, CLASSES, {"policy": "mixed_float16"}),
    "bfloat16": (sequence, CLASSES, {"policy": "bfloat16"}),
    "learning rate falls": (sequence, CLASSES, {"plateau": True}),
    "large metrics": (lambda: sequence(1, "sigmoid"), {"loss": "binary_crossentropy", "metrics": ["auc", "mae"]}, {}),
}
if BACKEND != "torch":  # which refuses it
    CASES["several steps an execution"] = (sequence, {"steps_per_execution": 3, **CLASSES}, {})


def train(case, folder, at=None):
    make, compiled, others = CASES[case]
    others = dict(others)
    keras.backend.clear_session()
    keras.config.set_dtype_policy(others.pop("policy", "float32"))
    keras.utils.set_random_seed(1)
    model = make()
    if compiled["loss"] == "classes":
        compiled = compiled | {"loss": keras.losses.SparseCategoricalCrossentropy(from_logits=True)}
    model.compile(**({"optimizer": "adam"} | compiled))
    callbacks = [Breaker(at)] if at else []
    if others.pop("plateau", False):
        callbacks.append(keras.callbacks.ReduceLROnPlateau("loss", patience=0, factor=0.5))
    with bs.Loader(bs.open(X, Y), batch_size=5, memory="16 MiB", threads=2) as loader:
        checkpoint = bs.keras.Checkpoint(folder, every_batches=2)
        history = bs.keras.fit(model, loader, epochs=3, checkpoint=checkpoint, callbacks=callbacks, verbose=0, **others)
    return [np.array(keras.ops.convert_to_numpy(v)) for v in (*model.variables, *model.optimizer.variables)], history.history


def main():
    count = 0
    for case in CASES:
        whole = train(case, tempfile.mkdtemp())
        for at in (3, 8) if "several" in case else (3, 14):
            folder = tempfile.mkdtemp()
            try:
                train(case, folder, at)
            except SystemError:
                count += 1
            weights, history = train(case, folder)
            assert history == whole[1], (case, at, history, whole[1])
            for mine, theirs in zip(weights, whole[0], strict=True):
                assert np.array_equal(mine, theirs, equal_nan=True), (case, at)
    sys.stdout.write(f"{count} odd breaks mended in {len(CASES)} cases on {BACKEND}\n")


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main()
