"""Patterns of objects, such as ``s3://bucket/photos/**/*.jpg``: the rules of `glob`, for addresses."""

from __future__ import annotations

import fnmatch
import glob
from collections.abc import Iterator

from bitesize.storage import remote
from bitesize.storage.url import parts_of, split_url


def matches(pattern: str) -> list[str]:
    """Return the files and folders that a pattern matches, in any order.

    As in `glob`, ``*`` matches no slash and no dot at the start of a name, and ``**`` matches any number of folders. A folder that has
    exactly the name of a part of the pattern is matched literally.
    """
    url = split_url(pattern)
    parts = parts_of(url.key)
    fixed = next((i for i, part in enumerate(parts) if glob.has_magic(part)), len(parts))
    folder = "/".join([url.root, *parts[:fixed]])
    remote.know_folder(folder)
    if fixed < len(parts) and not remote.is_folder(folder):
        return []
    while fixed < len(parts) and remote.is_folder(f"{folder}/{parts[fixed]}"):
        folder, fixed = f"{folder}/{parts[fixed]}", fixed + 1
    return list(dict.fromkeys(_below(folder, parts[fixed:])))


def _below(folder: str, parts: list[str]) -> Iterator[str]:
    part, rest = parts[0] if parts else "", parts[1:]
    if not part:
        yield folder
    elif part == "**":
        yield from _below(folder, rest)
        for name, is_folder in remote.children(folder):
            if name.startswith("."):
                continue
            if is_folder:
                yield from _below(f"{folder}/{name}", parts)
            elif not rest:
                yield f"{folder}/{name}"
    else:
        for name, is_folder in remote.children(folder):
            if _fits(name, part) and (is_folder or not rest):
                yield from _below(f"{folder}/{name}", rest)


def _fits(name: str, part: str) -> bool:
    if not glob.has_magic(part):
        return name == part
    return fnmatch.fnmatchcase(name, part) and (part.startswith(".") or not name.startswith("."))
