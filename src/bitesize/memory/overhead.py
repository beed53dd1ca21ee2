"""Memory of this process outside the budget: interpreter, NumPy, compiled code, a framework."""

from __future__ import annotations

import sys

import psutil

# Memory that loading the compiler and the kernels adds to a process (measured).
KERNELS = 120 << 20


def measure_overhead(charged: int) -> int:
    """Return the physical memory of this process outside its budget, including kernels that are not loaded yet.

    Parameters
    ----------
    charged
        Bytes of the budget in use, which are subtracted. If some have not been touched yet, the result is too small by these bytes.
    """
    held = max(0, int(psutil.Process().memory_info().rss) - charged)
    return held + pending_overhead()


def pending_overhead() -> int:
    """Return the bytes that loading the compiler and the kernels will add to this process, 0 once they are loaded."""
    return 0 if "bitesize.kernels.resample" in sys.modules or "bitesize.kernels.cast" in sys.modules else KERNELS
