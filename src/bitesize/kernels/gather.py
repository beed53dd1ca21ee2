"""Kernel that copies rows of an array in memory, in a random order."""

from __future__ import annotations

from typing import Any

from bitesize.kernels.jit import jit
from bitesize.kernels.prefetch import distance, prefetch


@jit
def gather_rows(source: Any, chosen: Any, out: Any) -> None:
    """Copy the rows with the numbers ``chosen``, (rows,) int64, to ``out``; both arrays are uint8, (rows, nbytes) and C-contiguous."""
    rows, nbytes, ahead = chosen.shape[0], source.shape[1], distance(source)
    for i in range(min(ahead, rows)):
        prefetch(source, chosen[i])
    for i in range(rows):
        if i + ahead < rows:
            prefetch(source, chosen[i + ahead])
        row = chosen[i]
        for j in range(nbytes):
            out[i, j] = source[row, j]
