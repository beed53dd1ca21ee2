"""The list of all objects below a prefix, made once."""

from __future__ import annotations

import io
import os
import time
from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Any
from weakref import WeakValueDictionary

import numpy as np
from numpy.typing import NDArray

from bitesize.errors import FileChanged
from bitesize.storage.base import Entry
from bitesize.storage.listing.blocks import Block, decoded, encoded
from bitesize.storage.listing.folders import FolderTable
from bitesize.storage.listing.index import (
    CURRENT,
    OBJECTS_FILE,
    Index,
    count_folders,
    load_folders,
    load_index,
    write_blocks,
)
from bitesize.storage.listing.reading import Content
from bitesize.storage.listing.sorting import Runs
from bitesize.storage.listing.tree import Tree

# Lists that this process has opened from disk, by address and fingerprint: in place of the same list on the disk of another machine.
_opened: WeakValueDictionary[tuple[str, str], ObjectList] = WeakValueDictionary()


class ObjectList:
    """All objects below a prefix, in natural order, files of a folder before those of its subfolders.

    Empty objects whose names end with a slash, or are also names of folders, stand for folders, as consoles create them: they are no files.
    Objects, also these, are numbered from 0 in this order. A list that was opened from disk reads its blocks when they are needed.

    Parameters
    ----------
    root
        Root of the storage, ``s3://bucket``.
    prefix
        Prefix of all keys; empty, or with a slash at its end.
    entries
        The objects.

    Attributes
    ----------
    listed_at : float
        Time at which listing started, in seconds since 1970.
    made_new : bool
        Whether this process made the list.
    facts : dict
        What is known of the making: ``seconds``, ``pages``, and ``given`` for a list that was made from a file.
    folder : str
        Folder on disk; empty if the list is in memory.
    place : object
        What lives as long as the list: a temporary folder.

    Examples
    --------
    >>> from bitesize.storage.base import Entry
    >>> found = ObjectList("s3://bucket", "photos/", [Entry("photos/cat/10.jpg", 5), Entry("photos/cat/9.jpg", 7)])
    >>> len(found), found.object(0).key, found.entry("photos/cat/10.jpg").size
    (2, 'photos/cat/9.jpg', 5)
    >>> list(found.children("photos"))
    [('cat', True)]
    """

    place: object = None
    folder: str
    made_new: bool
    listed_at: float
    facts: Mapping[str, Any] = MappingProxyType({})
    _head: Mapping[str, Any] = MappingProxyType({})
    _table: FolderTable | None = None

    def __init__(self, root: str, prefix: str, entries: Iterable[Entry] = ()) -> None:
        file = io.BytesIO()
        runs = Runs(prefix, io.BytesIO())
        runs.add(entries)
        index, table = write_blocks(runs.sorted(), file)
        self._set(root, prefix, index, Content(f"the list of {root}/{prefix}", file.getvalue()))
        self.folder, self._table = "", table
        self.listed_at, self.made_new = time.time(), True

    @classmethod
    def open(cls, folder: str, head: dict[str, Any], *, made_new: bool = False) -> ObjectList:
        """Return a list on disk; its head is that of `listing.place`.

        Raises
        ------
        BadFile
            If it is damaged.
        """
        found = cls.__new__(cls)
        index = load_index(folder, head)
        content = Content.open(os.path.join(folder, OBJECTS_FILE), os.path.join(os.path.dirname(folder), CURRENT))
        found._set(head["root"], head["prefix"], index, content)
        found.folder, found._head = folder, head
        found.listed_at, found.made_new, found.facts = head["listed_at"], made_new, head["facts"]
        _opened[found.prefix_address, found.fingerprint] = found
        return found

    def _set(self, root: str, prefix: str, index: Index, content: Content) -> None:
        self.root, self.prefix = root, prefix
        self._tree = Tree(index, content)
        self._prefix = encoded(prefix)
        self._top = f"{root}/{prefix}"

    @property
    def prefix_address(self) -> str:
        """Address of the prefix, with a slash at its end."""
        return self._top

    @property
    def fingerprint(self) -> str:
        """Hash of all keys, sizes and versions."""
        return self._tree.index.fingerprint

    @property
    def total_size(self) -> int:
        """Sum of the sizes that are known, in bytes."""
        return self._tree.index.nbytes

    @property
    def unknown(self) -> int:
        """Number of objects whose size is not known."""
        return self._tree.index.unknown

    @property
    def nbytes(self) -> int:
        """Bytes of memory, with the most that is kept of the blocks."""
        table = self._table.memory if self._table is not None else 0
        return self._tree.memory + table

    @property
    def folders(self) -> FolderTable:
        """All folders that have objects of their own; read from disk on first use."""
        if self._table is None:
            try:
                self._table = load_folders(self.folder, self._head)
            except FileNotFoundError:  # another process has made a newer list; of this one, only the objects are still open
                self._table = count_folders(zip(self.keys(), self._tree.sizes(0, len(self)), strict=True))
        return self._table

    def __len__(self) -> int:
        return self._tree.index.objects

    def object(self, i: int) -> Entry:
        """Return an object by number. A size of -1 is not known."""
        return self._entry(*self._tree.of(i))

    def relative(self, i: int) -> bytes:
        """Return the key of an object after the prefix, as bytes."""
        return self._tree.relative(i)

    def keys(self, start: int = 0, stop: int | None = None) -> Iterator[bytes]:
        """Yield the keys of objects ``start`` to ``stop`` after the prefix, as bytes."""
        return self._tree.keys(start, len(self) if stop is None else stop)

    def sizes(self, start: int = 0, stop: int | None = None) -> NDArray[np.int64]:
        """Return the sizes of objects ``start`` to ``stop``; -1 if not known."""
        return np.fromiter(self._tree.sizes(start, len(self) if stop is None else stop), np.int64)

    def entry(self, key: str) -> Entry | None:
        """Return an object, or None if there is none, or it stands for a folder. A size of -1 is not known."""
        inside = self._inside(key)
        found = None if inside is None or not inside else self._tree.find(inside)
        if found is None or self._tree.stands_for_folder(inside or b"", found[0].size(found[1])):
            return None
        return self._entry(*found)

    def is_folder(self, key: str) -> bool:
        """Return whether a key without a slash at its end is a folder."""
        inside = self._inside(key)
        return inside is not None and (not inside or self._tree.is_folder(inside))

    def children(self, key: str) -> Iterator[tuple[str, bool]]:
        """Yield the names in a folder, and whether each is a folder; a name that is both comes twice.

        Files come first, then folders, both in natural order.
        """
        inside = self._inside(key)
        if inside is not None and (not inside or self._tree.is_folder(inside)):
            for name, is_folder in self._tree.children(inside, self._tree.start(inside)):
                yield decoded(name), is_folder

    def subfolders(self, key: str) -> Iterator[str]:
        """Yield the names of the folders in a folder, without looking at its files."""
        inside = self._inside(key)
        if inside is None:
            return
        own, table = self.folder_number(inside), self.folders
        after = self._tree.start(inside) if own is None else int(table.first[own] + table.count[own])
        for name, is_folder in self._tree.children(inside, after):
            if is_folder:
                yield decoded(name)

    def folder_number(self, inside: bytes) -> int | None:
        """Return the number of a folder in `folders`, by its path after the prefix; None if it has no objects of its own."""
        at = self._tree.start(inside)
        if at >= len(self):
            return None
        number = self.folders.of(at)
        return number if self.folders.path(number) == inside else None

    def standing_for_folders(self, start: int, stop: int) -> list[int]:
        """Return the numbers of the objects from ``start`` to ``stop`` that stand for folders."""
        return self._tree.standing_for_folders(start, stop)

    def stand_for_folders(self, key: str) -> int:
        """Return the number of empty objects that stand for a folder, or for one below it."""
        inside = self._inside(key)
        if inside is None:
            return 0
        own = self._tree.find(inside) if inside else None
        itself = own is not None and self._tree.stands_for_folder(inside, own[0].size(own[1]))
        stop = self._tree.end(inside) if inside else len(self)
        return itself + len(self._tree.standing_for_folders(self._tree.start(inside), stop))

    def address(self, i: int) -> str:
        """Return the address of an object."""
        return self._top + decoded(self.relative(i))

    def statement(self) -> str:
        """Return what a user should know of the list: its size, its age, and the setting that lists again."""
        count = f"{len(self):,} object{'' if len(self) == 1 else 's'}"
        unknown = f", {self.unknown:,} of unknown size" if self.unknown else ""
        if self.facts.get("given"):
            return f"list of {count} from {self.facts['given']}{unknown}, not compared with the storage"
        if self.made_new:
            return f"list of {count} made now"
        return f'list of {count} made {_age(time.time() - self.listed_at)} ago; listing="new" lists again'

    def __reduce__(self) -> tuple[Any, ...]:
        if self.folder:
            return _reopened, (self.folder, dict(self._head))
        return ObjectList, (self.root, self.prefix, [self.object(i) for i in range(len(self))])

    def _entry(self, block: Block, i: int) -> Entry:
        return Entry(self.prefix + decoded(block.key(i)), block.size(i), block.version(i), block.time(i))

    def _inside(self, key: str) -> bytes | None:
        """Return the path of a folder after the prefix, without a slash at its end: empty for the prefix itself; None if it is not below it."""
        if f"{key}/" == self.prefix or (not key and not self.prefix):
            return b""
        raw = encoded(key)
        return raw[len(self._prefix) :] if raw.startswith(self._prefix) and len(raw) > len(self._prefix) else None


def _age(seconds: float) -> str:
    for unit, length in (("day", 86_400), ("hour", 3600), ("minute", 60)):
        count = int(seconds / length)
        if count:
            return f"{count} {unit}{'' if count == 1 else 's'}"
    return "less than a minute"


def _reopened(folder: str, head: dict[str, Any]) -> ObjectList:
    try:
        return ObjectList.open(folder, head)
    except FileNotFoundError as error:
        address = f"{head['root']}/{head['prefix']}"
        if (same := _opened.get((address, head["fingerprint"]))) is not None:
            return same
        raise FileChanged(f"the list of {address} was replaced by a newer one: open the data again") from error
