"""Work items of threads: a continuous sequence of pending batches, cut into bites."""

from __future__ import annotations

import queue
import threading
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bitesize.engine.batching import BatchRows
from bitesize.engine.ring import Slot, Token
from bitesize.engine.window.cache import CachedChunk, ChunkCache


@dataclass(eq=False)
class PendingBatch:
    """A batch that is being filled."""

    stream: BatchStream
    step: BatchRows
    slot: Slot
    mask: NDArray[np.bool_]
    random_numbers: Sequence[Sequence[float]]  # for each row, those of all transforms of images
    dispatched: int = 0  # rows that were given to threads
    unfinished: int = 0  # rows that are not finished yet
    error: BaseException | None = None
    started: float = 0.0  # `time.perf_counter` when it got its slot
    token: Token | None = None  # set when it is ready

    def fail(self, error: BaseException, step: BatchRows) -> None:
        """Keep an error, and a step without rows, so that nothing is filled."""
        self.error, self.step, self.unfinished = error, step, 0


@dataclass
class Bite:
    """Some rows of a batch, for one thread."""

    batch: PendingBatch
    start: int
    stop: int


@dataclass
class LoadTask:
    """A chunk of rows to load before its rows are requested."""

    cache: ChunkCache
    chunk: CachedChunk


class BatchStream:
    """A sequence of batches from one place on.

    Parameters
    ----------
    epoch, position
        Place of the first batch.
    cache
        Cache of chunks, for a source that is read in chunks.
    """

    def __init__(self, epoch: int, position: int, cache: ChunkCache | None) -> None:
        self.next_to_fill = (epoch, position)  # used by the dispatching thread only
        self.next_to_return = (epoch, position)  # used by the caller only
        self.lock = threading.Lock()
        # One item per change that a waiting caller must see. Not a Condition, because Ctrl-C within its wait breaks the lock.
        self.changed: queue.SimpleQueue[None] = queue.SimpleQueue()
        self.ready: dict[tuple[int, int], PendingBatch] = {}
        self.canceled = False
        self.cache = cache
