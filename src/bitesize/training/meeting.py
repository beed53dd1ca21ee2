"""Meetings of the ranks within an epoch: whether one of them wants to stop, or a checkpoint is due."""

from __future__ import annotations

import time

from bitesize.training.ranks import Ranks

# Seconds between two meetings: so long may a request to stop take, and so rarely do ranks wait for each other only to talk.
_SECONDS = 1.0
# Batches between two meetings, at most.
_MOST = 1000


class Meeting:
    """Meetings of ranks, about once a second, at batches that rank 0 chooses.

    Parameters
    ----------
    ranks
        The processes that train together.
    """

    def __init__(self, ranks: Ranks) -> None:
        self._ranks = ranks
        self._gap, self._last, self._clock = 1, 0, time.monotonic()

    def agree(self, trained: int, *wishes: bool, now: bool = False) -> tuple[bool, ...]:
        """Return for each wish whether any rank has it; False for all of them between two meetings.

        Parameters
        ----------
        trained
            Number of trained batches, which is the same on all ranks.
        wishes
            Wishes of this rank.
        now
            Whether the ranks meet at this batch in any case.
        """
        if not self._ranks.several:
            return wishes
        if trained - self._last < self._gap and not now:
            return (False,) * len(wishes)
        seconds = (time.monotonic() - self._clock) / max(1, trained - self._last)
        gap = max(1, min(_MOST, round(_SECONDS / max(seconds, 1e-9))))
        everyone = self._ranks.collect((wishes, gap))
        self._gap, self._last, self._clock = everyone[0][1], trained, time.monotonic()
        return tuple(any(of_rank) for of_rank in zip(*(each[0] for each in everyone), strict=True))
