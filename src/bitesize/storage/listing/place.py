"""Where the list of a prefix is kept: a folder with a lock, complete lists, and a file that names the current one.

A list is a folder of its own, written and flushed before ``current.json`` names it, by a rename. A process that is killed while it writes
therefore leaves the old list or none. Open lists keep their files open; removed names do not matter to them.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import re
import secrets
import shutil
import tempfile
import time
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import xxhash

from bitesize.errors import BadFile
from bitesize.storage.listing.index import CURRENT, OBJECTS_FILE, save_index, write_blocks
from bitesize.storage.listing.sorting import Runs
from bitesize.storage.locking import FolderLock

_FORMAT, _SCHEMA = "bitesize object list", 1
_RUNS = "runs.tmp"
_LIST = "list-"  # start of the names of folders of lists
_UNFLUSHED = 10_000  # objects; smaller lists are used for seconds, and one that a power failure has damaged is noticed
_NAME = re.compile(r"[0-9a-f]{32}")  # of the folder of the list of a prefix
_KEPT = 7 * 86_400  # seconds that a list stays on disk
_WAIT = 0.05  # seconds between two looks at a lock
_log = logging.getLogger("bitesize")


def default_folder() -> Path:
    """Return the folder of lists if no other is chosen."""
    from platformdirs import user_cache_path

    return user_cache_path("bitesize") / "lists"


class ListPlace:
    """The folder of the list of one prefix.

    Parameters
    ----------
    folder
        Folder of all lists; by default, that of the user's caches. If it cannot be written, a temporary folder is used for this process.
    address
        Address of the prefix.
    identity
        Text that distinguishes lists of the same address, such as the server: other servers may have buckets of the same name.
    """

    def __init__(self, folder: str | os.PathLike[str] | None, address: str, identity: str = "") -> None:
        self._address = address
        name = xxhash.xxh3_128_hexdigest(f"{address} {identity}".encode("utf-8", "surrogateescape"))
        chosen = default_folder() if folder is None else Path(folder)
        self.path = chosen / name
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            writable = os.access(self.path, os.W_OK)
        except OSError:
            writable = False
        if not writable:
            self.path = Path(tempfile.mkdtemp(prefix="bitesize-list-"))
            weakref.finalize(self, shutil.rmtree, self.path, ignore_errors=True)
            _log.warning("%s cannot be written: the list of %s is kept for this process only", chosen, address)

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Wait until no other process makes this list, and keep others waiting."""
        said = False
        while (lock := FolderLock.take(self.path)) is None:
            if not said:
                _log.info("waiting for another process that lists %s", self._address)
                said = True
            time.sleep(_WAIT)
        try:
            yield
        finally:
            lock.release()

    def current(self) -> tuple[str, dict[str, Any]] | None:
        """Return the folder of the current list and its head, or None if there is none.

        Raises
        ------
        BadFile
            If it is damaged, or of another version.
        """
        path = self.path / CURRENT
        try:
            content = json.loads(path.read_bytes())
        except FileNotFoundError:
            return None
        except ValueError as error:
            raise BadFile(f"{path} is damaged") from error
        if not isinstance(content, dict) or content.get("format") != _FORMAT or content.get("schema") != _SCHEMA:
            raise BadFile(f"{path} is of another version")
        head = content.get("list")
        if not isinstance(head, dict) or content.get("check") != _check(head):
            raise BadFile(f"{path} is damaged")
        return str(self.path / head["folder"]), head

    def write(self, fill: Callable[[Runs], dict[str, Any]], head: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        """Write a list, and make it the current one. Call while locked.

        Parameters
        ----------
        fill
            Adds all objects, and returns facts for the head.
        head
            Root, prefix and time.
        """
        self._remove_others()  # of killed processes
        folder = self.path / f"{_LIST}{secrets.token_hex(8)}"
        folder.mkdir()
        try:
            with open(folder / _RUNS, "w+b") as scratch, open(folder / OBJECTS_FILE, "wb") as file:
                runs = Runs(head["prefix"], scratch)
                facts = fill(runs)
                index, table = write_blocks(runs.sorted(), file)
                if index.objects > _UNFLUSHED:
                    _flush(file)
            (folder / _RUNS).unlink()
            saved = save_index(str(folder), index, table, flush=index.objects > _UNFLUSHED)
            head = {**head, "folder": folder.name, "facts": facts, "finished_at": time.time(), **saved}
            self._name(head)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        self._remove_others()  # on Windows, those that are open stay until the next time
        if _NAME.fullmatch(self.path.name):  # not beside a temporary folder
            _remove_old(self.path.parent)
        return str(folder), head

    def _name(self, head: dict[str, Any]) -> None:
        """Make a list the current one."""
        content = {"format": _FORMAT, "schema": _SCHEMA, "check": _check(head), "list": head}
        temporary = self.path / f"{CURRENT}.tmp"
        with open(temporary, "wb") as file:
            file.write(json.dumps(content, indent=1).encode("ascii"))
            _flush(file)
        if head["objects"] > _UNFLUSHED:
            _flush_folder(self.path / head["folder"])
        os.replace(temporary, self.path / CURRENT)
        _flush_folder(self.path)

    def _remove_others(self) -> None:
        """Remove all lists but the current one."""
        try:
            current = self.current()
        except BadFile:
            current = None
        for name in os.listdir(self.path):
            if name.startswith(_LIST) and (current is None or name != current[1]["folder"]):
                shutil.rmtree(self.path / name, ignore_errors=True)


def _remove_old(folder: Path) -> None:
    """Remove the lists of prefixes that were listed long ago: each is made again when it is needed."""
    for current in folder.glob(f"*/{CURRENT}"):
        with contextlib.suppress(OSError):  # another process removes it at the same time
            if time.time() - current.stat().st_mtime < _KEPT or not _NAME.fullmatch(current.parent.name):
                continue
            if f'"format": "{_FORMAT}"' not in current.read_text("utf-8", "replace"):
                continue
            lock = FolderLock.take(current.parent)
            if lock is not None:
                shutil.rmtree(current.parent, ignore_errors=True)
                lock.release()


def _check(head: dict[str, Any]) -> str:
    return xxhash.xxh3_128_hexdigest(json.dumps(head, sort_keys=True).encode("ascii"))


def _flush(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())


def _flush_folder(folder: Path) -> None:
    """Flush the names in a folder to the disk, where the system and the file system can."""
    if hasattr(os, "O_DIRECTORY"):
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        with contextlib.suppress(OSError):
            os.fsync(fd)
        os.close(fd)
