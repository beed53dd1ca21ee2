"""tf.data as its guide to performance recommends (https://www.tensorflow.org/guide/data_performance)."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
import tensorflow as tf

from bench.cases import MEAN, STD, Case

Loads = tuple[Callable[[], Any], str]


def jpeg(case: Case, folder: Path) -> Loads:
    """Decode, resize with antialiasing, normalize."""
    files, side = [str(file) for file in sorted(folder.glob("*/*.jpg"))], case["size"]

    def read(path: Any) -> Any:
        image = tf.io.decode_jpeg(tf.io.read_file(path), channels=3)
        image = tf.image.resize(image, (side, side), antialias=True)
        return (image / 255.0 - tf.constant(MEAN)) / tf.constant(STD)

    data = (
        tf.data.Dataset.from_tensor_slices(files)
        .shuffle(len(files))
        .map(read, num_parallel_calls=tf.data.AUTOTUNE)
        .batch(case.batch, drop_remainder=True)
        .prefetch(tf.data.AUTOTUNE)
    )

    def load() -> Iterator[int]:
        yield from (len(x) for x in data.as_numpy_iterator())

    return load, "shuffle, map(decode_jpeg, resize(antialias=True), AUTOTUNE), batch, prefetch(AUTOTUNE)"


def memmap(case: Case, folder: Path) -> Loads:
    """Batches of a memory-mapped array, which tf.data has no reader for, by a function of NumPy's."""
    array, scale = np.load(folder / "x.npy", mmap_mode="r"), np.float32(case["scale"])

    def read(rows: Any) -> Any:
        return array[rows].astype(np.float32) * scale

    data = (
        tf.data.Dataset.range(len(array))
        .shuffle(len(array))
        .batch(case.batch, drop_remainder=True)
        .map(lambda rows: tf.numpy_function(read, [rows], tf.float32), num_parallel_calls=tf.data.AUTOTUNE)
        .prefetch(tf.data.AUTOTUNE)
    )

    def load() -> Iterator[int]:
        yield from (len(x) for x in data)

    return load, "range, shuffle, batch, map(numpy_function(memmap[rows]), AUTOTUNE), prefetch(AUTOTUNE)"
