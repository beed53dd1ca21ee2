"""Verification of a store: every file has its size, its header and its checksum."""

from __future__ import annotations

import os
from collections.abc import Callable

from bitesize.errors import BitesizeError, PackedError
from bitesize.packed.info import open_shard
from bitesize.packed.manifest import read_manifest
from bitesize.packed.shard import verify


def store_nbytes(folder: str | os.PathLike[str]) -> int:
    """Return the bytes of all shards of a store."""
    return sum(part.nbytes for part in read_manifest(folder).parts.values())


def damaged_shards(folder: str | os.PathLike[str], seen: Callable[[int], None] | None = None) -> list[str]:
    """Read every byte of a store, and return what is wrong, one line for each damaged shard.

    Parameters
    ----------
    folder
        Folder of the store.
    seen
        Called with the number of bytes of each piece that was read, for progress.

    Raises
    ------
    NotFound, PackedError
        If the manifest is missing or damaged.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> import numpy as np, bitesize as bs
    >>> store = pathlib.Path(tempfile.mkdtemp()) / "packed"
    >>> _ = bs.pack(bs.open(np.zeros((9, 2))), store)
    >>> damaged_shards(store)
    []
    """
    found = []
    for part in read_manifest(folder).parts.values():
        for shard in part.shards:
            try:
                shard.check_files()
                verify(shard, seen)
                if open_shard(shard.folder).files != shard.files:
                    raise PackedError(f"{shard.folder} has other checksums than the manifest of the store")
            except BitesizeError as error:
                found.append(str(error))
    return found
