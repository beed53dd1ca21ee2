"""Memory requests: the bytes that a part of a loader needs, with their purpose, lifetime and origin."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

# "loader": until the loader is closed. "batch": with a batch buffer, which a caller may hold longer. "row": in reserve, taken and
# returned while rows are decoded.
Lifetime = Literal["loader", "batch", "row"]


@dataclass(frozen=True)
class MemoryRequest:
    """Memory that one part of a loader needs. A plan is the sum of all requests, and its table lists them.

    Parameters
    ----------
    name
        Purpose of the bytes.
    nbytes
        Number of bytes.
    lifetime
        How long the bytes stay charged: ``"loader"``, ``"batch"`` or ``"row"``.
    detail
        Origin of the number, as text.
    """

    name: str
    nbytes: int
    lifetime: Lifetime
    detail: str


def total_nbytes(requests: Iterable[MemoryRequest]) -> int:
    """Return the sum of the bytes of all requests."""
    return sum(request.nbytes for request in requests)
