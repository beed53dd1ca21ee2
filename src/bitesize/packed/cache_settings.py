"""`Cache`: settings of a cache of rows on disk."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from bitesize.checks import is_whole
from bitesize.errors import BadSetting
from bitesize.memory.sizes import parse_size

Kind = Literal["exact", "pixels", "bytes"]
# Largest share of the free space of a disk that a cache of automatic size takes.
_SHARE = 2


@dataclass(frozen=True)
class Cache:
    """Settings of a cache on disk, which keeps images after decoding, so that later epochs and runs need not decode them.

    A cache holds what precedes the first random transform. It fills while the first epoch runs, never takes more than its size, and is
    shared by all processes and runs that use its folder. A row whose file has changed is decoded again.

    Parameters
    ----------
    folder
        Folder of the cache; by default, a folder for caches of the user (see `platformdirs.user_cache_path`), never beside the data.
    size
        Largest number of bytes on disk of everything in the folder: bytes, a string such as ``"40 GiB"``, or ``"auto"`` for half
        of the space that is free. If the data needs more, a fixed part of the rows is kept. With 0, nothing is kept, but ``kind`` and
        ``max_side`` apply.
    kind
        ``"exact"``: batches have the same values as without a cache, bit for bit; of data at addresses, rows in their stored form are
        kept, so that each is requested once. ``"bytes"``: the same for all data. ``"pixels"``: images are kept in their own dtype after the
        deterministic geometry, which rounds resized 8-bit images to whole levels; a quarter of the bytes of float32. The rounding applies
        to all rows, also to those that are not in the cache.
    max_side
        Reduce images whose longer side is larger to this number of pixels before the first random transform. This changes values, and applies to
        all rows.

    Raises
    ------
    BadSetting
        If a setting is not valid.

    Examples
    --------
    >>> import bitesize as bs
    >>> bs.Cache(size="40 GiB", kind="pixels")
    Cache(folder=None, size=42949672960, kind='pixels', max_side=None)
    """

    folder: str | os.PathLike[str] | None = None
    size: int | str = "auto"
    kind: Kind = "exact"
    max_side: int | None = None

    def __post_init__(self) -> None:
        if self.folder is not None and not isinstance(self.folder, str | os.PathLike):
            raise BadSetting(f"Cache: folder must be a path, not {self.folder!r}")
        if isinstance(self.size, bool) or self.size not in ("auto", 0):
            object.__setattr__(self, "size", parse_size(self.size))
        if self.kind not in ("exact", "pixels", "bytes"):
            raise BadSetting(f'Cache: kind must be "exact", "pixels" or "bytes", not {self.kind!r}')
        if self.max_side is not None and not is_whole(self.max_side, 1, 65_535):
            raise BadSetting(f"Cache: max_side must be a whole number of 1 to 65535 pixels, not {self.max_side!r}")

    @property
    def path(self) -> Path:
        """Folder of the cache, absolute."""
        return Path(self.folder).absolute() if self.folder is not None else default_folder()

    @property
    def limit(self) -> int:
        """Largest number of bytes on disk; for ``"auto"``, of the space that is free now."""
        if isinstance(self.size, int):
            return self.size
        from bitesize.packed.cache_folder import disk_bytes

        existing = self.path
        while not existing.exists():
            existing = existing.parent
        return (shutil.disk_usage(existing).free + disk_bytes(self.path)) // _SHARE


def default_folder() -> Path:
    """Return the folder of caches if no other is chosen."""
    from platformdirs import user_cache_path

    return user_cache_path("bitesize") / "rows"


def cache_setting(cache: Cache | str | os.PathLike[str] | None) -> Cache | None:
    """Return the settings of ``Loader(cache=...)``: None, ``"auto"``, a folder, or a `Cache`.

    Raises
    ------
    BadSetting
        If it is none of them.
    """
    if cache is None or isinstance(cache, Cache):
        return cache
    if isinstance(cache, str | os.PathLike):
        return Cache() if cache == "auto" else Cache(cache)
    raise BadSetting(f'cache must be None, "auto", a folder or a bs.Cache(...), not {cache!r}')
