"""Codecs of Zarr chunks that are decoded here, with bounded output."""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bitesize.errors import BadFile
from bitesize.files.names import show
from bitesize.files.pread import Handle, read_into, size_of, with_file
from bitesize.sources.chunks import inflate

# Number of first bytes that declare the decompressed size of a chunk.
START = 32
_WBITS: dict[str | None, int] = {"gzip": zlib.MAX_WBITS | 16, "zlib": zlib.MAX_WBITS}
_ZSTD = b"\x28\xb5\x2f\xfd"


def decompress(data: NDArray[np.uint8], codec: str | None, out: NDArray[np.uint8]) -> None:
    """Decompress a chunk that must fill ``out`` exactly.

    Raises
    ------
    BadFile
        If the chunk is damaged, or declares another size.
    """
    if codec in _WBITS:
        inflate(data, out, _WBITS[codec])
        return
    start = bytes(data[:START])
    declared = len(data) if codec is None else DECLARED[codec](start, len(data))
    # A frame of Zstandard need not declare its size; numcodecs stops at the end of `out`.
    undeclared = codec == "zstd" and declared < 0 and start[:4] == _ZSTD
    if declared != len(out) and not undeclared:
        says = "is damaged" if declared < 0 else f"declares {declared:,} bytes, but {len(out):,} are expected"
        raise BadFile(f"a chunk {says}")
    if codec is None:
        out[...] = data
        return
    import numcodecs

    try:
        numcodecs.get_codec({"id": codec}).decode(data, out=out)
    except Exception as error:  # whatever a codec raises for damaged chunks
        raise BadFile(f"a chunk is damaged: {error}") from error


def check_size(path: bytes, codec: str | None, most: int) -> None:
    """Raise `BadFile` if a stored chunk is larger than possible, or declares a larger decompressed size."""

    def look(fd: Handle) -> None:
        """Read its size and its first bytes."""
        size = size_of(fd)
        start = bytearray(min(size, START))
        read_into(fd, [start], 0, path)
        declared = DECLARED[codec](bytes(start), size) if codec in DECLARED else 0
        if max(size, declared) > most:
            becomes = "has" if size > most else "declares"
            raise BadFile(f"{show(path)} {becomes} {max(size, declared):,} bytes, but a chunk has at most {most:,}")

    with_file(path, look)


def _zstd_nbytes(data: bytes, stored: int) -> int:
    """Read the size that a Zstandard frame declares (RFC 8878, section 3.1.1.1); -1 where it declares none."""
    if len(data) < 5 or data[:4] != _ZSTD:
        return -1
    flag, single = data[4] >> 6, data[4] >> 5 & 1
    size = (1 if single else 0, 2, 4, 8)[flag]
    at = 5 + (not single) + (0, 1, 2, 4)[data[4] & 3]
    if not size or len(data) < at + size:
        return -1
    return int.from_bytes(data[at : at + size], "little") + (256 if size == 2 else 0)


def _blosc_nbytes(data: bytes, stored: int) -> int:
    # Blosc trusts the length in the header, and reads past the end of shorter data.
    whole = len(data) >= 16 and int.from_bytes(data[12:16], "little") == stored
    return int.from_bytes(data[4:8], "little") if whole else -1


def _lz4_nbytes(data: bytes, stored: int) -> int:
    return int.from_bytes(data[:4], "little") if stored >= 4 else -1


DECLARED = {"zstd": _zstd_nbytes, "blosc": _blosc_nbytes, "lz4": _lz4_nbytes}
_OWN = (None, *DECLARED, "gzip", "zlib")


class Shards(NamedTuple):
    """How chunks lie together in the files of a sharded array, which end or begin with where each lies.

    Attributes
    ----------
    chunks : tuple of int
        Chunks of a file along each axis.
    at_end : bool
        Whether the index is at the end of the file.
    checked : bool
        Whether a checksum follows it.
    """

    chunks: tuple[int, ...]
    at_end: bool
    checked: bool

    @property
    def index_nbytes(self) -> int:
        """Bytes of the index: offset and length of each chunk, and the checksum."""
        return 16 * math.prod(self.chunks) + (4 if self.checked else 0)

    def find(self, fd: Handle, at: tuple[int, ...], index: NDArray[np.uint8], path: bytes) -> tuple[int, int] | None:
        """Return offset and bytes of a chunk in the open file of its shard; None if it is not stored.

        Parameters
        ----------
        fd
            The file.
        at
            Which chunk of the array.
        index
            Memory for the index, shape (index_nbytes,).
        path
            Name of the file, for messages.

        Raises
        ------
        BadFile
            If the index is damaged, or points outside the file.
        """
        size = size_of(fd)
        if size < len(index):
            raise BadFile(f"{show(path)} has {size:,} bytes, fewer than its chunk index")
        read_into(fd, [index], size - len(index) if self.at_end else 0, path)
        if self.checked:
            import numcodecs

            try:
                numcodecs.get_codec({"id": "crc32c"}).decode(index)
            except Exception as error:  # whatever it raises for another checksum
                raise BadFile(f"{show(path)} is damaged: the checksum of its chunk index differs") from error
        entry = int(np.ravel_multi_index([i % n for i, n in zip(at, self.chunks, strict=True)], self.chunks))
        offset, nbytes = (int(each) for each in index[16 * entry : 16 * entry + 16].view("<u8"))
        if offset == nbytes == _NOT_STORED:
            return None
        if offset + nbytes > size:
            raise BadFile(f"{show(path)} is damaged: a chunk would end at {offset + nbytes:,} of its {size:,} bytes")
        return offset, nbytes


_NOT_STORED = 2**64 - 1


class Codecs(NamedTuple):
    """How the chunks of an array are stored.

    Attributes
    ----------
    compressor : str or None
        The codec that is undone first, by its name in numcodecs; None if there is none.
    others : str
        Why Zarr itself must read them, such as ``"codecs transpose, bytes, zstd"``; empty where they are read here.
    shards : Shards or None
        How they lie together in files, where they do.
    """

    compressor: str | None
    others: str
    shards: Shards | None = None


def codecs_of(stored: Any) -> Codecs:
    """Return how the chunks of an array are stored, by the metadata of the format: Zarr's classes change their names."""
    about = stored.metadata.to_dict()
    dtype = np.dtype(stored.dtype)
    shards = None
    if about["zarr_format"] == 2:
        compressor, filters = about.get("compressor"), about.get("filters") or ()
        last = None if compressor is None else _name(compressor)
        plain = last in _OWN and not filters and about["order"] == "C"
        chain = [f"order {about['order']}", *map(_name, filters), *([] if last is None else [last])]
    else:
        shards = _shards_of(about)
        chain = [_name(each).removeprefix("numcodecs.") for each in (_inner(about) if shards else about["codecs"])]
        last = chain[-1] if len(chain) > 1 else None
        plain = chain[0] == "bytes" and len(chain) <= 2 and last in _OWN
    if not plain:
        return Codecs(None if shards else last, f"codecs {', '.join(['sharding_indexed', *chain] if shards else chain)}")
    if dtype.kind not in "biufc" or not stored.shape:
        return Codecs(None if shards else last, f"values of type {dtype}" if stored.shape else "a single value")
    return Codecs(last, "", shards)


def _shards_of(about: Mapping[str, Any]) -> Shards | None:
    """Return how chunks lie in shards, where that is as Zarr writes it."""
    if len(about["codecs"]) != 1 or _name(about["codecs"][0]) != "sharding_indexed":
        return None
    sharding = about["codecs"][0]["configuration"]
    index = [_name(each) for each in sharding["index_codecs"]]
    plain = sharding["index_codecs"][0].get("configuration", {}).get("endian") == "little"
    if index not in (["bytes", "crc32c"], ["bytes"]) or not plain:
        return None
    whole, inner = about["chunk_grid"]["configuration"]["chunk_shape"], sharding["chunk_shape"]
    if any(n % c for n, c in zip(whole, inner, strict=True)):
        return None
    chunks = tuple(int(n) // int(c) for n, c in zip(whole, inner, strict=True))
    return Shards(chunks, str(sharding.get("index_location", "end")) == "end", len(index) == 2)


def _inner(about: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    """Return the codecs of the chunks themselves, in shards or not."""
    codecs: Sequence[Mapping[str, Any]] = about["codecs"]
    return codecs[0]["configuration"]["codecs"] if _shards_of(about) else codecs


def _name(codec: Any) -> str:
    """Return the name of a codec by its metadata, which older versions of Zarr give as an object of numcodecs."""
    about = codec if isinstance(codec, Mapping) else codec.get_config()
    return str(about["name"] if "name" in about else about["id"])


def is_regular(stored: Any) -> bool:
    """Return whether all chunks have one size, but for those at the ends."""
    about = stored.metadata.to_dict()
    return about["zarr_format"] == 2 or bool(about["chunk_grid"]["name"] == "regular")


def stored_dtype(stored: Any) -> np.dtype[Any]:
    """Return the dtype with the byte order in which values are stored."""
    dtype = np.dtype(stored.dtype)
    about = stored.metadata.to_dict()
    if about["zarr_format"] == 2:
        return dtype  # type: ignore[no-any-return]
    endian = _inner(about)[0].get("configuration", {}).get("endian")
    swapped: np.dtype[Any] = dtype if endian is None else dtype.newbyteorder("<" if endian == "little" else ">")
    return swapped
