"""The list of all objects below a prefix, made once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from bitesize.storage.base import Entry


class ObjectList:
    """All objects below a prefix, sorted, with the folders that their names imply.

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
        self._folders: dict[str, dict[str, bool]] = {}
        for key in self._entries:
            self._add(key)

    @property
    def prefix_address(self) -> str:
        """Address of the prefix, with a slash at its end."""
        return f"{self.root}/{self.prefix}"

    def __len__(self) -> int:
        return len(self._entries)

    def entry(self, key: str) -> Entry | None:
        """Return an object, or None."""
        return self._entries.get(key)

    def is_folder(self, key: str) -> bool:
        """Return whether a key without a slash at its end is a folder."""
        return key in self._folders or f"{key}/" == self.prefix or (not key and not self.prefix)

    def children(self, key: str) -> Iterator[tuple[str, bool]]:
        """Yield the names in a folder, and whether each is a folder."""
        yield from self._folders.get(key, {}).items()

    def _add(self, key: str) -> None:
        name, is_folder = key, False
        while True:
            folder, _, base = name.rpartition("/")
            known = self._folders.setdefault(folder, {})
            seen = base in known
            known[base] = known.get(base, False) or is_folder
            if seen or not folder:
                return
            name, is_folder = folder, True
