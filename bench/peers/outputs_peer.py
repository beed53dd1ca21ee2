"""bitesize through each of its outputs; and each framework's own way fed with one batch that stays in memory."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

import bitesize as bs
from bench.cases import MEAN, STD, Case

Loads = tuple[Callable[[], Any], str]
BATCHES = 40  # of one batch in memory, a round


def _loader(case: Case, folder: Path) -> bs.Loader:
    if "size" in dict(case.options):
        source, steps = bs.open(folder), [bs.Resize(case["size"]), bs.Normalize(MEAN, STD)]
    else:
        rows = np.load(folder / "x.npy", mmap_mode="r").shape[0]
        source, steps = bs.open(folder / "x.npy", np.arange(rows) % 10), [bs.Scale(case["scale"])]
    return bs.Loader(
        source, batch_size=case.batch, transforms=steps, memory="1 GiB", threads=2, last="drop", dtype="float32"
    )


def _through(loader: bs.Loader, output: Any, how: str, rows: Callable[[Any], int]) -> Loads:
    def load() -> Iterator[int]:
        # Batches that were made ahead, while others had their turn, are of another epoch: they must not count.
        loader.set_epoch(loader.epoch + 10)
        for batch in output:
            yield rows(batch)

    return load, how


def loop(case: Case, folder: Path) -> Loads:
    """No framework."""
    loader = _loader(case, folder)
    return _through(loader, loader, "for batch in loader", lambda batch: len(batch.rows))


def torch(case: Case, folder: Path) -> Loads:
    """Tensors."""
    loader = _loader(case, folder)
    return _through(loader, bs.to_torch(loader), "for batch in bs.to_torch(loader)", lambda batch: len(batch["x"]))


def jax(case: Case, folder: Path) -> Loads:
    """JAX arrays, waited for."""
    loader = _loader(case, folder)

    def rows(batch: Any) -> int:
        return len(batch["x"].block_until_ready())

    return _through(loader, bs.to_jax(loader), "for batch in bs.to_jax(loader): block_until_ready", rows)


def sklearn(case: Case, folder: Path) -> Loads:
    """Rows for an estimator that does nothing."""
    loader = _loader(case, folder)

    class Nothing:
        """Learns nothing."""

        def partial_fit(self, x: Any, y: Any) -> None:
            """Count."""
            self.rows += len(x)

    estimator = Nothing()

    def load() -> int:
        loader.set_epoch(loader.epoch + 10)
        estimator.rows = 0
        bs.sklearn.partial_fit(estimator, loader, epochs=1)
        return estimator.rows

    return load, "bs.sklearn.partial_fit(estimator that does nothing, loader)"


def tensorflow(case: Case, folder: Path) -> Loads:
    """Tensors of a tf.data.Dataset."""
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    loader = _loader(case, folder)
    return _through(loader, bs.to_tensorflow(loader), "for x, y in bs.to_tensorflow(loader)", lambda batch: len(batch[0]))


def tensorflow_resident(case: Case, folder: Path) -> Loads:
    """One batch in memory, by the same way into TensorFlow."""
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    import tensorflow as tf

    with _loader(case, folder) as loader:
        batch = next(iter(loader)).copy()
    x, y = np.array(batch["x"]), np.array(batch["y"])
    kinds = (tf.TensorSpec(x.shape, tf.float32), tf.TensorSpec(y.shape, tf.int64))
    data = tf.data.Dataset.from_generator(lambda: ((x, y) for _ in range(BATCHES)), output_signature=kinds)

    def load() -> Iterator[int]:
        yield from (len(batch[0]) for batch in data)

    return load, f"from_generator of one batch, {BATCHES} times"


def _idle_model(case: Case, shape: tuple[int, ...]) -> Any:
    """Make a Keras model (torch backend) whose training step does nothing."""
    os.environ["KERAS_BACKEND"] = "torch"
    import keras

    class Idle(keras.Sequential):  # type: ignore[misc]
        """Takes batches."""

        def train_step(self, data: Any) -> dict[str, float]:
            """Do nothing."""
            return {}

    model = Idle([keras.Input(shape), keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(10)])
    model.compile("sgd", "sparse_categorical_crossentropy")
    return model


def keras(case: Case, folder: Path) -> Loads:
    """Keras's fit, with nothing to do for the model."""
    loader = _loader(case, folder)
    model = _idle_model(case, loader.spec["x"].shape)
    data = bs.to_keras(loader)

    def load() -> tuple[int, float]:
        loader.set_epoch(loader.epoch + 10)
        begun = time.perf_counter()
        model.fit(data, epochs=1, verbose=0)
        return len(data) * case.batch, time.perf_counter() - begun

    return load, "model.fit(bs.to_keras(loader)) on torch, with a train_step that does nothing"


def keras_memmap(case: Case, folder: Path) -> Loads:
    """A PyDataset of the user's own over a memory-mapped array, as Keras's guide has it, on two threads."""
    model = _idle_model(case, tuple(case["shape"]))
    import keras

    class Mapped(keras.utils.PyDataset):  # type: ignore[misc]
        """Batches by index."""

        def __init__(self) -> None:
            super().__init__(workers=2, max_queue_size=10)
            self.x = np.load(folder / "x.npy", mmap_mode="r")
            self.on_epoch_end()

        def __len__(self) -> int:
            return len(self.x) // case.batch

        def on_epoch_end(self) -> None:
            self.order = np.random.default_rng().permutation(len(self.x))

        def __getitem__(self, index: int) -> Any:
            rows = self.order[index * case.batch : (index + 1) * case.batch]
            return self.x[rows].astype(np.float32) * np.float32(case["scale"]), rows % 10

    data = Mapped()

    def load() -> tuple[int, float]:
        begun = time.perf_counter()
        model.fit(data, epochs=1, verbose=0)
        return len(data) * case.batch, time.perf_counter() - begun

    return load, "model.fit(PyDataset(workers=2) that indexes a memmap) on torch, with a train_step that does nothing"


def keras_resident(case: Case, folder: Path) -> Loads:
    """The same with one batch in memory."""
    with _loader(case, folder) as loader:
        batch = {name: np.array(array) for name, array in next(iter(loader)).items()}
    model = _idle_model(case, batch["x"].shape[1:])
    import keras

    class Resident(keras.utils.PyDataset):  # type: ignore[misc]
        """One batch again and again."""

        def __len__(self) -> int:
            return BATCHES

        def __getitem__(self, index: int) -> Any:
            return batch["x"], batch["y"]

    data = Resident()

    def load() -> tuple[int, float]:
        begun = time.perf_counter()
        model.fit(data, epochs=1, verbose=0)
        return BATCHES * case.batch, time.perf_counter() - begun

    return load, f"model.fit(PyDataset of one batch, {BATCHES} times) on torch, with a train_step that does nothing"
