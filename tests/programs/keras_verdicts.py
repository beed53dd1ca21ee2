"""Print the verdict of a loader inside `fit` on the backend of KERAS_BACKEND. See test_keras_verdicts.py.

Prints one JSON object: for each kind of work the verdict, and the quantiles of waiting.
"""

from __future__ import annotations

import json
import sys
import time

import numpy as np

ROWS = 320


def slow(x):
    time.sleep(0.01)
    return x


def verdict(transforms, units: int, pause: float) -> dict[str, object]:
    """Train three epochs, with validation in between; the first is not counted, since it compiles."""
    import keras

    import bitesize as bs

    random = np.random.default_rng(0)
    source = bs.open(random.random((ROWS, 64)).astype(np.float32), np.arange(ROWS) % 2)
    layers = [keras.layers.Dense(units, activation="relu") for _ in range(3)]
    model = keras.Sequential([keras.Input((64,)), *layers, keras.layers.Dense(2, activation="softmax")])
    model.compile("sgd", "sparse_categorical_crossentropy")
    with (
        bs.Loader(source, batch_size=32, memory="32 MiB", transforms=transforms, threads=2) as loader,
        bs.Loader(source, batch_size=32, memory="32 MiB", shuffle=False, threads=1) as val,
    ):
        data, val_data = bs.to_keras(loader), bs.to_keras(val)
        model.fit(data, validation_data=val_data, epochs=1, verbose=0)
        loader.stats.reset()
        busy = keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: time.sleep(pause))
        bs.keras.fit(model, data, validation_data=val_data, epochs=2, verbose=0, callbacks=[busy])
        stats = loader.stats
        return {
            "verdict": stats.verdict(),
            "p50": stats.wait(0.5),
            "p99": stats.wait(0.99),
            "waited": stats.waited,
            "held": stats.held,
        }


if __name__ == "__main__":
    import bitesize as bs

    json.dump(
        {
            "a slow function": verdict([bs.Map(slow)], 8, 0.0),
            "a slow loop": verdict([], 8, 0.03),
            "a large model": verdict([], 1000, 0.0),
        },
        sys.stdout,
    )
