"""Files of all other schemes, through fsspec: ``hf://``, ``ftp://``, ``sftp://``, ``hdfs://``, ``github://`` and more."""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, TypeVar

from bitesize.errors import BadFile, BadSetting, FileChanged, LoaderClosed, MissingPackage, NotFound, RequestFailed, one_line
from bitesize.packages import is_installed, pip_install
from bitesize.storage.base import Entry, Level
from bitesize.storage.fsspec_answers import entry_of, translated
from bitesize.storage.limiter import DEADLINE, LIMITER, Passing, seconds_of

T = TypeVar("T")

_PAGE = 1000
_LARGEST = 8 << 20  # bytes of one request, which fsspec returns as one object
_FRESH = 1.0  # seconds that a listing which fsspec keeps is used for questions about single files
_TEMPORARY = ".partial-"
_UNLOCKED = ("memory", "hf")  # filesystems without an event loop that several threads may use at the same time
_LOCAL = ("file", "local")
# Protocols of fsspec that change another filesystem, and are no places.
_WRAPPERS = {
    "async_wrapper", "asyncwrapper", "blockcache", "cached", "dask", "data", "dir", "filecache", "generic", "libarchive", "reference",
    "simplecache", "tar", "zip", "asynclocal", "pyscript",
}  # fmt: skip
_log = logging.getLogger("bitesize")


def open_files(root: str, options: Mapping[str, Any]) -> FsspecStorage:
    """Return the storage of a root such as ``hf://datasets``, and log that it is slower than others."""
    storage = FsspecStorage(root, options)
    _log.info("%s", storage.statement)
    return storage


class FsspecStorage:
    """A filesystem of fsspec as storage.

    Files are written under a temporary name, and then moved; where the filesystem cannot move, they are copied and removed. Readers see no
    part of a file wherever such a move, or copy, replaces a file at once, as with SFTP, HDFS, and stores of objects; a server of FTP may not.
    A replaced file is noticed as soon as the filesystem knows of it: many keep listings, which are as old as the list of bitesize.

    Parameters
    ----------
    root
        ``scheme://name``.
    options
        Arguments of the filesystem, such as ``token``, ``username``, ``password``, ``port``; and ``deadline`` (seconds for all tries of a
        request).

    Attributes
    ----------
    statement : str
        What a user should know: that there are faster ways.

    Raises
    ------
    MissingPackage
        If fsspec, or the package that it needs for the scheme, is not installed.
    BadSetting
        If fsspec does not know the scheme, or refuses the options.
    """

    def __init__(self, root: str, options: Mapping[str, Any]) -> None:
        options = dict(options)
        self._deadline = seconds_of(options.pop("deadline", DEADLINE))
        self.root, self._options, self._process = root, options, os.getpid()
        self._scheme = root.partition("://")[0]
        self._kind = _filesystem_class(self._scheme, root)
        self._files, self._base = self._connected()
        self._age, self._renewing, self._refreshed = 0, threading.Lock(), 0.0
        shared = self._kind.async_impl or self._scheme in _UNLOCKED
        self._lock: contextlib.AbstractContextManager[Any] = contextlib.nullcontext() if shared else threading.Lock()
        once = "" if shared else ", one request at a time"
        self.statement = (
            f"{self._scheme}:// is read through fsspec{once}, which is slower than s3://, gs://, az:// and https://: "
            "for many epochs, copy the data or set cache="
        )

    # --- names -------------------------------------------------------------------------------------------------------

    def list(self, prefix: str) -> Iterator[Sequence[Entry]]:
        """Yield all files whose keys start with a prefix, in pages; folder by folder if the filesystem cannot list them at once."""
        folder = prefix.rpartition("/")[0]
        top = f"{folder}/" if folder else ""
        self._refresh(0.0)
        pages = self._found(top) if self._lists_at_once() else self._walk(top)
        for page in pages:
            if some := [entry for entry in page if entry.key.startswith(prefix)]:
                yield some

    def level(self, prefix: str) -> Level:
        """Return what lies directly below a prefix."""
        self._refresh(_FRESH)
        return self._level(prefix)

    def entry(self, key: str) -> Entry:
        """Return size, version and time of a file."""
        self._refresh(_FRESH)
        found = self._info(key, listed=False)
        if found.size < 0:
            raise RequestFailed(f"{self.root}/{key}: fsspec gives no size, which is needed to read parts of it")
        return found

    def refuses(self, key: str) -> bool:
        """Return whether a name is not requested: filesystems read names with empty parts, or with . or .. as parts, in different ways."""
        return any(part in ("", ".", "..") for part in key.removesuffix("/").split("/"))

    def _level(self, prefix: str) -> Level:
        path = self._path(prefix.rstrip("/"), folder=True)

        def attempt() -> Any:
            try:
                return self._files.ls(path, detail=True)
            except (FileNotFoundError, NotADirectoryError):
                return []

        folders, entries = [], []
        for info in self._ask(attempt, f"{self.root}/{prefix}", listed=False):
            key = self._key(info["name"])
            name = key.removeprefix(prefix)
            if not key.startswith(prefix) or not name or "/" in name:
                continue  # a folder may list itself, and a file does
            if info["type"] == "directory":
                folders.append(f"{key}/")
            elif _TEMPORARY not in name:
                entries.append(entry_of(key, info))
        return Level(folders, entries)

    def _walk(self, top: str) -> Iterator[Sequence[Entry]]:
        left = [top]
        while left:
            found = self._level(left.pop())
            left += [folder for folder in found.folders if not self.refuses(folder)]
            yield found.entries

    def _found(self, top: str) -> Iterator[Sequence[Entry]]:
        path = self._path(top.rstrip("/"), folder=True)

        def attempt() -> Any:
            try:
                return self._files.find(path, detail=True)
            except (FileNotFoundError, NotADirectoryError):
                return {}

        infos = iter(self._ask(attempt, f"{self.root}/{top}", listed=False).values())
        while page := [*islice(infos, _PAGE)]:
            entries = [entry_of(self._key(info["name"]), info) for info in page if info["type"] != "directory"]
            yield [each for each in entries if each.key.startswith(top) and _TEMPORARY not in each.key.rpartition("/")[2]]

    def _lists_at_once(self) -> bool:
        """Return whether the filesystem has a way of its own to find files: the general one leaves out what it fails to list."""
        from fsspec import AbstractFileSystem
        from fsspec.asyn import AsyncFileSystem

        if self._kind.async_impl:
            return self._kind._find is not AsyncFileSystem._find
        return self._kind.find is not AbstractFileSystem.find

    # --- bytes -------------------------------------------------------------------------------------------------------

    def read(self, key: str, offset: int, into: Sequence[memoryview], version: str = "") -> None:
        """Fill consecutive buffers with the bytes of a file from an offset on."""
        if version:
            self._check_version(key, version)
        path, address = self._path(key), f"{self.root}/{key}"
        end = offset + sum(buffer.nbytes for buffer in into)
        for buffer in into:
            for at in range(0, buffer.nbytes, _LARGEST):
                part = buffer[at : at + _LARGEST]

                def attempt(start: int = offset, part: memoryview = part) -> None:
                    data = self._files.cat_file(path, start=start, end=start + part.nbytes, **self._unbuffered())
                    if len(data) != part.nbytes:
                        self._raise_for_length(key, len(data), start, part.nbytes, end)
                    part[:] = data

                self._ask(attempt, address, listed=True, nbytes=part.nbytes)
                offset += part.nbytes

    def _raise_for_length(self, key: str, came: int, start: int, wanted: int, end: int) -> None:
        size = entry_of(key, self._files.info(self._path(key))).size
        if 0 <= size < start + wanted:
            raise BadFile(f"{self.root}/{key} ends after {size:,} bytes; {end:,} are needed")
        raise Passing(f"{came:,} bytes came; {wanted:,} were asked for")

    def _check_version(self, key: str, version: str) -> None:
        """Raise `FileChanged` if a file has another version; what fsspec keeps of it is asked first."""
        if self._info(key, listed=True).version == version:
            return
        self._refresh(0.0)
        if (there := self._info(key, listed=True).version) != version:
            raise FileChanged(
                f"{self.root}/{key} was replaced since it was listed ({there}, then {version}): open the data again"
            )

    def _unbuffered(self) -> dict[str, Any]:
        """Return what makes a filesystem read no more bytes than those asked for."""
        from fsspec import AbstractFileSystem

        general = not self._kind.async_impl and self._kind.cat_file is AbstractFileSystem.cat_file
        return {"cache_type": "none"} if general else {}

    def write(self, key: str, pieces: Iterable[bytes | memoryview]) -> Entry:
        """Write a file under a temporary name, which then gets its name."""
        path, address = self._path(key), f"{self.root}/{key}"
        temporary = f"{path}{_TEMPORARY}{secrets.token_hex(8)}"
        folder = path.rpartition("/")[0]
        with contextlib.suppress(BadSetting):  # a filesystem without folders has none to make
            self._ask(lambda: self._files.makedirs(folder, exist_ok=True) if folder else None, address, listed=False)
        try:
            file = self._once(lambda: self._files.open(temporary, "wb"), address)
            try:
                for piece in pieces:  # pieces may come from this storage, so no lock is held between them
                    self._once(lambda piece=piece: file.write(piece), address)  # type: ignore[misc]
            finally:
                self._once(file.close, address)
            self._once(lambda: self._move(temporary, path), address)
        finally:
            self._refresh(0.0)
            with contextlib.suppress(Exception):  # the error of writing is the one to raise, and there may be no such file
                self._once(lambda: self._files.rm_file(temporary) if self._files.exists(temporary) else None, address)
        self._refresh(0.0)
        return self.entry(key)

    def _move(self, old: str, new: str) -> None:
        from fsspec import AbstractFileSystem

        if self._kind.mv is not AbstractFileSystem.mv:
            self._files.mv(old, new)
        else:  # the general way takes names for patterns
            self._files.cp_file(old, new)
            self._files.rm_file(old)

    def remove(self, key: str) -> None:
        """Remove a file; it need not exist."""
        path = self._path(key)

        def attempt() -> None:
            with contextlib.suppress(FileNotFoundError):
                if self._files.exists(path):  # FTP has no error of its own for what is not there
                    self._files.rm_file(path)

        self._refresh(0.0)
        self._ask(attempt, f"{self.root}/{key}", listed=False)
        self._refresh(0.0)

    # --- requests ----------------------------------------------------------------------------------------------------

    def _info(self, key: str, *, listed: bool) -> Entry:
        path = self._path(key)
        info = self._ask(lambda: self._files.info(path), f"{self.root}/{key}", listed=listed)
        if info["type"] == "directory":
            raise (FileChanged if listed else NotFound)(f"{self.root}/{key} is a folder, not a file")
        return entry_of(key, info)

    def _refresh(self, after: float) -> None:
        """Have fsspec forget the listings that it keeps, unless it did so less than some seconds ago."""
        now = time.monotonic()
        if now - self._refreshed >= after:
            with self._lock:
                self._files.invalidate_cache()
            self._refreshed = now

    def _ask(self, attempt: Callable[[], T], address: str, *, listed: bool, nbytes: int = 0) -> T:
        """Return the result of a request; after a failed connection, another is made."""
        if os.getpid() != self._process:
            raise LoaderClosed(
                f"{address} cannot be read in a forked process: start processes with "
                'multiprocessing.get_context("spawn"), or open the data there'
            )

        def once() -> T:
            age = self._age
            try:
                with self._lock:
                    return attempt()
            except Exception as error:
                failed = translated(error, address, listed=listed)
                if isinstance(failed, Passing) and not failed.status and not self._kind.async_impl:
                    self._renew(age)
                if failed is error:
                    raise
                raise failed from error

        return LIMITER.perform(address, once, nbytes, self._deadline)

    def _once(self, call: Callable[[], T], address: str) -> T:
        """Return the result of a step of writing, which cannot be repeated."""
        try:
            with self._lock:
                return call()
        except Exception as error:
            failed = translated(error, address, listed=False)
            raise (
                RequestFailed(f"{address}: {failed}", failed.status) if isinstance(failed, Passing) else failed
            ) from error

    def _renew(self, age: int) -> None:
        """Connect again, unless another thread has done so since ``age``; a server that cannot be reached yet is tried again later."""
        with self._renewing, contextlib.suppress(Exception):
            if self._age == age:
                self._files, self._age = self._connected()[0], age + 1

    def _connected(self) -> tuple[Any, str]:
        """Return a new filesystem, and the beginning of the paths of all files: those of users of fsspec may be in use by other threads."""
        from fsspec.core import url_to_fs

        try:
            files, path = url_to_fs(f"{self.root}/x", skip_instance_cache=True, **self._options)
        except ImportError as error:
            raise MissingPackage(f"{self.root}: {one_line(error)}") from error
        except Exception as error:
            failed = translated(error, self.root, listed=False)
            if isinstance(failed, Passing):
                raise RequestFailed(f"{self.root}: {failed}", failed.status) from error
            if isinstance(error, TypeError | ValueError):
                raise BadSetting(f"{self.root} cannot be opened with these storage_options: {one_line(error)}") from error
            raise failed from error
        if not path.endswith("x"):
            raise BadSetting(
                f"{self.root}: fsspec takes files of {self._scheme}:// for {path!r}: they have no names below an address"
            )
        return files, path.removesuffix("x")

    def _path(self, key: str, *, folder: bool = False) -> str:
        if any(part in ("", ".", "..") for part in key.split("/")) and not (folder and not key):
            raise BadSetting(
                f"{self.root}/{key}: names with an empty part, or with . or .. as a part, cannot be read through fsspec"
            )
        path = f"{self._base}{key}"
        if not folder and self._kind._strip_protocol(path) != path:
            raise BadSetting(
                f"{self.root}/{key}: fsspec takes this name for {self._kind._strip_protocol(path)!r}: rename or copy the file"
            )
        return path.rstrip("/") if key or path != "/" else path

    def _key(self, name: str) -> str:
        """Return the key of a name: some filesystems return it without the slash that paths begin with."""
        return name.lstrip("/").removeprefix(self._base.lstrip("/"))


def _filesystem_class(scheme: str, root: str) -> Any:
    from bitesize.storage.objects import SCHEMES

    own = ", ".join(f"{each}://" for each in SCHEMES)
    if not is_installed("fsspec"):
        raise MissingPackage(
            f"{root}: {scheme}:// is none of {own}; others are read through fsspec, which is not installed: {pip_install('fsspec')}"
        )
    import fsspec

    if scheme in _LOCAL:
        raise BadSetting(f"{root}: files of this machine need no {scheme}://: pass their path")
    try:
        if scheme not in _WRAPPERS:
            return fsspec.get_filesystem_class(scheme)
    except ImportError as error:
        raise MissingPackage(f"{root}: {one_line(error)}") from error
    except ValueError:  # it does not know the scheme
        pass
    known = sorted(set(fsspec.available_protocols()) - _WRAPPERS - set(SCHEMES) - set(_LOCAL))
    raise BadSetting(
        f"{scheme}:// is not supported: {own} are; and through fsspec, some with a further "
        f"package, {', '.join(f'{each}://' for each in known)}. Copy the data, mount it as a folder, or add a storage with "
        "bitesize.storage.register_storage"
    )
