"""A folder as a bucket that a test can let fail, at addresses that start with ``disk://``."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path

from bitesize.errors import RequestFailed
from bitesize.storage.base import Entry
from bitesize.storage.local import LocalStorage
from bitesize.storage.stores import register_storage


class Bucket(LocalStorage):
    """A folder whose writes and removals are recorded, and fail or stop where a test wants it.

    Attributes
    ----------
    done : list of str
        Keys that were written, and those that were removed, with a minus sign before them.
    before : Callable
        Called with the number and the text of each before it is done; may raise.
    """

    def __init__(self, folder: Path, root: str = "disk://bucket") -> None:
        super().__init__(folder, root)
        self.folder, self.done = folder, list[str]()
        self.before: Callable[[int, str], None] = lambda number, text: None

    def write(self, key: str, pieces: Iterable[bytes | memoryview]) -> Entry:
        self._record(key)
        return super().write(key, pieces)

    def remove(self, key: str) -> None:
        self._record(f"-{key}")
        super().remove(key)

    def _record(self, text: str) -> None:
        self.before(len(self.done), text)
        self.done.append(text)

    def fail_after(self, count: int) -> None:
        """Let all writes and removals fail after some more."""
        first = len(self.done) + count

        def check(number: int, text: str) -> None:
            if number >= first:
                raise RequestFailed(f"disk://bucket/{text.removeprefix('-')}: 503 SlowDown after 12 tries", 503)

        self.before = check


def make_bucket(folder: Path) -> Bucket:
    """Make a folder, and use it for all addresses of ``disk://``."""
    os.makedirs(folder, exist_ok=True)
    bucket = Bucket(folder)
    register_storage("disk", lambda root, options: bucket)
    return bucket
