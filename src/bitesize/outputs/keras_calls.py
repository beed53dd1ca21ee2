"""Find the caller of a dataset within Keras from the call stack, because the hooks do not receive it."""

from __future__ import annotations

from types import FrameType
from typing import Any

# How Keras's adapter takes batches to train, evaluate or predict with; whoever else asks for a batch only looks at it.
TAKES = frozenset(("_finite_generator", "_infinite_generator"))
LOOKS = frozenset(("evaluate", "predict"))
_ITERATOR_METHODS = frozenset(("reset", "_enumerate_iterator", "catch_stop_iteration"))


class Caller:
    """Return the driver of a hook on the call stack: Keras's epoch iterator, its mode, and the method of the model."""

    def __init__(self, frame: FrameType | None) -> None:
        self.iterator: Any = None
        self.resets = False
        self.method = ""
        for _ in range(12):
            if frame is None:
                return
            name = frame.f_code.co_name
            # Only the iterator's own frames are asked for locals: asking a frame keeps them alive, and those of `fit` hold
            # TensorFlow's iterator, whose end would then wait for a thread that waits for this one.
            if self.iterator is None and name in _ITERATOR_METHODS:
                owner = frame.f_locals.get("self")
                if hasattr(owner, "data_adapter") and hasattr(owner, "_steps_seen"):
                    self.iterator = owner
                    self.resets = name == "reset"
            if self.iterator is not None and name in ("fit", "evaluate", "predict"):
                self.method = name
                return
            frame = frame.f_back

    @property
    def class_weight(self) -> Any:
        """Return the class weights passed to ``fit``, or None."""
        return getattr(getattr(self.iterator, "data_adapter", None), "class_weight", None)
