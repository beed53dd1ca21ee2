"""The tutorial's training, whole: its loop of batches read with Pillow, and bitesize with ``fit``.

Both train the tutorial's model on the same photographs, on the backend and the number of processor cores that the case names. An
epoch of ``fit`` is measured from the end of one epoch to the end of the next, so a pause between epochs counts.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from bench.cases import Case

Loads = tuple[Callable[[], Any], str]


def naive(case: Case, folder: Path) -> Loads:
    """Read each batch with Pillow, and call ``train_on_batch``."""
    model = _model(case)

    import numpy as np
    from PIL import Image

    side, classes = case["size"], sorted(path.name for path in folder.iterdir())
    files = [(path, classes.index(path.parent.name)) for path in sorted(folder.glob("*/*.jpg"))]

    def load() -> tuple[int, float]:
        begun = time.perf_counter()
        random.shuffle(files)
        for start in range(0, len(files), case.batch):
            batch = files[start : start + case.batch]
            x = np.array([np.array(Image.open(path).convert("RGB").resize((side, side))) for path, _ in batch])
            model.train_on_batch(x.astype("float32") / 255, np.array([label for _, label in batch]))
        return len(files), time.perf_counter() - begun

    return load, "for batch in batches: x = np.array([np.array(Image.open(p) ...)]) / 255; model.train_on_batch(x, y)"


def ours(case: Case, folder: Path) -> Loads:
    """Train with ``fit`` on `bitesize.to_keras`."""
    model = _model(case)

    import keras

    import bitesize as bs

    source = bs.open(folder)
    loader = bs.Loader(source, batch_size=case.batch, transforms=[bs.Resize(case["size"]), bs.Scale(1 / 255)])
    data = bs.to_keras(loader)

    class Clock(keras.callbacks.Callback):  # type: ignore[misc]
        """Notes when epochs end."""

        def on_train_begin(self, logs: Any = None) -> None:
            self.ends: list[float] = []

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            self.ends.append(time.perf_counter())

    clock = Clock()

    def load() -> tuple[int, float]:
        model.fit(data, epochs=2, verbose=0, callbacks=[clock])
        return len(source), clock.ends[1] - clock.ends[0]

    return (
        load,
        "model.fit(bs.to_keras(bs.Loader(bs.open(folder), batch_size=32, transforms=[Resize(224), Scale(1 / 255)])))",
    )


def _model(case: Case) -> Any:
    """Build the tutorial's model, in a process that has the case's cores and backend from here on."""
    process = psutil.Process()
    if hasattr(process, "cpu_affinity"):  # not on macOS, where both have all cores
        process.cpu_affinity(process.cpu_affinity()[: case["cores"]])
    os.environ["KERAS_BACKEND"] = case["backend"]
    import keras

    layers = keras.layers
    model = keras.Sequential([layers.Flatten(), layers.Dense(128, activation="relu"), layers.Dropout(0.2), layers.Dense(2)])
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"])
    return model
