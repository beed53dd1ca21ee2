"""Natural order of names: digits count as numbers, and files of a folder come before those of its subfolders."""

from __future__ import annotations

import functools
import os
import re

_DIGITS = re.compile(rb"(\d+)")
_HAS_LEADING_ZERO = re.compile(rb"(?<!\d)0\d")
_LAST = re.compile(rb"(?:(.*[^/])/)?(/*[^/]*)", re.DOTALL)
# Marks within a key of bytes, in ascending order. A zero byte of a name becomes the last of them.
_END, _NUMBER, _ZERO = b"\0\0", b"\0\1", b"\0\2"
_FILE, _FOLDER = b"\1", b"\2"
NaturalKey = tuple[list[bytes | int], bytes]


def natural_key(name: bytes) -> NaturalKey:
    """Return a sort key in which digits count as numbers. It differs for different names, whatever order they are given in.

    Examples
    --------
    >>> sorted([b"img10", b"img09", b"img9"], key=natural_key)
    [b'img9', b'img09', b'img10']
    """
    parts: list[bytes | int] = list(_DIGITS.split(name))
    parts[1::2] = map(int, parts[1::2])
    return parts, _tie(name)


def path_key(path: str | bytes) -> list[tuple[bool, NaturalKey]]:
    """Return a sort key of paths: natural order, files of a folder before those of its subfolders.

    Examples
    --------
    >>> sorted(["b/img10.png", "b/img9.png", "c.png", "a/b/1.png"], key=path_key)
    ['c.png', 'a/b/1.png', 'b/img9.png', 'b/img10.png']
    """
    parts = os.fsencode(path).replace(os.fsencode(os.sep), b"/").split(b"/")
    return [(i < len(parts) - 1, natural_key(part)) for i, part in enumerate(parts)]


def _tie(name: bytes) -> bytes:
    """Return what decides between names such as 1 and 01, which have the same numbers: the names themselves."""
    return name if _HAS_LEADING_ZERO.search(name) else b""


def class_key(name: str) -> tuple[int, int, str]:
    """Return a sort key of class names: numbers first and by value, then text."""
    return (0, int(name), name) if name.isascii() and name.isdigit() and len(name) < 20 else (1, 0, name)


def split_bytes(key: bytes) -> tuple[bytes, bytes]:
    """Return the folder and the last part of a key, as `url.split_key`; of a key with a slash at its end, that folder and an empty part.

    Examples
    --------
    >>> split_bytes(b"a/b/1.jpg"), split_bytes(b"a//1.jpg"), split_bytes(b"a/b/"), split_bytes(b"1.jpg")
    ((b'a/b', b'1.jpg'), (b'a', b'/1.jpg'), (b'a/b', b''), (b'', b'1.jpg'))
    """
    folder, slash, last = key.rpartition(b"/")
    if not slash or (folder and last and folder[-1:] != b"/"):
        return folder, last
    match = _LAST.fullmatch(key)
    assert match is not None
    return match[1] or b"", match[2]


def key_bytes(key: bytes) -> bytes:
    """Return the sort key of the key of an object as bytes: the order of `path_key`, and different for different keys.

    Comparing bytes is fast, and a folder is the range of keys that start with `folder_bytes`.

    Examples
    --------
    >>> sorted([b"b/img10.png", b"b/img9.png", b"c.png", b"a/b/1.png"], key=key_bytes)
    [b'c.png', b'a/b/1.png', b'b/img9.png', b'b/img10.png']
    """
    folder, name = split_bytes(key)
    return folder_bytes(folder) + _FILE + _part(name)


@functools.lru_cache(maxsize=1024)
def folder_bytes(folder: bytes) -> bytes:
    """Return the start of the sort keys of all objects in a folder and its subfolders; its name has no slash at its end."""
    parts = []
    while folder:
        folder, last = split_bytes(folder)
        parts.append(_FOLDER + _part(last))
    return b"".join(reversed(parts))


def _part(name: bytes) -> bytes:
    """Return the sort key of a name: its text, with each number as the number of its digits and the digits."""
    whole = name.replace(b"\0", _ZERO) if b"\0" in name else name
    key = _DIGITS.sub(_number, whole) + _END
    return key + _tie(whole) + _END


def _number(match: re.Match[bytes]) -> bytes:
    digits = match[0].lstrip(b"0")
    count = len(digits)
    return _NUMBER + (bytes((count,)) if count < 255 else b"\xff" + count.to_bytes(4, "big")) + digits
