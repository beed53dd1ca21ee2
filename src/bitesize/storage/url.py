"""Addresses of objects: ``scheme://store/key``. Keys are unchanged: nothing is decoded, normalized or joined away."""

from __future__ import annotations

import os
import re
from typing import NamedTuple

# The last part of a key begins after a slash; further slashes before it belong to it, so that no part is empty.
_LAST = re.compile(r"(?:(.*[^/])/)?(/*[^/]+)", re.DOTALL)
# A scheme has at least two letters, because a single one is a drive of Windows.
_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://([^/]*)(?:/(.*))?", re.DOTALL)
_SCHEME = re.compile(rb"[A-Za-z][A-Za-z0-9+.-]+://")


class Url(NamedTuple):
    """An address, in two parts.

    Attributes
    ----------
    root : str
        Scheme and bucket, container or host: ``s3://bucket``.
    key : str
        Name of the object in it, without a leading slash; may be empty.
    """

    root: str
    key: str

    @property
    def scheme(self) -> str:
        """Return the scheme, in lower case."""
        return self.root.partition("://")[0]

    def __str__(self) -> str:
        return f"{self.root}/{self.key}"


def is_url(path: object) -> bool:
    """Return whether a path is an address with a scheme, such as ``s3://bucket/key``.

    Examples
    --------
    >>> is_url("s3://bucket/a.npy"), is_url(b"https://host/a.npy"), is_url("C:/a.npy"), is_url("a.npy")
    (True, True, False, False)
    """
    if isinstance(path, bytes):
        return b"://" in path and _SCHEME.match(path) is not None
    return isinstance(path, str) and "://" in path and _URL.match(path) is not None


def split_url(path: str | bytes) -> Url:
    """Return the parts of an address.

    Examples
    --------
    >>> split_url("s3://bucket/photos/a b.jpg")
    Url(root='s3://bucket', key='photos/a b.jpg')
    """
    text = os.fsdecode(path) if isinstance(path, bytes) else path
    match = _URL.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not an address such as s3://bucket/key")
    return Url(f"{match[1].lower()}://{match[2]}", match[3] or "")


def split_key(key: str) -> tuple[str, str]:
    """Return the folder and the last part of a key: joined by a slash they are the key, or, without a folder, the part alone.

    Keys may have empty parts, which no folder of a disk has: ``a//b`` is ``/b`` in ``a``.

    Examples
    --------
    >>> split_key("photos/cats/1.jpg"), split_key("1.jpg"), split_key("photos//1.jpg"), split_key("/1.jpg")
    (('photos/cats', '1.jpg'), ('', '1.jpg'), ('photos', '/1.jpg'), ('', '/1.jpg'))
    """
    folder, slash, last = key.rpartition("/")
    if not slash or (folder and last and folder[-1] != "/"):
        return folder, last
    match = _LAST.fullmatch(key)
    return (match[1] or "", match[2]) if match is not None else ("", key)


def parts_of(key: str) -> list[str]:
    """Return all parts of a key, see `split_key`.

    Examples
    --------
    >>> parts_of("photos//cats/1.jpg")
    ['photos', '/cats', '1.jpg']
    """
    parts: list[str] = []
    while key:
        key, last = split_key(key)
        parts.append(last)
    return parts[::-1]
