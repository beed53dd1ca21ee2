"""Print hashes of all rows and pixels that reach the train step of one Keras backend, for some thread counts and seeds. See test_keras.py.

The losses record the targets they are given: the pixels, augmented at random, and the row numbers.
"""

from __future__ import annotations

import json
import os
import sys

import numpy as np
import xxhash

ROWS, BATCH = 1040, 32
STEPS = -(-ROWS // BATCH)


def make_loader(threads: int, seed: int):
    import bitesize as bs

    random = np.random.default_rng(0)
    x = random.integers(0, 256, (ROWS, 12, 10, 3), dtype=np.uint8)
    steps = [
        bs.RandomResizedCrop((8, 9)),
        bs.Flip(0.5, 0.5),
        bs.Rotate(20),
        bs.ColorJitter(0.4, 0.4, 0.4),
        bs.Scale(1 / 255),
    ]
    source = bs.open(x, np.arange(ROWS).astype(np.float32))
    return bs.Loader(source, batch_size=BATCH, transforms=steps, memory="32 MiB", threads=threads, seed=seed)


def digest(rows: list[np.ndarray], pixels: list[np.ndarray]) -> str:
    """Hash row numbers and pixel bytes, in the order in which they came."""
    found = xxhash.xxh3_128()
    for numbers, values in zip(rows, pixels, strict=True):
        found.update(np.ascontiguousarray(numbers, np.int64).data)
        found.update(np.ascontiguousarray(values, np.float32).data)
    return found.hexdigest()


def in_a_loop(threads: int, seed: int) -> str:
    """Hash what a loop gets."""
    rows, pixels = [], []
    with make_loader(threads, seed) as loader:
        for batch in loader:
            assert np.array_equal(batch["y"], batch.rows)
            rows.append(batch.rows.copy())
            pixels.append(batch["x"].copy())
    assert sum(map(len, rows)) == ROWS
    return digest(rows, pixels)


def in_keras(backend: str, threads: int, seed: int) -> str:
    """Hash what a train step gets."""
    import keras

    import bitesize as bs

    kept: dict[str, list[np.ndarray]] = {"x": [], "y": []}

    def record(name: str):
        def note(values) -> None:
            kept[name].append(np.array(values))

        def loss(y_true, y_pred):
            if backend == "jax":
                import jax

                jax.debug.callback(note, y_true, ordered=True)
            elif backend == "torch":
                note(y_true.detach().numpy())
            else:
                import tensorflow as tf

                tf.py_function(lambda values: note(values.numpy()), [y_true], [])
            return keras.ops.sum(y_pred, axis=-1) * 0.0

        return loss

    inputs = keras.Input((8, 9, 3))
    flat = keras.layers.Flatten()(inputs)
    model = keras.Model(inputs, [keras.layers.Dense(1)(flat), keras.layers.Dense(1)(flat)])
    model.compile("sgd", loss=[record("x"), record("y")])
    with make_loader(threads, seed) as loader:
        model.fit(bs.to_keras(loader, inputs="x", targets=["x", "y"]), epochs=1, verbose=0)
        if backend == "jax":
            import jax

            jax.effects_barrier()
    # Building a model calls losses, too, with other things than batches.
    whole = [array for array in kept["x"] if array.shape[1:] == (8, 9, 3)][-STEPS:]
    numbers = kept["y"][-STEPS:]
    return digest([each.ravel() for each in numbers], whole)


if __name__ == "__main__":
    os.environ["KERAS_BACKEND"] = sys.argv[1]
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    hashes = {
        f"{threads}, {seed}": in_keras(sys.argv[1], threads, seed) for threads, seed in ((1, 5), (3, 5), (16, 5), (2, 6))
    }
    sys.stdout.write(json.dumps(hashes) + "\n")
