"""What threads work on: batches in the making, cut into bites, in an unbroken sequence."""

from __future__ import annotations

import queue
import threading
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bitesize.engine.batching import BatchRows
from bitesize.engine.ring import Slot, Token
from bitesize.engine.window_cache import CachedChunk, ChunkCache


@dataclass(eq=False)
class PendingBatch:
    """A batch in the making."""

    run: BatchStream
    step: BatchRows
    slot: Slot
    mask: NDArray[np.bool_]
    draws: Sequence[Sequence[float]]
    begun: int = 0  # rows that were given to threads
    pending: int = 0  # rows that are not done yet
    error: BaseException | None = None
    started: float = 0.0  # when it got its slot, on the clock of `time.perf_counter`
    token: Token | None = None  # once it is ready


@dataclass
class Bite:
    """Some rows of a batch, for one thread."""

    filling: PendingBatch
    start: int
    stop: int


@dataclass
class LoadTask:
    """A run of rows that is to be in memory before rows of it are asked for."""

    held: ChunkCache
    what: CachedChunk


class BatchStream:
    """A sequence of batches from one place on.

    Parameters
    ----------
    epoch, position
        The place.
    held
        What is in memory for it of a source that is read in runs.
    """

    def __init__(self, epoch: int, position: int, held: ChunkCache | None) -> None:
        self.next = (epoch, position)  # the next to begin: only the dispatching thread touches it
        self.taken = (epoch, position)  # the next that the caller gets: only the caller touches it
        self.lock = threading.Lock()
        # One item whenever something has changed for who waits. No Condition: Ctrl-C within its wait leaves the lock undone.
        self.changed: queue.SimpleQueue[None] = queue.SimpleQueue()
        self.ready: dict[tuple[int, int], PendingBatch] = {}
        self.canceled = False
        self.held = held
