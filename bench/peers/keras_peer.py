"""Keras: its own folder loader, and training from ours."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from bench.cases import MEAN, STD, Case

Loads = tuple[Callable[[], Any], str]


def jpeg(case: Case, folder: Path) -> Loads:
    """image_dataset_from_directory, which resizes without antialiasing."""
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    os.environ["KERAS_BACKEND"] = "tensorflow"
    import keras
    import tensorflow as tf

    side = case["size"]
    data = keras.utils.image_dataset_from_directory(
        folder, image_size=(side, side), batch_size=case.batch, shuffle=True, verbose=False
    )
    mean, std = tf.constant(MEAN), tf.constant(STD)
    data = data.map(lambda x, y: ((x / 255.0 - mean) / std, y), num_parallel_calls=tf.data.AUTOTUNE).prefetch(
        tf.data.AUTOTUNE
    )

    def load() -> Iterator[int]:
        yield from (len(x) for x, _ in data.as_numpy_iterator())

    return load, "image_dataset_from_directory(shuffle=True).map(normalize, AUTOTUNE).prefetch(AUTOTUNE): not antialiased"


def _model(case: Case, shape: tuple[int, ...]) -> Any:
    os.environ["KERAS_BACKEND"] = "torch"
    import keras

    from bitesize.training.model_output import declared_output
    from bitesize.training.models import build_model

    keras.utils.set_random_seed(0)
    model = build_model("cnn", shape, 10)
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=declared_output(model, "cnn") == "logits"))
    return model


def fit_ours(case: Case, folder: Path) -> Loads:
    """Fit from one large uint8 `.npy`."""
    model = _model(case, (64, 64, 3))
    import bitesize as bs

    rows = np.load(folder / "x.npy", mmap_mode="r").shape[0]
    source = bs.open(folder / "x.npy", np.arange(rows) % 10)
    loader = bs.Loader(
        source, batch_size=case.batch, transforms=[bs.Scale(1 / 255)], memory="256 MiB", threads=2, last="drop"
    )
    data = bs.to_keras(loader)

    def load() -> float:
        begun = time.perf_counter()
        model.fit(data, epochs=1, verbose=0)
        return time.perf_counter() - begun

    return load, "model.fit(bs.to_keras(loader))"


def fit_in_memory(case: Case, folder: Path) -> Loads:
    """Fit the same rows as float32 arrays in memory."""
    model = _model(case, (64, 64, 3))
    x = np.load(folder / "x.npy").astype(np.float32) / 255
    y = np.arange(len(x)) % 10

    def load() -> float:
        begun = time.perf_counter()
        model.fit(x, y, batch_size=case.batch, epochs=1, verbose=0, shuffle=True)
        return time.perf_counter() - begun

    return load, "model.fit(x, y, shuffle=True)"
