"""Memory of our own: anonymous mappings that go back to the system when they are dropped."""

from __future__ import annotations

import mmap
import sys

import numpy as np
from numpy.typing import NDArray

ALIGNMENT = 64  # bytes: a cache line, and what lets JAX take a buffer without copying it


def allocate(nbytes: int) -> NDArray[np.uint8]:
    """Map ``nbytes`` of zeroed memory, aligned to a page; it is unmapped when the last view on it is gone.

    Malloc would keep freed blocks for itself, so what the process holds could not be told from what was charged.
    """
    if sys.platform == "win32":
        mapping = mmap.mmap(-1, max(1, nbytes))
    else:
        # Private: shared mappings are accounted as shared memory, which some limits do not see.
        mapping = mmap.mmap(-1, max(1, nbytes), flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    return np.frombuffer(mapping, np.uint8, max(1, nbytes))


def aligned(nbytes: int) -> int:
    """Round up to the alignment."""
    return -(-nbytes // ALIGNMENT) * ALIGNMENT
