"""Loss and metrics of masks: each row counts by its weight, and pixels that are ignored count in neither."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from bitesize.training.backend import load_keras


class PixelClasses(NamedTuple):
    """The loss and the metrics for masks, which need Keras."""

    Crossentropy: Any
    Accuracy: Any
    MeanIoU: Any
    Dice: Any


@functools.cache
def pixel_classes() -> PixelClasses:
    """Return the classes.

    ``numbers`` is the mask number of each class; other numbers are ignored. Outputs have one value per class, or one value for the second
    of two classes.
    """
    return PixelClasses(_crossentropy(), *_metrics())


def _crossentropy() -> Any:
    """Return the class of the loss."""
    keras = load_keras()
    ops = keras.ops

    @keras.saving.register_keras_serializable("bitesize")
    class PixelCrossentropy(keras.losses.Loss):  # type: ignore[misc, name-defined]
        """Mean cross-entropy of the pixels of a row that count; ``class_weights`` has the weight of each class."""

        def __init__(
            self,
            numbers: Sequence[int],
            from_logits: bool = True,
            class_weights: Sequence[float] | None = None,
            reduction: str = "sum_over_batch_size",
            name: str = "pixel_crossentropy",
        ) -> None:
            super().__init__(name=name, reduction=reduction)
            self.numbers, self.from_logits = list(numbers), from_logits
            self.class_weights = None if class_weights is None else list(class_weights)

        def call(self, y_true: Any, y_pred: Any) -> Any:
            """Return the loss of each row, shape (rows,)."""
            y, counts = _numbered(ops, y_true, y_pred, self.numbers)
            outputs = _for_both(ops, y_pred, self.from_logits)
            losses = ops.sparse_categorical_crossentropy(y, outputs, from_logits=self.from_logits)
            counts = ops.cast(counts, losses.dtype)
            weight = counts
            if self.class_weights is not None:
                weight = counts * ops.take(ops.convert_to_tensor(self.class_weights, dtype=losses.dtype), y, axis=0)
            return ops.sum(losses * weight, axis=-1) / ops.maximum(ops.sum(counts, axis=-1), 1)

        def get_config(self) -> dict[str, Any]:
            """Return the settings."""
            settings = {"numbers": self.numbers, "from_logits": self.from_logits, "class_weights": self.class_weights}
            return {**super().get_config(), **settings}

    return PixelCrossentropy


def _counts() -> Any:
    """Return the base class of the metrics."""
    keras = load_keras()
    ops = keras.ops

    class Counts(keras.metrics.Metric):  # type: ignore[misc, name-defined]
        """Counts of pixels by class since the last reset: hits, true ones and predicted ones."""

        def __init__(self, numbers: Sequence[int], name: str, from_logits: bool = True, dtype: Any = None) -> None:
            super().__init__(name=name, dtype=dtype)
            self.numbers, self.from_logits = list(numbers), from_logits
            self.counts = self.add_variable((3, len(self.numbers)), "zeros", dtype="float32", name="counts")

        def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
            """Count the pixels of a batch, those of a row with its weight, shape (rows,)."""
            y, weight = _numbered(ops, y_true, y_pred, self.numbers)
            best = ops.cast(ops.argmax(_for_both(ops, y_pred, self.from_logits), axis=-1), "int32")
            if sample_weight is not None:
                weight = weight * ops.reshape(ops.cast(sample_weight, "float32"), (-1, 1))
            y, best, weight = (ops.reshape(each, (-1,)) for each in (y, best, weight))
            hits = weight * ops.cast(ops.equal(y, best), "float32")
            count = len(self.numbers)
            pairs = (hits, y), (weight, y), (weight, best)
            self.counts.assign_add(ops.stack([ops.segment_sum(each, ids, num_segments=count) for each, ids in pairs]))

        def get_config(self) -> dict[str, Any]:
            """Return the settings."""
            return {**super().get_config(), "numbers": self.numbers, "from_logits": self.from_logits}

        def mean_of_present(self, values: Any) -> Any:
            """Return the mean over classes that are in the masks or predicted."""
            there = ops.cast(self.counts[1] + self.counts[2] > 0, "float32")
            return ops.sum(values * there) / ops.maximum(ops.sum(there), 1)

    return Counts


def _metrics() -> tuple[Any, Any, Any]:
    """Return the classes of the metrics."""
    keras = load_keras()
    ops = keras.ops
    Counts = _counts()  # noqa: N806 - a class

    @keras.saving.register_keras_serializable("bitesize")
    class PixelAccuracy(Counts):  # type: ignore[misc, valid-type]
        """Share of the pixels whose class is predicted."""

        def result(self) -> Any:
            """Return the share."""
            return ops.sum(self.counts[0]) / ops.maximum(ops.sum(self.counts[1]), 1e-9)

    @keras.saving.register_keras_serializable("bitesize")
    class PixelMeanIoU(Counts):  # type: ignore[misc, valid-type]
        """Mean over classes of intersection over union."""

        def result(self) -> Any:
            """Return the mean."""
            hits, true, predicted = self.counts[0], self.counts[1], self.counts[2]
            return self.mean_of_present(hits / ops.maximum(true + predicted - hits, 1e-9))

    @keras.saving.register_keras_serializable("bitesize")
    class PixelDice(Counts):  # type: ignore[misc, valid-type]
        """Mean over classes of the Dice coefficient."""

        def result(self) -> Any:
            """Return the mean."""
            hits, true, predicted = self.counts[0], self.counts[1], self.counts[2]
            return self.mean_of_present(2 * hits / ops.maximum(true + predicted, 1e-9))

    return PixelAccuracy, PixelMeanIoU, PixelDice


def _numbered(ops: Any, y_true: Any, y_pred: Any, numbers: Sequence[int]) -> tuple[Any, Any]:
    """Return the class of each pixel, 0 for ignored ones, and 1 for each pixel that counts, shape (rows, pixels)."""
    table = np.full(max(numbers) + 2, -1, np.int32)
    table[list(numbers)] = range(len(numbers))
    y = ops.reshape(ops.cast(y_true, "int32"), (-1, int(np.prod(y_pred.shape[1:-1]))))
    found = ops.take(ops.convert_to_tensor(table), ops.clip(y, 0, len(table) - 1), axis=0)
    return ops.maximum(found, 0), ops.cast(found >= 0, "float32")


def _for_both(ops: Any, y_pred: Any, of_logits: bool) -> Any:
    """Return outputs with one value per class, shape (rows, pixels, classes)."""
    y_pred = ops.reshape(y_pred, (-1, int(np.prod(y_pred.shape[1:-1])), y_pred.shape[-1]))
    if y_pred.shape[-1] > 1:
        return y_pred
    return ops.concatenate([ops.zeros_like(y_pred) if of_logits else 1 - y_pred, y_pred], axis=-1)
