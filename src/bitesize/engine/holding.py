"""Holders of batches: how long a loader waits for a batch to be released, and its message when all batches are kept."""

from __future__ import annotations

import gc
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from types import FrameType
from typing import TYPE_CHECKING

from bitesize.engine.notebook import kept_in_notebook
from bitesize.errors import BatchesHeld

if TYPE_CHECKING:
    from bitesize.engine.ring import Ring

# A loop releases a batch before it requests the next one; copies to a device may take slightly longer.
LOOP_PATIENCE = 1.0
# Frameworks that run steps asynchronously hold batches until a step ends. Steps are expected to be shorter than this.
PENDING_PATIENCE = 120.0
# After this time a warning is issued, or an error is raised if the program itself is known to keep the batches.
KEPT_SECONDS = 8.0
_WHAT = "Keep batch.copy() (or batch['x'].copy() of one field), or release earlier batches"


@dataclass(frozen=True)
class Holder:
    """The receiver of batches.

    Parameters
    ----------
    advice
        How to copy batches in order to keep them, as the start of a sentence.
    patience
        Seconds that the receiver may hold every slot.
    keeps
        Called once every slot has been held for `KEPT_SECONDS`, with the processor seconds per second that this process has used
        in the meantime. Returns whether the program itself keeps the batches, so that it is useless to wait for a step to end.
    collects
        Called with the caller's frame. Returns a sentence that names the code that collects batches, or "".
    sends
        Whether every field is copied to a device at once, so that no field has to own its memory.
    """

    advice: str = _WHAT
    patience: float = LOOP_PATIENCE
    keeps: Callable[[float], bool] | None = None
    collects: Callable[[FrameType], str] | None = None
    sends: bool = False


LOOP = Holder()


class Wait:
    """The wait of a caller that holds every slot of a ring."""

    def __init__(self, holder: Holder, ring: Ring) -> None:
        self._holder, self._ring = holder, ring
        self._collected = self._said = False
        self.begin()

    def begin(self) -> None:
        """Start the clock again, because not every slot is held."""
        self._began = time.monotonic()
        self._busy = time.process_time()

    def go_on(self) -> None:
        """Run the garbage collector; raise an error if waiting is useless.

        Raises
        ------
        BatchesHeld
            If the caller has held every slot for too long.
        """
        # First all reference cycles, which can take a second; then arrays that JAX releases when a collection starts.
        gc.collect(0 if self._collected else 2)
        if not self._collected:
            self._collected = True
            return
        waited = time.monotonic() - self._began
        if waited > self._holder.patience or (waited > KEPT_SECONDS and self._kept(waited)):
            self._raise()
        if waited > KEPT_SECONDS and not self._said:
            self._said = True
            warnings.warn(
                f"all {len(self._ring)} batch buffers of a loader are held by batches that are still referenced. Waiting, because a running "
                f"step may release some. If your program keeps batches (in a list, a cache, a shuffle buffer): {self._holder.advice}",
                stacklevel=2,
            )

    def _kept(self, waited: float) -> bool:
        keeps = self._holder.keeps
        return keeps is not None and keeps((time.process_time() - self._busy) / waited)

    def _raise(self) -> None:
        collects = self._holder.collects
        where = (collects(sys._getframe(1)) if collects is not None else "") or kept_in_notebook(self._ring)
        raise BatchesHeld(
            f"all {len(self._ring)} batch buffers of this loader are held by batches that are still referenced, so no buffer can be "
            f"filled.{f' {where}' if where else ''} {self._holder.advice}: a list of all batches would hold the whole data in memory. "
            "Labels and other fields of up to 64 bytes per row need no copy, except the primary input."
        )
