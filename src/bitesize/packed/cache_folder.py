"""The folder of caches: who writes into it, and how many bytes everything in it may take.

A folder holds a subfolder for each key, with the sealed shards of its rows, and a subfolder for each owner: an open cache of a process.
An owner holds a lock that the system frees if the process is killed. It reserves the bytes of a shard in a claim before it writes the
shard, while it holds the lock of the whole folder. Readers take no locks.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bitesize.errors import BadSetting
from bitesize.files.atomic import write_json
from bitesize.storage.locking import FolderLock

MARKER = "bitesize-cache.json"
_MARKER_BEGINS = ".bitesize-cache."  # of the temporary file that becomes the marker
ABOUT = "about.json"
_FORMAT = "bitesize cache"
_OWNERS = "owners"
_BLOCK = 4096  # disks assign space in blocks of at least this size
_SPARE = 64 << 20  # bytes of the disk that stay free
_SLACK = 32 * _BLOCK  # for folders and small files of owners, which have no claims
# Bytes of a shard in addition to its rows, at most.
SHARD_SPARE = 32 * _BLOCK
LEAST = _SLACK + SHARD_SPARE  # a folder with a smaller limit has no room for a shard
_PATIENCE = 10.0  # seconds to wait for the lock of the folder, which is held for milliseconds


@dataclass(frozen=True)
class Claim:
    """Bytes that are reserved for one shard: its folder, and the file that records the reservation."""

    shard: Path
    nbytes: int
    record: Path

    def release(self) -> None:
        """Return what the shard does not take. Call after it is sealed or removed."""
        self.record.unlink(missing_ok=True)


class CacheFolder:
    """A folder of caches, open for reading the rows of one key and, where possible, for writing more of them.

    Parameters
    ----------
    path
        The folder; made if needed.
    limit
        Largest number of bytes of everything in the folder.
    key
        Name of the subfolder of the rows.
    about
        Description of the rows, for people.

    Attributes
    ----------
    reason : str
        Why nothing can be written; empty if rows can be written.

    Raises
    ------
    BadSetting
        If the folder has other contents.
    """

    def __init__(self, path: Path, limit: int, key: str, about: dict[str, object]) -> None:
        self.path, self.limit, self.rows = path, limit, path / key
        self.reason = ""
        self._token, self._number = secrets.token_hex(8), 0
        self._owner = path / _OWNERS / self._token
        self._lock: FolderLock | None = None
        try:
            _prepare(path)
            # Otherwise another process could take the new owner for a dead one, or write or remove the description at the same time.
            with _locked(path) as lock:
                if lock is None or not lock.is_real:
                    self.reason = f"{path} cannot be locked"
                    return
                _remove_dead(path, self._token)
                self._owner.mkdir(parents=True)
                self._lock = FolderLock.take(self._owner)
                (self._owner / f"{key}.key").touch()  # so that no other owner removes these rows
                self.rows.mkdir(exist_ok=True)
                if not (self.rows / ABOUT).exists():
                    write_json(self.rows / ABOUT, about)
                os.utime(self.rows / ABOUT)  # the time of last use
        except OSError as error:
            self.reason = f"{path} cannot be written ({getattr(error, 'strerror', None) or error})"

    def shards(self) -> list[Path]:
        """Return the sealed shards of the key, in the order of their names."""
        try:
            names = os.listdir(self.rows)
        except OSError:
            return []
        return [self.rows / name for name in sorted(names) if name != ABOUT and ".partial-" not in name]

    def room(self) -> int:
        """Return the bytes that the rows of the key may take: what the rows of others in use leave of the limit, and what the disk has."""
        used = {key for owner in _entries(self.path / _OWNERS) for key in _keys_of(owner)} - {self.rows.name}
        room = self.limit - _SLACK - sum(_tree_bytes(self.path / key) for key in used)
        if not self.reason:
            room = min(room, disk_bytes(self.path) + shutil.disk_usage(self.path).free - _SPARE)
        return max(0, room)

    def claim(self, nbytes: int, least: int) -> Claim | None:
        """Reserve bytes for a shard: ``nbytes``, or what is left of the limit and of the disk, but at least ``least``.

        If bytes are lacking, rows of other keys that no process uses are removed first, beginning with those that were used longest ago.
        Returns None if there is no room, or the folder cannot be locked.
        """
        if self.reason:
            return None
        with _locked(self.path) as lock:
            if lock is None:
                return None
            _remove_dead(self.path, self._token)
            while True:
                room = self.limit - _SLACK - self._taken()
                if room >= nbytes or not self._evict():
                    break
            room = min(nbytes, room, shutil.disk_usage(self.path).free - _SPARE)
            if room < least:
                return None
            self._number += 1
            # Later shards come last, so that the newest version of a row is found.
            name = f"{time.time_ns():016x}-{self._token}-{self._number:05d}"
            record = self._owner / f"{name}.claim"
            record.write_text(str(room))
            return Claim(self.rows / name, room, record)

    def discard(self, shard: Path) -> None:
        """Remove a shard that is damaged."""
        with contextlib.suppress(OSError):
            os.rename(shard, shard.with_name(f"{shard.name}.partial-{self._token}"))
        shutil.rmtree(shard.with_name(f"{shard.name}.partial-{self._token}"), ignore_errors=True)

    def close(self) -> None:
        """Release the right to write."""
        self.reason = "the cache is closed"
        if self._lock is not None:
            self._lock.release()
            self._lock = None
            shutil.rmtree(self._owner, ignore_errors=True)

    def _taken(self) -> int:
        """Return the bytes of everything in the folder, with all of each reservation in place of what was written of it."""
        total = _tree_bytes(self.path)
        for owner in _entries(self.path / _OWNERS):
            for record in _entries(owner):
                if record.suffix == ".claim":
                    with contextlib.suppress(OSError, ValueError):  # released meanwhile
                        total += int(record.read_text())
        return total

    def _evict(self) -> bool:
        """Remove the rows of the key that was used longest ago and is not in use; return whether there was one."""
        used = {claim_key for owner in _entries(self.path / _OWNERS) for claim_key in _keys_of(owner)}
        others = [
            (about.stat().st_mtime_ns, folder)
            for folder in _entries(self.path)
            if folder != self.rows and folder.name not in used and (about := folder / ABOUT).exists()
        ]
        for _, folder in sorted(others):
            shutil.rmtree(folder, ignore_errors=True)
            if not folder.exists():
                return True
        return False


def _keys_of(owner: Path) -> list[str]:
    return [record.stem for record in _entries(owner) if record.suffix == ".key"]


def _prepare(path: Path) -> None:
    """Make a folder of caches, or check that it is one."""
    marker = path / MARKER
    try:
        others = [name for name in os.listdir(path) if not name.startswith(_MARKER_BEGINS)]
    except FileNotFoundError:
        others = []
    except NotADirectoryError as error:
        raise BadSetting(f"{path} is a file: choose another folder for the cache") from error
    if marker.exists():  # looked up after the other names, because another process may be making the folder now
        return
    if others:
        raise BadSetting(f"{path} is not empty and is no cache of bitesize: choose another folder for the cache")
    path.mkdir(parents=True, exist_ok=True)
    write_json(marker, {"format": _FORMAT, "schema": 1, "note": "made by bitesize; `bitesize cache clear` removes it"})


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[FolderLock | None]:
    """Hold the lock of a folder of caches, if it is free within some seconds; otherwise yield None."""
    deadline = time.monotonic() + _PATIENCE
    while (lock := FolderLock.take(path)) is None:
        if time.monotonic() > deadline:
            yield None
            return
        time.sleep(0.005)
    try:
        yield lock
    finally:
        lock.release()


def _remove_dead(path: Path, own: str) -> None:
    """Remove claims and open shards of owners whose process has ended."""
    for owner in _entries(path / _OWNERS):
        if owner.name == own:
            continue
        try:
            lock = FolderLock.take(owner)
        except OSError:  # its process is closing it at this moment
            continue
        if lock is None:
            continue
        for key in _entries(path):
            for shard in _entries(key) if key.is_dir() and key.name != _OWNERS else ():
                if f"-{owner.name}-" in shard.name and ".partial-" in shard.name:
                    shutil.rmtree(shard, ignore_errors=True)
        lock.release()
        shutil.rmtree(owner, ignore_errors=True)


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []


def _tree_bytes(folder: Path) -> int:
    """Return the bytes on disk of a folder, without shards that are being written: their reservation counts."""
    total = _BLOCK
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                total += 0 if ".partial-" in entry.name else _tree_bytes(Path(entry.path))
            else:
                with contextlib.suppress(OSError):
                    total += -(-entry.stat(follow_symlinks=False).st_size // _BLOCK) * _BLOCK
    return total


def disk_bytes(folder: Path) -> int:
    """Return the bytes on disk of a folder of caches; 0 if it does not exist."""
    return _tree_bytes(folder) if folder.exists() else 0


@dataclass(frozen=True)
class CacheEntry:
    """The rows of one key in a folder of caches.

    Attributes
    ----------
    key : str
        Name of the subfolder.
    nbytes, shards : int
        Bytes on disk, and number of sealed shards.
    used : float
        Time of last use, in seconds since 1970.
    about : dict
        Description: source, transforms, what is kept.
    """

    key: str
    nbytes: int
    shards: int
    used: float
    about: dict[str, object]


def entries(path: Path) -> list[CacheEntry]:
    """Return the contents of a folder of caches, last used first; empty if it does not exist.

    Raises
    ------
    BadSetting
        If the folder exists and is no folder of caches.
    """
    if not path.exists():
        return []
    if not (path / MARKER).exists():
        raise BadSetting(f"{path} is no cache of bitesize")
    found = []
    for folder in _entries(path):
        about = folder / ABOUT
        if not about.exists():
            continue
        try:
            described = json.loads(about.read_text())
        except (OSError, ValueError):
            described = None
        shards = [shard for shard in _entries(folder) if shard.is_dir() and ".partial-" not in shard.name]
        found.append(
            CacheEntry(
                folder.name,
                _tree_bytes(folder),
                len(shards),
                about.stat().st_mtime,
                described if isinstance(described, dict) else {},
            )
        )
    return sorted(found, key=lambda entry: -entry.used)


def clear(path: Path, key: str | None = None) -> int:
    """Remove the rows of one key, or of all, and return the freed bytes. Rows that an open loader uses are decoded again.

    Raises
    ------
    BadSetting
        If the folder is no folder of caches, or has no such key.
    """
    existing = entries(path)
    chosen = [entry for entry in existing if key is None or (key and entry.key.startswith(key))]
    if key is not None and not chosen:
        raise BadSetting(f"{path} has no cache {key!r}; there are: {', '.join(entry.key for entry in existing) or 'none'}")
    before = disk_bytes(path)
    if chosen:
        with _locked(path):
            _remove_dead(path, "")
            for entry in chosen:
                shutil.rmtree(path / entry.key, ignore_errors=True)
    return max(0, before - disk_bytes(path))
