"""Who holds batches: how long a loader waits for one to be let go of, and what it says when all are kept."""

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

# A loop has let go of a batch when it asks for the next; what it has sent to a device may take a moment more.
LOOP_PATIENCE = 1.0
# Frameworks that begin steps and go on while those run hold batches for as long: no step takes longer than this, one hopes.
PENDING_PATIENCE = 120.0
# Then it is said; and it is an error where the program is known to keep the batches itself.
KEPT_SECONDS = 8.0
_WHAT = "Keep batch.copy() of what you need (of one field: batch['x'].copy()), or let go of earlier batches"


@dataclass(frozen=True)
class Holder:
    """Who is handed batches.

    Parameters
    ----------
    advice
        What copies what is to be kept there, as the beginning of a sentence.
    patience
        Seconds that it may hold every slot.
    keeps
        Called once every slot has been held for `KEPT_SECONDS`, with the processors' seconds per second that this process has used
        meanwhile: returns whether it is the program that keeps the batches, so that waiting for a step to end is in vain.
    collects
        Called with the frames of who asks: returns what there puts batches together, in a sentence, or "".
    sends
        Whether every field is copied to a device at once: then none needs to be an array of its own.
    """

    advice: str = _WHAT
    patience: float = LOOP_PATIENCE
    keeps: Callable[[float], bool] | None = None
    collects: Callable[[FrameType], str] | None = None
    sends: bool = False


LOOP = Holder()


class Wait:
    """The wait of a caller who holds every slot of a ring."""

    def __init__(self, holder: Holder, ring: Ring) -> None:
        self._holder, self._ring = holder, ring
        self._collected = self._said = False
        self.begin()

    def begin(self) -> None:
        """Begin to count, since not every slot is held."""
        self._began = time.monotonic()
        self._busy = time.process_time()

    def go_on(self) -> None:
        """Collect what is garbage; raise when waiting is in vain.

        Raises
        ------
        BatchesHeld
            If the caller has held every slot for too long.
        """
        # Older reference cycles, which can take a second; then what JAX has done with, and lets go of when the collector begins.
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
                f"all {len(self._ring)} batch buffers of a loader are held by batches that are still referenced. Waiting, since a step "
                f"that runs may let go of some; if your program keeps them (in a list, a cache, a shuffle buffer): {self._holder.advice}",
                stacklevel=2,
            )

    def _kept(self, waited: float) -> bool:
        keeps = self._holder.keeps
        return keeps is not None and keeps((time.process_time() - self._busy) / waited)

    def _raise(self) -> None:
        collects = self._holder.collects
        where = (collects(sys._getframe(1)) if collects is not None else "") or kept_in_notebook(self._ring)
        raise BatchesHeld(
            f"all {len(self._ring)} batch buffers of this loader are held by batches that are still referenced, so there is none to "
            f"fill.{f' {where}' if where else ''} {self._holder.advice}: a list of all batches is the whole data in memory again. "
            "Labels and other fields of up to 64 bytes a row, but for the primary input, need no copy."
        )
