"""Interrupt and resume training on one Keras backend: it ends bit for bit as training that never stopped. See test_checkpoint.py.

Everything that has a memory takes part: dropout, batch normalization, averaged weights, Adam, a falling learning rate,
early stopping, metrics, augmentation.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import warnings

import numpy as np

os.environ["KERAS_BACKEND"] = BACKEND = sys.argv[1]
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import keras

import bitesize as bs

N, BATCH, EPOCHS = 44, 8, 3
STEPS = -(-N // BATCH)
random = np.random.default_rng(0)
X = random.integers(0, 256, (N, 8, 8, 3), dtype=np.uint8)
Y = (X.mean(axis=(1, 2, 3)) > 127).astype(np.int64)


class Counter(keras.callbacks.Callback):
    """Remembers something of its own, and notes the batches that it is told of."""

    def __init__(self):
        super().__init__()
        self.batches = []

    def on_train_batch_end(self, batch, logs=None):
        self.batches.append(batch)

    def state_dict(self):
        return {"batches": self.batches}

    def load_state_dict(self, state):
        self.batches = state["batches"]


class Breaker(keras.callbacks.Callback):
    """Raises in the middle of training, without any warning to the others."""

    def __init__(self, at, where="train"):
        super().__init__()
        self.left, self.where = at, where

    def on_train_batch_end(self, batch, logs=None):
        self.count("train")

    def on_test_batch_end(self, batch, logs=None):
        self.count("test")

    def count(self, where):
        if self.where == where:
            self.left -= 1
            if self.left == 0:
                raise SystemError("broken")


def loaders():
    steps = [bs.RandomCrop(6), bs.Flip(), bs.Scale(1 / 255)]
    train = bs.Loader(bs.open(X, Y), batch_size=BATCH, transforms=steps, memory="16 MiB", seed=4, threads=2)
    val = bs.Loader(
        bs.open(X[:20], Y[:20]), batch_size=BATCH, transforms=[bs.CenterCrop(6), steps[2]], memory="16 MiB", shuffle=False
    )
    return train, val


def make_model(ema):
    keras.utils.set_random_seed(3)
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((6, 6, 3)),
            layers.Conv2D(4, 3),
            layers.BatchNormalization(),
            layers.Flatten(),
            layers.Dropout(0.5),
            layers.Dropout(0.2, seed=5),
            layers.Dense(2),
        ]
    )
    rate = keras.optimizers.schedules.CosineDecay(1e-2, EPOCHS * STEPS)
    model.compile(
        optimizer=keras.optimizers.AdamW(rate, use_ema=ema, ema_momentum=0.9),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    return model


def train(folder, breaker=None, *, every=1, ema=False, bare=False):
    """Train until the end or until it breaks, as a new process would: everything is made anew."""
    keras.backend.clear_session()
    model = make_model(ema)
    loader, val = loaders()
    checkpoint = bs.keras.Checkpoint(folder, every_batches=every)
    counter = Counter()
    early = keras.callbacks.EarlyStopping("val_loss", patience=50, restore_best_weights=True)
    callbacks = [counter, early, *([breaker] if breaker else [])]
    with loader, val:
        if bare:
            data, val_data = bs.to_keras(loader), bs.to_keras(val)
            settings = {"validation_data": val_data, "verbose": 0, "callbacks": [*callbacks, checkpoint]}
            e = checkpoint.restore(model, loader)
            checkpoint.finish_epoch(model, data, **settings)
            history = model.fit(data, initial_epoch=e + 1, epochs=EPOCHS, **settings)
        else:
            history = bs.keras.fit(
                model, loader, epochs=EPOCHS, validation_data=val, checkpoint=checkpoint, callbacks=callbacks, verbose=0
            )
    weights = [np.array(keras.ops.convert_to_numpy(v)) for v in (*model.variables, *model.optimizer.variables)]
    return weights, history.history, history.epoch, counter.batches


def same(first, second, what):
    for a, b in zip(first[0], second[0], strict=True):
        assert np.array_equal(a, b, equal_nan=True), (what, "weights", np.abs(a - b).max())
    assert first[1] == second[1], (what, first[1], second[1])
    assert first[2:] == second[2:], (what, first[2:], second[2:])


def broken_once(breaker, what, whole, **settings):
    folder = tempfile.mkdtemp()
    try:
        train(folder, breaker, **settings)
    except SystemError:
        pass
    else:
        raise AssertionError(f"{what} did not break")
    same(train(folder, **settings), whole, what)
    shutil.rmtree(folder)


def main():
    count = 0
    for ema in (False, True):
        whole = train(tempfile.mkdtemp(), every=1000, ema=ema)
        assert whole[2] == list(range(EPOCHS))
        assert whole[3] == list(range(STEPS)) * EPOCHS
        assert len(whole[1]["val_loss"]) == EPOCHS
        same(train(tempfile.mkdtemp(), every=1, ema=ema), whole, "saving after every batch")
        for at in (3, STEPS, 2 * STEPS + 4) if ema else (1, 3, STEPS, STEPS + 1, 2 * STEPS + 4, 3 * STEPS):
            broken_once(Breaker(at), f"batch {at}, ema {ema}", whole, ema=ema)
            count += 1
        for at in (5,) if ema else (1, 5):
            broken_once(Breaker(at, "test"), f"validation {at}, ema {ema}", whole, ema=ema)
            count += 1
        broken_once(Breaker(8), f"every 4, ema {ema}", whole, ema=ema, every=4)
    whole = train(tempfile.mkdtemp(), every=1000, bare=True)
    for at in (2, STEPS, STEPS + 3):
        broken_once(Breaker(at), f"bare, batch {at}", whole, bare=True)
        count += 1
    folder = tempfile.mkdtemp()
    whole = train(tempfile.mkdtemp(), every=1000)
    for at in (2, 4, 3, 1, 5):  # a chain
        try:
            train(folder, Breaker(at))
        except SystemError:
            count += 1
    same(train(folder), whole, "a chain of five")
    sys.stdout.write(f"{count} breaks mended on {BACKEND}\n")


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main()
