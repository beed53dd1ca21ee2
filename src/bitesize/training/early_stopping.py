"""Early stopping that does not end a phase in which pretrained weights are frozen."""

from __future__ import annotations

from typing import Any

from bitesize.training.backend import load_keras


def early_stopping(patience: int, frozen: int = 0) -> Any:
    """Make Keras's callback: stop after epochs without a lower validation loss, and put the best weights back.

    Parameters
    ----------
    patience
        Number of such epochs.
    frozen
        Epochs at the start that do not count: they train the head of a pretrained model only, and tuning comes after them.
    """
    keras = load_keras()

    class EarlyStopping(keras.callbacks.EarlyStopping):  # type: ignore[misc, name-defined]
        """Counts no epoch of the frozen phase."""

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            """Count, and keep the best weights of every epoch."""
            if epoch < frozen:
                self.wait = -1  # Keras adds one
            super().on_epoch_end(epoch, logs)

    return EarlyStopping("val_loss", patience=patience, restore_best_weights=True)
