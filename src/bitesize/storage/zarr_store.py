"""Objects as a store of the zarr package: it reads metadata, and chunks with codecs that are not decoded here."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable

from zarr.abc.store import ByteRequest, OffsetByteRequest, RangeByteRequest, Store, SuffixByteRequest
from zarr.core.buffer import Buffer, BufferPrototype, default_buffer_prototype

from bitesize.errors import FileChanged, NotFound
from bitesize.storage import paths
from bitesize.storage.blocks import held_files
from bitesize.storage.remote_file import RemoteFile


class ObjectStore(Store):  # type: ignore[misc]  # zarr is not typed here
    """The objects below an address, for reading.

    Parameters
    ----------
    address
        Address of the folder.
    """

    def __init__(self, address: str) -> None:
        super().__init__(read_only=True)
        self._address, self._held = address, held_files()  # zarr calls from other threads, which hold no objects

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ObjectStore) and other._address == self._address

    def __hash__(self) -> int:
        return hash(self._address)

    def __str__(self) -> str:
        return self._address

    @property
    def supports_writes(self) -> bool:
        """Return False."""
        return False

    @property
    def supports_deletes(self) -> bool:
        """Return False."""
        return False

    @property
    def supports_listing(self) -> bool:
        """Return True."""
        return True

    async def get(
        self, key: str, prototype: BufferPrototype | None = None, byte_range: ByteRequest | None = None
    ) -> Buffer | None:
        """Return an object or a range of it; None if it does not exist."""
        return await asyncio.to_thread(self._get, key, prototype or default_buffer_prototype(), byte_range)

    async def get_partial_values(
        self, prototype: BufferPrototype, key_ranges: Iterable[tuple[str, ByteRequest | None]]
    ) -> list[Buffer | None]:
        """Return ranges of objects."""
        return await asyncio.gather(*(self.get(key, prototype, byte_range) for key, byte_range in key_ranges))

    async def exists(self, key: str) -> bool:
        """Return whether an object exists."""
        return await asyncio.to_thread(paths.isfile, self._path(key))

    async def list(self) -> AsyncIterator[str]:
        """Yield all keys."""
        async for key in self.list_prefix(""):
            yield key

    async def list_prefix(self, prefix: str) -> AsyncIterator[str]:
        """Yield the keys that start with a prefix."""
        for folder, _, names in await asyncio.to_thread(lambda: [*paths.walk(self._address)]):
            for name in names:
                key = paths.relpath(paths.join(folder, name), self._address)
                if key.startswith(prefix):
                    yield key

    async def list_dir(self, prefix: str) -> AsyncIterator[str]:
        """Yield the names in a folder."""
        try:
            names = await asyncio.to_thread(paths.listdir, self._path(prefix.rstrip("/")))
        except FileNotFoundError:
            return
        for name in names:
            yield name

    async def set(self, key: str, value: Buffer) -> None:
        """Refuse: the store is read."""
        raise NotImplementedError

    async def delete(self, key: str) -> None:
        """Refuse: the store is read."""
        raise NotImplementedError

    def _path(self, key: str) -> str:
        return paths.join(self._address, *key.split("/")) if key else self._address

    def _get(self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None) -> Buffer | None:
        address = self._path(key)
        try:
            file = self._held.get(address) or RemoteFile(address)
        except (NotFound, FileChanged):
            return None
        start, stop = _bounds(byte_range, file.size)
        data = bytearray(max(0, stop - start))
        if data:
            file.read_at(start, [memoryview(data)])
        return prototype.buffer.from_bytes(bytes(data))


def _bounds(byte_range: ByteRequest | None, size: int) -> tuple[int, int]:
    """Return the first byte of a range and its end."""
    if isinstance(byte_range, RangeByteRequest):
        return byte_range.start, min(byte_range.end, size)
    if isinstance(byte_range, OffsetByteRequest):
        return byte_range.offset, size
    if isinstance(byte_range, SuffixByteRequest):
        return max(0, size - byte_range.suffix), size
    return 0, size
