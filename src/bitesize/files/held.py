"""Small objects that are read whole, many at the same time, before they are parsed."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence

from bitesize.errors import BitesizeError
from bitesize.storage.blocks import BLOCK, HELD_NBYTES, holding_whole
from bitesize.storage.remote import entry
from bitesize.storage.url import is_url


def held_groups(paths: Sequence[bytes]) -> Iterator[range]:
    """Yield all files in ranges of their numbers. While a range is used, `with_file` and `paths.open` find its objects in memory.

    A range has objects of `HELD_NBYTES` at most; a larger object is alone, and is read in parts. Files of the disk are one range.
    """
    if not any(map(is_url, paths)):
        yield range(len(paths))
        return
    sizes = [object_size(path) for path in paths]
    start = 0
    while start < len(paths):
        stop, total = start + 1, sizes[start]
        while stop < len(paths) and total + sizes[stop] <= HELD_NBYTES:
            total, stop = total + sizes[stop], stop + 1
        whole = paths[start:stop] if total <= HELD_NBYTES else ()
        with holding_whole(_objects(whole)):
            yield range(start, stop)
        start = stop


def held_starts(paths: Sequence[bytes]) -> Iterator[range]:
    """Yield all files as `held_groups` does, with the first bytes of each object in memory."""
    return _held_blocks(paths, at_end=False)


def held_ends(paths: Sequence[bytes]) -> Iterator[range]:
    """Yield all files as `held_groups` does, with the last bytes of each object in memory."""
    return _held_blocks(paths, at_end=True)


def _held_blocks(paths: Sequence[bytes], *, at_end: bool) -> Iterator[range]:
    if not any(map(is_url, paths)):
        yield range(len(paths))
        return
    count = HELD_NBYTES // BLOCK
    for start in range(0, len(paths), count):
        some = paths[start : start + count]
        with holding_whole(_objects(some), BLOCK, at_end=at_end):
            yield range(start, start + len(some))


def object_size(path: bytes) -> int:
    """Return the bytes of an object; 0 if it does not exist, or is a file of the disk."""
    if not is_url(path):
        return 0
    try:
        return entry(os.fsdecode(path)).size
    except BitesizeError:  # raised when it is read
        return 0


def _objects(paths: Sequence[bytes]) -> list[str]:
    """Return the addresses of those files that are not on the disk."""
    return [os.fsdecode(path) for path in paths if is_url(path)]
