"""Checkpoints of several ranks: rank 0 writes and reads them, and the others get what it has read."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from bitesize.training.checkpoint_store import CheckpointStore, Snapshot
from bitesize.training.ranks import Ranks


class SharedStore(CheckpointStore):
    """Checkpoints in a folder that only rank 0 needs to reach.

    Parameters
    ----------
    store
        Checkpoints in the folder.
    ranks
        The processes that train together.
    """

    def __init__(self, store: CheckpointStore, ranks: Ranks) -> None:
        self.folder, self._store, self._ranks = store.folder, store, ranks

    def put(self, state: dict[str, Any], arrays: Mapping[str, NDArray[Any]]) -> None:
        """Save in the background, on rank 0."""
        if self._ranks.is_first:
            self._store.put(state, arrays)

    @property
    def writes(self) -> bool:
        """Return whether a save is running, or has finished without a wait for it."""
        return self._store.writes

    def wait(self) -> None:
        """Wait for the running save."""
        self._store.wait()

    def close(self) -> None:
        """Wait for the running save, and end the thread."""
        self._store.close()

    def replace_existing(self, replaces: bool) -> None:
        """Set whether the existing checkpoints are of an earlier training."""
        if self._ranks.is_first:
            self._store.replace_existing(replaces)

    def newest(self) -> Snapshot | None:
        """Return the newest intact checkpoint, as rank 0 has read it."""
        return self._ranks.of_first(self._store.newest)

    def paths(self) -> list[Path]:
        """List the checkpoints, the newest last."""
        return self._store.paths()
