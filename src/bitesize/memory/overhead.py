"""What this process holds beside the budget: interpreter, NumPy, compiled code, a framework."""

from __future__ import annotations

import sys

import psutil

# What loading the compiler and the kernels adds to a process that has not done so yet (measured).
KERNELS = 120 << 20


def measure_overhead(charged: int) -> int:
    """Tell the bytes of physical memory that this process takes now, less what was charged to a budget, and kernels.

    Parameters
    ----------
    charged
        Bytes in use of a budget; some may not have been touched yet, so the answer may be too small by them.
    """
    held = max(0, int(psutil.Process().memory_info().rss) - charged)
    return held + pending_overhead()


def pending_overhead() -> int:
    """Return the bytes that loading the compiler and the kernels will add to this process, 0 once they are loaded."""
    return 0 if "bitesize.kernels.resample" in sys.modules or "bitesize.kernels.cast" in sys.modules else KERNELS
