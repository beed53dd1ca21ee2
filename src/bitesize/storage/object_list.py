"""The list of all objects below a prefix, made once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from bitesize.storage.base import Entry
from bitesize.storage.url import split_key

_FILE, _FOLDER = 1, 2


class ObjectList:
    """All objects below a prefix, with the folders that their names imply.

    Empty objects whose names end with a slash, or are also names of folders, stand for folders, as consoles create them: they are no files.

    Parameters
    ----------
    root
        Root of the storage, ``s3://bucket``.
    prefix
        Prefix of all keys; empty, or with a slash at its end.
    entries
        The objects.
    """

    def __init__(self, root: str, prefix: str, entries: Iterable[Entry]) -> None:
        self.root, self.prefix = root, prefix
        self._entries = {entry.key: entry for entry in entries}
        self._folders: dict[str, dict[str, int]] = {}  # by name relative to the prefix: what each name in a folder is
        for key in self._entries:
            if not key.endswith("/"):
                self._add(key[len(prefix) :])
        self._empty = [key[len(prefix) :].rstrip("/") for key in self._entries if self._stands_for_folder(key)]

    @property
    def prefix_address(self) -> str:
        """Address of the prefix, with a slash at its end."""
        return f"{self.root}/{self.prefix}"

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def total_size(self) -> int:
        """Sum of the sizes of all objects, in bytes."""
        return sum(entry.size for entry in self._entries.values())

    def entry(self, key: str) -> Entry | None:
        """Return an object, or None."""
        return None if self._stands_for_folder(key) else self._entries.get(key)

    def is_folder(self, key: str) -> bool:
        """Return whether a key without a slash at its end is a folder."""
        inside = self._inside(key)
        return inside is not None and (inside in self._folders or not inside)

    def children(self, key: str) -> Iterator[tuple[str, bool]]:
        """Yield the names in a folder, and whether each is a folder; a name that is both comes twice."""
        inside = self._inside(key)
        for name, kinds in self._folders.get(inside, {}).items() if inside is not None else ():
            if kinds & _FOLDER:
                yield name, True
            if kinds & _FILE and not (kinds & _FOLDER and self._stands_for_folder(self._key(inside or "", name))):
                yield name, False

    def stand_for_folders(self, key: str) -> int:
        """Return the number of empty objects that stand for a folder, or for one below it."""
        inside = self._inside(key)
        if inside is None:
            return 0
        return sum(not inside or folder == inside or folder.startswith(f"{inside}/") for folder in self._empty)

    def _inside(self, key: str) -> str | None:
        """Return a key relative to the prefix; None if it is not below it."""
        if f"{key}/" == self.prefix or not (key or self.prefix):
            return ""
        return key[len(self.prefix) :] if key.startswith(self.prefix) else None

    def _key(self, folder: str, name: str) -> str:
        return f"{self.prefix}{folder}/{name}" if folder else f"{self.prefix}{name}"

    def _stands_for_folder(self, key: str) -> bool:
        entry = self._entries.get(key)
        if entry is None:
            return False
        return key.endswith("/") or (not entry.size and key[len(self.prefix) :] in self._folders)

    def _add(self, inside: str) -> None:
        name, kind = inside, _FILE
        while True:
            folder, last = split_key(name)
            known = self._folders.setdefault(folder, {})
            before = known.get(last, 0)
            known[last] = before | kind
            if before & kind or not folder:
                return
            name, kind = folder, _FOLDER
