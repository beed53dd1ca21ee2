"""Blocks of a list of objects: 128 neighbors in the order of the list, which are read together.

A block is: the number of objects and the numbers of bytes of the three texts that follow (four ``uint32``); ends of names and of versions
(``uint32`` each); sizes (``int64``); kinds of versions (``uint8``); the start that all keys have in common; the rest of each key; the
versions; times (``int64``). All numbers are little-endian. Times are last, because they do not count for the fingerprint.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Sequence
from typing import NamedTuple

from bitesize.errors import BadFile

OBJECTS = 128  # in a block
_HEAD = struct.Struct("<IIII")
# An MD5 as S3 writes it takes 16 bytes instead of 34.
_HEX = re.compile(r"[0-9a-f]{32}")
_TEXT, _PLAIN, _QUOTED = 0, 1, 2


class Record(NamedTuple):
    """An object while a list is made: sort key, key after the prefix, size (-1 if unknown), version, time."""

    order: bytes
    key: bytes
    size: int
    version: str
    time: int


def encoded(text: str) -> bytes:
    """Return a key as bytes; those that are not text in UTF-8 come back unchanged."""
    return text.encode("utf-8", "surrogateescape")


def decoded(key: bytes) -> str:
    """Return the key that these bytes stand for."""
    return key.decode("utf-8", "surrogateescape")


def encode_block(records: Sequence[Record]) -> bytes:
    """Return a block of at most `OBJECTS` records."""
    n = len(records)
    keys = [record.key for record in records]
    first, last = min(keys), max(keys)
    cut = next((i for i, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), min(len(first), len(last)))
    versions, kinds = zip(*[_packed_version(record.version) for record in records], strict=True)
    names = b"".join([key[cut:] for key in keys])
    texts = b"".join(versions)
    ends, version_ends, end, version_end = [], [], 0, 0
    for key, version in zip(keys, versions, strict=True):
        end += len(key) - cut
        version_end += len(version)
        ends.append(end)
        version_ends.append(version_end)
    numbers = struct.pack(f"<{2 * n}I{n}q{n}B", *ends, *version_ends, *[record.size for record in records], *kinds)
    times = struct.pack(f"<{n}q", *[record.time for record in records])
    return b"".join((_HEAD.pack(n, cut, len(names), len(texts)), numbers, first[:cut], names, texts, times))


def without_times(block: bytes) -> memoryview:
    """Return a block up to its times."""
    return memoryview(block)[: len(block) - 8 * _HEAD.unpack_from(block)[0]]


class Block:
    """A block that was read; each question decodes only what it needs.

    Raises
    ------
    BadFile
        If it is no block.
    """

    __slots__ = ("_common", "_names", "_raw", "_texts", "_times", "n")

    def __init__(self, raw: bytes) -> None:
        self._raw = raw
        if len(raw) < _HEAD.size:
            raise BadFile("a block of a list of objects is cut off")
        self.n, cut, names, texts = _HEAD.unpack_from(raw)
        at = _HEAD.size + 17 * self.n
        self._common, self._names, self._texts = raw[at : at + cut], at + cut, at + cut + names
        self._times = self._texts + texts
        if not self.n or self._times + 8 * self.n != len(raw):
            raise BadFile("a block of a list of objects has a wrong size")

    @property
    def nbytes(self) -> int:
        """Number of bytes in memory, roughly."""
        return len(self._raw) + len(self._common) + 200

    def key(self, i: int) -> bytes:
        """Return the key of an object, after the prefix of the list."""
        start, end = self._ends(_HEAD.size, i)
        return self._common + self._raw[self._names + start : self._names + end]

    def size(self, i: int) -> int:
        """Return the size of an object; -1 if unknown."""
        size: int = struct.unpack_from("<q", self._raw, _HEAD.size + 8 * self.n + 8 * i)[0]
        return size

    def version(self, i: int) -> str:
        """Return the version of an object."""
        start, end = self._ends(_HEAD.size + 4 * self.n, i)
        kind = self._raw[_HEAD.size + 16 * self.n + i]
        content = self._raw[self._texts + start : self._texts + end]
        if kind == _TEXT:
            return decoded(content)
        return content.hex() if kind == _PLAIN else f'"{content.hex()}"'

    def time(self, i: int) -> int:
        """Return the time of an object."""
        time: int = struct.unpack_from("<q", self._raw, self._times + 8 * i)[0]
        return time

    def keys(self) -> list[bytes]:
        """Return all keys, after the prefix of the list."""
        ends = struct.unpack_from(f"<{self.n}I", self._raw, _HEAD.size)
        at, common, start, keys = self._names, self._common, 0, []
        for end in ends:
            keys.append(common + self._raw[at + start : at + end])
            start = end
        return keys

    def sizes(self) -> tuple[int, ...]:
        """Return all sizes."""
        return struct.unpack_from(f"<{self.n}q", self._raw, _HEAD.size + 8 * self.n)

    def _ends(self, table: int, i: int) -> tuple[int, int]:
        if i:
            start, end = struct.unpack_from("<II", self._raw, table + 4 * (i - 1))
            return start, end
        return 0, struct.unpack_from("<I", self._raw, table)[0]


def _packed_version(version: str) -> tuple[bytes, int]:
    if len(version) == 34 and version[0] == version[-1] == '"' and _HEX.fullmatch(version, 1, 33):
        return bytes.fromhex(version[1:-1]), _QUOTED
    if len(version) == 32 and _HEX.fullmatch(version):
        return bytes.fromhex(version), _PLAIN
    return encoded(version), _TEXT
