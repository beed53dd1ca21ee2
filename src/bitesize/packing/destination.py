"""Where a store is packed: into a folder, or by way of a working folder to an address.

A store at an address is written in this order: `packing.json`; the files of each shard, and its `shard.json` after them; the manifest
last. So only complete shards are kept when packing continues, and only complete stores are opened. Shards are removed from the disk when
they are at the address.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

from bitesize.errors import NotFound, PackedError
from bitesize.files.atomic import flush_folder, remove_leftovers
from bitesize.files.stores import MANIFEST, PACKING
from bitesize.files.transfer import download, objects_below, remove, upload
from bitesize.packed.column import raise_typed
from bitesize.packed.info import SHARD_JSON, ShardInfo, open_shard, read_shard
from bitesize.packed.shard import remove_partials
from bitesize.storage.address import Folder, folder_of
from bitesize.storage.base import Entry
from bitesize.storage.locking import FolderLock
from bitesize.storage.url import is_url


class Destination:
    """A folder on the disk in which a store is packed.

    Parameters
    ----------
    folder
        The folder. It is created and locked by `locked`.

    Attributes
    ----------
    folder : Path
        Folder into which shards and manifest are written.
    final : Path or Address
        Where the store is when it is complete.
    keeps : bool
        Whether all of the store stays in ``folder``.
    """

    keeps = True

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.final: Folder = folder

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Make and lock the folder."""
        try:
            if not self.folder.is_dir():
                self.folder.mkdir(parents=True)
                flush_folder(self.folder.parent)
            lock = FolderLock.take(self.folder)
        except OSError as error:
            raise_typed(error, self.folder)
        if lock is None:
            raise PackedError(f"another process is packing into {self.final}")
        try:
            yield
        finally:
            lock.release()

    def begin(self) -> None:
        """Remove what killed processes have left, and find what there is of a store."""
        remove_leftovers(self.folder)

    def is_empty(self) -> bool:
        """Return whether nothing is there. Hidden files are the lock, and what was being written."""
        return all(name.startswith(".") for name in os.listdir(self.folder))

    def shard(self, folder: Path) -> ShardInfo:
        """Return a complete shard; its folder is ``folder``.

        Raises
        ------
        NotFound
            If there is none.
        PackedError
            If it is damaged or incomplete.
        """
        if not folder.exists():
            raise NotFound(f"{folder} does not exist")
        try:
            return open_shard(folder)
        except NotFound as error:
            raise PackedError(f"{folder} is no shard of bitesize: remove it, or choose another folder") from error

    def add_shard(self, info: ShardInfo) -> None:
        """Keep a shard that was sealed in the folder."""

    def remove_shard(self, folder: Path) -> None:
        """Remove a shard."""
        shutil.rmtree(folder)

    def remove_partials(self, folder: Path) -> bool:
        """Remove unfinished shards of killed processes from the folder of a split; return whether none of this host is left."""
        return remove_partials(folder)

    def add(self, name: str) -> None:
        """Keep a file of the store that was written in the folder."""

    def remove(self, name: str) -> None:
        """Remove a file of the store."""
        (self.folder / name).unlink(missing_ok=True)


class RemoteDestination(Destination):
    """An address to which a store is packed, by way of a working folder.

    Parameters
    ----------
    address
        Folder of the store, such as ``s3://bucket/packed/``.
    suffix
        End of the name of the working folder, of which each process needs its own.
    """

    keeps = False

    def __init__(self, address: str, suffix: str = "") -> None:
        address = address.rstrip("/")
        super().__init__(working_folder() / (sha256(address.encode()).hexdigest()[:24] + suffix))
        self.final, self._address = folder_of(address), address
        self._there: Mapping[str, Entry] = {}

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Make and lock the working folder, and empty it at the end: what is kept of the store is at the address."""
        with super().locked():
            try:
                yield
            finally:
                self.clear()

    def begin(self) -> None:
        """List the objects of the store, and copy what describes it."""
        self.clear()
        self._there = objects_below(self._address)
        for name in (MANIFEST, PACKING):
            if name in self._there:
                download(f"{self._address}/{name}", self._there[name], self.folder / name)

    def clear(self) -> None:
        """Empty the working folder."""
        for path in self.folder.iterdir():
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            elif not path.name.startswith("."):  # the lock
                path.unlink(missing_ok=True)

    def is_empty(self) -> bool:
        """Return whether there are no objects below the address."""
        return not self._there

    def shard(self, folder: Path) -> ShardInfo:
        """Return a complete shard of the address, checked by the sizes of its objects."""
        name = self._name(folder / SHARD_JSON)
        if name not in self._there:
            raise NotFound(f"{self._address}/{name} does not exist")
        try:
            download(f"{self._address}/{name}", self._there[name], folder / SHARD_JSON)
            info = read_shard(folder)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        for file, expected in info.files.items():
            entry = self._there.get(self._name(folder / file))
            if entry is None or entry.size != expected.nbytes:
                raise PackedError(
                    f"{self._address}/{self._name(folder / file)} is missing, or has another size than recorded"
                )
        return info

    def add_shard(self, info: ShardInfo) -> None:
        """Copy a shard to the address, its `shard.json` last, and remove it from the disk."""
        folder = Path(info.folder)
        for file in (*info.files, SHARD_JSON):
            upload(folder / file, f"{self._address}/{self._name(folder / file)}")
        shutil.rmtree(folder)

    def remove_shard(self, folder: Path) -> None:
        """Remove the objects of a shard, its `shard.json` first."""
        prefix = f"{self._name(folder)}/"
        names = [name for name in self._there if name.startswith(prefix)]
        for name in sorted(names, key=lambda name: name != prefix + SHARD_JSON):
            remove(f"{self._address}/{name}")

    def add(self, name: str) -> None:
        """Copy a file of the store to the address."""
        upload(self.folder / name, f"{self._address}/{name}")

    def remove(self, name: str) -> None:
        """Remove a file of the store from the address."""
        super().remove(name)
        remove(f"{self._address}/{name}")

    def _name(self, path: Path) -> str:
        return path.relative_to(self.folder).as_posix()


def working_folder() -> Path:
    """Return the folder with working folders of stores that are packed to addresses, among the user's folders for caches."""
    from platformdirs import user_cache_path

    return user_cache_path("bitesize") / "packing"


def destination_of(out: str | os.PathLike[str]) -> Destination:
    """Return where a store is packed, for the folder or the address of the store."""
    text = os.fspath(out)
    return RemoteDestination(text) if is_url(text) else Destination(Path(os.path.abspath(text)))
