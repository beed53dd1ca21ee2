"""Sizes and times of the files of a source, by which a resumed packing finds rows that were replaced."""

from __future__ import annotations

import os
from collections.abc import Iterator

import xxhash

from bitesize.files.state import checked_states
from bitesize.packed.info import ShardInfo
from bitesize.sources.base import Source
from bitesize.sources.row_source import RowSource


class SourceState:
    """State of a source when packing starts.

    Parameters
    ----------
    source
        Source of the rows.

    Attributes
    ----------
    known : bool
        Whether the state can be compared; False if some values are in memory only.
    """

    def __init__(self, source: Source) -> None:
        self._source = source
        leaves = list(_leaves(source))
        states = {id(leaf): checked_states(leaf.check_unchanged) for leaf in leaves}
        self.known = all(states[id(leaf)] or leaf.paths(0) for leaf in leaves)
        digest = xxhash.xxh3_128(source.fingerprint().encode())
        for leaf in leaves:
            for path, state in states[id(leaf)]:
                digest.update(os.path.basename(path) + repr(tuple(state)).encode())
        self._whole = digest.hexdigest()

    def of(self, start: int, stop: int) -> str:
        """Return a hash of the files of some rows: names, sizes and times; empty if they cannot be compared."""
        if not self.known:
            return ""
        digest = xxhash.xxh3_128(f"{self._whole} {start} {stop}".encode())
        for row in range(start, stop) if self._source.paths(start) else ():
            for path in self._source.paths(row):
                try:
                    status = os.stat(path)
                except OSError:  # reported when the row is read
                    digest.update(b"missing")
                else:
                    digest.update(f"{status.st_size} {status.st_mtime_ns};".encode())
        return digest.hexdigest()


def _leaves(source: RowSource) -> Iterator[RowSource]:
    """Yield the sources that read data themselves."""
    if not source.derived_from:
        yield source
    for each in source.derived_from:
        yield from _leaves(each)


def is_of(info: ShardInfo, origin: dict[str, object]) -> bool:
    """Return whether a sealed shard was made from the rows and files that ``origin`` names."""
    found = info.origin
    if not isinstance(found, dict) or not origin["state"]:
        return False
    skipped = found.get("skipped")
    rows = int(str(origin["stop"])) - int(str(origin["start"])) - (len(skipped) if isinstance(skipped, list) else 0)
    return all(found.get(key) == value for key, value in origin.items()) and info.rows == rows
