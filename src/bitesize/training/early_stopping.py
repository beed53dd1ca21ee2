"""Early stopping that does not end the phase with frozen pretrained weights."""

from __future__ import annotations

from typing import Any

from bitesize.training.backend import load_keras


def early_stopping(patience: int, frozen: int = 0) -> Any:
    """Return Keras's callback that stops after epochs without a lower validation loss, and restores the best weights.

    Parameters
    ----------
    patience
        Number of epochs without a lower validation loss.
    frozen
        Number of first epochs that do not count: they train only the head of a pretrained model, before tuning.
    """
    keras = load_keras()

    class EarlyStopping(keras.callbacks.EarlyStopping):  # type: ignore[misc, name-defined]
        """Early stopping that does not count epochs of the frozen phase."""

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            """Count the epoch, and keep the best weights."""
            if epoch < frozen:
                self.wait = -1  # Keras adds 1
            super().on_epoch_end(epoch, logs)

    return EarlyStopping("val_loss", patience=patience, restore_best_weights=True)
