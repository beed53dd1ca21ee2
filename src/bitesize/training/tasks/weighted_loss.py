"""The binary cross-entropy with a weight for each tag."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

from bitesize.training.backend import load_keras


@functools.cache
def weighted_binary_crossentropy() -> Any:
    """Return the class of the loss, which needs Keras: the mean over tags of ``-w * y * log(p) - (1 - y) * log(1 - p)``."""
    keras = load_keras()
    ops = keras.ops

    @keras.saving.register_keras_serializable("bitesize")
    class WeightedBinaryCrossentropy(keras.losses.Loss):  # type: ignore[misc, name-defined]
        """Binary cross-entropy; ``positive`` has the weight ``w`` of each tag."""

        def __init__(
            self,
            positive: Sequence[float],
            from_logits: bool = True,
            reduction: str = "sum_over_batch_size",
            name: str = "weighted_binary_crossentropy",
        ) -> None:
            super().__init__(name=name, reduction=reduction)
            self.positive, self.from_logits = list(positive), from_logits

        def call(self, y_true: Any, y_pred: Any) -> Any:
            """Return the loss of each row, shape (rows,)."""
            y = ops.cast(y_true, y_pred.dtype)
            weight = ops.convert_to_tensor(self.positive, dtype=y_pred.dtype)
            if self.from_logits:
                there, absent = ops.softplus(-y_pred), ops.softplus(y_pred)
            else:
                p = ops.clip(y_pred, keras.config.epsilon(), 1 - keras.config.epsilon())
                there, absent = -ops.log(p), -ops.log(1 - p)
            return ops.mean(weight * y * there + (1 - y) * absent, axis=-1)

        def get_config(self) -> dict[str, Any]:
            """Return the settings."""
            return {**super().get_config(), "positive": self.positive, "from_logits": self.from_logits}

    return WeightedBinaryCrossentropy
