"""Anonymous memory mappings, which are returned to the system when they are dropped."""

from __future__ import annotations

import mmap
import sys

import numpy as np
from numpy.typing import NDArray

ALIGNMENT = 64  # bytes: a cache line, and the alignment with which JAX uses a buffer without a copy


def allocate(nbytes: int) -> NDArray[np.uint8]:
    """Return a new mapping of ``nbytes`` of zeroed memory, aligned to a page. It is unmapped with the last view into it.

    Malloc would keep freed blocks, so the memory of the process would not follow the charges.
    """
    if sys.platform == "win32":
        mapping = mmap.mmap(-1, max(1, nbytes))
    else:
        # Private: shared mappings count as shared memory, which some limits do not include.
        mapping = mmap.mmap(-1, max(1, nbytes), flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    return np.frombuffer(mapping, np.uint8, max(1, nbytes))


def aligned(nbytes: int) -> int:
    """Return ``nbytes`` rounded up to the alignment."""
    return -(-nbytes // ALIGNMENT) * ALIGNMENT
