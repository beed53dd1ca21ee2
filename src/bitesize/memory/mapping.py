"""Anonymous memory mappings, which are returned to the system when they are dropped."""

from __future__ import annotations

import contextlib
import mmap
import sys

import numpy as np
from numpy.typing import NDArray

ALIGNMENT = 64  # bytes: a cache line, and the alignment with which JAX uses a buffer without a copy


def allocate(nbytes: int, *, large_pages: bool = False) -> NDArray[np.uint8]:
    """Return a new mapping of ``nbytes`` of zeroed memory, aligned to a page. It is unmapped with the last view into it.

    ``large_pages`` asks the system for pages of 2 MiB where it has them: for memory that is used in a random order. Malloc would keep freed blocks, so the memory of the process would not follow the charges.
    """
    if sys.platform == "win32":
        mapping = mmap.mmap(-1, max(1, nbytes))
    else:
        # Private: shared mappings count as shared memory, which some limits do not include.
        mapping = mmap.mmap(-1, max(1, nbytes), flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    if large_pages and hasattr(mmap, "MADV_HUGEPAGE"):
        with contextlib.suppress(OSError):  # a kernel without large pages
            mapping.madvise(mmap.MADV_HUGEPAGE)
    return np.frombuffer(mapping, np.uint8, max(1, nbytes))


def aligned(nbytes: int) -> int:
    """Return ``nbytes`` rounded up to the alignment."""
    return -(-nbytes // ALIGNMENT) * ALIGNMENT
