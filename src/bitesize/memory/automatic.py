"""Size of an automatic budget: a share of the memory that this process may still take, and a larger share if the data needs it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from bitesize.memory.limits import MOST_STANDBY, Limit, available, processor_share
from bitesize.memory.local_ranks import VARIABLE, local_ranks
from bitesize.memory.overhead import pending_overhead
from bitesize.memory.sizes import format_size

# "auto" takes 1 / AUTO_SHARE of the available memory, which leaves room for the model, the framework and the page cache.
AUTO_SHARE = 4
# If the data needs more, the budget grows to the need, up to three quarters of the available memory.
GROWN_SHARE = (3, 4)


class Account(Protocol):
    """The ledger of a budget, as the other budgets of the process read it. Its figures may be slightly out of date."""

    room: int

    @property
    def granted_now(self) -> int:
        """Granted bytes."""
        ...

    @property
    def touched_now(self) -> int:
        """Granted bytes that are not idle in pools."""
        ...


def measure_limit() -> Limit:
    """Return the tightest limit of this process, less what the threads of a loader will reserve."""
    return available(threads=processor_share() + MOST_STANDBY)


def measure_room(limit: Limit, accounts: Iterable[Account]) -> int:
    """Return the bytes that all budgets of this process could have in total.

    Charged memory may not have been touched yet. It then still counts as available, and adding it would count it twice. So while
    any bytes are charged, the result is at most the amount that was measured when one of the budgets was created.
    """
    accounts = list(accounts)
    room = max(0, limit.room - pending_overhead())
    held = sum(account.touched_now for account in accounts)
    return min([room + held, *(account.room for account in accounts)]) if held else room


def default_share(limit: Limit, held: int) -> int:
    """Return the size of an automatic budget, given that ``held`` bytes of the memory in use are its own."""
    return max(1, (limit.room + held) // AUTO_SHARE // local_ranks().count)


def largest_share(room: int, others: int) -> int:
    """Return the size that an automatic budget may grow to if other budgets of the process hold ``others`` bytes."""
    part, whole = GROWN_SHARE
    return max(0, room * part // whole // local_ranks().count - others)


def share_origin(limit: Limit) -> str:
    """Return the origin of the default share, as text."""
    ranks = local_ranks()
    among = f", divided among {ranks.count} ranks ({ranks.origin})" if ranks.count > 1 else ""
    if ranks.unknown:
        among = f", not divided among processes of {ranks.unknown} on this host ({VARIABLE} divides it)"
    return f"a quarter of {limit.name}{among}"


def grown_origin(share: int, limit: Limit, grown: int, reason: str) -> str:
    """Return the origin of the size of a budget that has grown, as text."""
    return f"auto: {format_size(share)} would be the default share, {share_origin(limit)}; grown to {format_size(grown)} because {reason}"
