"""A storage of any number of objects that are nowhere: names, sizes and versions are computed, and requests are counted."""

from __future__ import annotations

import os
import threading
import time

from bitesize.errors import NotFound
from bitesize.storage.base import Entry, Level

PAGE = 1000


class SimulatedStorage:
    """Class folders below ``photos/``, each with the same number of images; a request takes ``seconds``.

    Each request appends a byte to the file ``counter``, so that requests of several processes are counted together.
    """

    def __init__(self, root, classes, images, *, seconds=0.0, counter=None, fail_at=0):
        self.root, self.classes, self.images = root, classes, images
        self.seconds, self.counter, self.fail_at = seconds, counter, fail_at
        self.requests, self._lock = 0, threading.Lock()

    def _request(self):
        with self._lock:
            self.requests += 1
            if self.requests == self.fail_at:
                raise PermissionError("expired")
        if self.counter is not None:
            with open(self.counter, "ab", buffering=0) as file:
                file.write(b".")
        if self.seconds:
            time.sleep(self.seconds)

    def __len__(self):
        return self.classes * self.images

    def _folder(self, number, first, last):
        start, salt = f"photos/class_{number:04d}/img_", number << 96
        for i in range(first, last):
            yield Entry(
                f"{start}{i:07d}.jpg", 100_000 + (i * 7919) % 65_536, f'"{salt | i:032x}"', 1_700_000_000_000_000_000 + i
            )

    def list(self, prefix):
        numbers = range(self.classes)
        if prefix.startswith("photos/class_"):
            numbers = [int(prefix[13:].rstrip("/"))]
        for number in numbers:
            for first in range(0, self.images, PAGE):
                self._request()
                yield list(self._folder(number, first, min(self.images, first + PAGE)))

    def level(self, prefix):
        self._request()
        if prefix in ("", "photos/"):
            folders = ["photos/"] if not prefix else [f"photos/class_{i:04d}/" for i in range(self.classes)]
            return Level(folders, [])
        return Level([], list(self._folder(int(prefix[13:].rstrip("/")), 0, self.images)))

    def entry(self, key):
        self._request()
        try:
            number, i = int(key[13:17]), int(key[22:29])
            return next(self._folder(number, i, i + 1))
        except ValueError as error:
            raise NotFound(key) from error

    def read(self, key, offset, into, version=""):
        raise NotImplementedError

    def write(self, key, pieces):
        raise NotImplementedError

    def remove(self, key):
        raise NotImplementedError


def requests(counter):
    return os.path.getsize(counter) if os.path.exists(counter) else 0
