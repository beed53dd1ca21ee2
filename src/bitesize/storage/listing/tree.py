"""The folders that the keys of a list imply. Keys and folders here are those after the prefix, as bytes, folders without a slash at the end."""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np

from bitesize.storage.listing.blocks import Block
from bitesize.storage.listing.reading import Blocks
from bitesize.storage.natural import folder_bytes, key_bytes

# The first part of a key: slashes before it belong to it.
_FIRST = re.compile(rb"/*[^/]+")


class Tree(Blocks):
    """The blocks of a list, with questions about folders."""

    def relative(self, i: int) -> bytes:
        """Return the key of an object."""
        block, inside = self.of(i)
        return block.key(inside)

    def size(self, i: int) -> int:
        """Return the size of an object; -1 if it is not known."""
        block, inside = self.of(i)
        return block.size(inside)

    def find(self, key: bytes) -> tuple[Block, int] | None:
        """Return the block of an object, and its number in the block."""
        at = self.position(key_bytes(key))
        if at >= self.index.objects:
            return None
        block, number = self.of(at)
        return (block, number) if block.key(number) == key else None

    def start(self, folder: bytes) -> int:
        """Return the number of the first object of a folder, or of the one that follows if it has none."""
        return self.position(folder_bytes(folder))

    def end(self, folder: bytes) -> int:
        """Return the number of the object after the last one of a folder and its subfolders."""
        return self.position(folder_bytes(folder) + b"\xff")

    def is_folder(self, folder: bytes) -> bool:
        """Return whether there is an object in a folder or below it that does not just stand for a folder."""
        if folder.endswith(b"/"):
            return False
        at = self.start(folder)
        while at < self.index.objects and (key := self.relative(at)).startswith(folder + b"/"):
            if not key.endswith(b"/"):
                return True
            at += 1
        return False

    def stands_for_folder(self, key: bytes, size: int) -> bool:
        """Return whether an object of this size stands for a folder."""
        return key.endswith(b"/") or not key or (not size and self.is_folder(key))

    def standing_for_folders(self, start: int, stop: int) -> list[int]:
        """Return the numbers of the objects from ``start`` to ``stop`` that stand for folders."""
        hollow = self.index.hollow
        numbers = hollow[np.searchsorted(hollow, start) : np.searchsorted(hollow, stop)].tolist()
        return [at for at in numbers if self.stands_for_folder(self.relative(at), self.size(at))]

    def children(self, folder: bytes, at: int) -> Iterator[tuple[bytes, bool]]:
        """Yield the names in a folder, and whether each is a folder, from an object in it on."""
        begin = folder + b"/" if folder else b""
        while at < self.index.objects and (key := self.relative(at)).startswith(begin):
            match = None if key[-1:] in (b"/", b"") else _FIRST.match(key, len(begin))
            if match is None:
                at += 1
            elif match.end() < len(key):
                yield match[0], True
                at = self.end(begin + match[0])  # all objects of a folder are together
            else:
                if not self.stands_for_folder(key, self.size(at)):
                    yield match[0], False
                at += 1
