"""A storage in memory, whose keys may be any text, that counts its requests."""

from collections import Counter

from bitesize.errors import BadFile, FileChanged, NotFound
from bitesize.storage.base import Entry, Level, Storage
from bitesize.storage.stores import register_storage


class MemoryStorage(Storage):
    """Objects in a dictionary.

    Parameters
    ----------
    root
        Beginning of the addresses.
    objects
        Bytes by key.
    options
        The storage options.
    """

    def __init__(self, root, objects, options=None):
        self.root, self.objects, self.options = root, dict(objects), options
        self.requests = Counter()

    def list(self, prefix):
        self.requests["list"] += 1
        yield [self._entry(key) for key in self.objects if key.startswith(prefix)]

    def level(self, prefix):
        self.requests["level"] += 1
        inside = [key[len(prefix) :] for key in self.objects if key.startswith(prefix)]
        folders = sorted({prefix + name.partition("/")[0] + "/" for name in inside if "/" in name})
        return Level(folders, [self._entry(prefix + name) for name in inside if name and "/" not in name])

    def entry(self, key):
        self.requests["entry"] += 1
        if key not in self.objects:
            raise NotFound(f"{self.root}/{key} does not exist")
        return self._entry(key)

    def read(self, key, offset, into, version=""):
        self.requests["read"] += 1
        if version and (key not in self.objects or self._entry(key).version != version):
            raise FileChanged(f"{self.root}/{key} has changed")
        for buffer in into:
            part = self.objects[key][offset : offset + buffer.nbytes]
            if len(part) < buffer.nbytes:
                raise BadFile(f"{self.root}/{key} ends too early")
            buffer[:] = part
            offset += len(part)

    def write(self, key, pieces):
        self.objects[key] = b"".join(map(bytes, pieces))
        return self._entry(key)

    def remove(self, key):
        self.objects.pop(key, None)

    def _entry(self, key):
        content = self.objects[key]
        return Entry(key, len(content), f"{hash(content):x}")


def memory_storage(objects):
    """Return a storage that answers for ``memory://bucket``, in place of the one before."""
    storage = MemoryStorage("memory://bucket", objects)

    def open_storage(root, options):
        storage.options = dict(options)
        return storage

    register_storage("memory", open_storage)
    return storage
