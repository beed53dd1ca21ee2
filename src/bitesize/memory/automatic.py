"""How large an automatic budget is: a share of what this process may still take, and a larger one where the data needs it."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Protocol

from bitesize.memory.limits import MOST_STANDBY, Limit, available, processor_share
from bitesize.memory.overhead import pending_overhead
from bitesize.memory.sizes import format_size

# "auto" takes this part of what is available: it leaves room for the model, the framework and the page cache.
AUTO_SHARE = 4
# Where the data needs more than that, it grows to the need, up to three quarters of what is available.
GROWN_SHARE = (3, 4)


class Account(Protocol):
    """A budget as the others of its process see it: figures that are a moment old do."""

    room: int

    @property
    def granted_now(self) -> int:
        """Bytes that are granted."""
        ...

    @property
    def touched_now(self) -> int:
        """Bytes that are granted and not idle in pools."""
        ...


def measure_limit() -> Limit:
    """Return the tightest limit of this process, with the threads in mind that a loader starts."""
    return available(threads=processor_share() + MOST_STANDBY)


def measure_room(limit: Limit, accounts: Iterable[Account]) -> int:
    """Return the bytes that all budgets of this process together could have.

    Memory that is charged may not have been touched yet: then it still counts as available, and adding it would count it
    twice. So while anything is charged, this is at most what was measured when one of the budgets was made.
    """
    accounts = list(accounts)
    room = max(0, limit.room - pending_overhead())
    held = sum(account.touched_now for account in accounts)
    return min([room + held, *(account.room for account in accounts)]) if held else room


def default_share(limit: Limit, held: int) -> int:
    """Return the size of an automatic budget that holds ``held`` bytes of what the limit has counted."""
    return max(1, (limit.room + held) // AUTO_SHARE // _local_ranks())


def largest_share(room: int, others: int) -> int:
    """Return the size that an automatic budget may grow to, where other budgets of the process have ``others`` bytes."""
    part, whole = GROWN_SHARE
    return max(0, room * part // whole // _local_ranks() - others)


def share_origin(limit: Limit) -> str:
    """Return where the default share comes from, for people."""
    ranks = _local_ranks()
    among = f", divided among {ranks} ranks (LOCAL_WORLD_SIZE)" if ranks > 1 else ""
    return f"a quarter of {limit.name}{among}"


def grown_origin(share: int, limit: Limit, grown: int, reason: str) -> str:
    """Return where the size of a budget comes from that has grown, for people."""
    return (
        f"auto: {format_size(share)} would be the default share, {share_origin(limit)}; grown to {format_size(grown)} "
        f"because {reason}"
    )


def _local_ranks() -> int:
    return max(1, int(os.environ.get("LOCAL_WORLD_SIZE", "1") or "1"))
