"""Codecs of Zarr chunks: which of them are undone here, and never to more than a chunk."""

from __future__ import annotations

import os
import zlib
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bitesize.errors import BadFile
from bitesize.files.names import show
from bitesize.files.pread import read_into, with_file
from bitesize.sources.chunks import inflate

# Bytes with which a chunk declares what it becomes.
START = 32
_WBITS: dict[str | None, int] = {"gzip": zlib.MAX_WBITS | 16, "zlib": zlib.MAX_WBITS}
_ZSTD = b"\x28\xb5\x2f\xfd"


def decompress(data: NDArray[np.uint8], codec: str | None, out: NDArray[np.uint8]) -> None:
    """Decompress a chunk, which must become exactly the bytes of ``out``.

    Raises
    ------
    BadFile
        If it is damaged, or declares that it becomes something else.
    """
    if codec in _WBITS:
        inflate(data, out, _WBITS[codec])
        return
    start = bytes(data[:START])
    declared = len(data) if codec is None else DECLARED[codec](start, len(data))
    # A frame of Zstandard need not declare its size; numcodecs stops at the end of `out`.
    undeclared = codec == "zstd" and declared < 0 and start[:4] == _ZSTD
    if declared != len(out) and not undeclared:
        says = "is damaged" if declared < 0 else f"says that it has {declared:,} bytes, and must have {len(out):,}"
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
    """Raise `BadFile` where a stored chunk has more bytes than it may have, or declares to become more."""

    def look(fd: int) -> None:
        """Read its size and its first bytes."""
        size = os.fstat(fd).st_size
        start = bytearray(min(size, START))
        read_into(fd, [start], 0, path)
        declared = DECLARED[codec](bytes(start), size) if codec in DECLARED else 0
        if max(size, declared) > most:
            becomes = "has" if size > most else "says that it has"
            raise BadFile(f"{show(path)} {becomes} {max(size, declared):,} bytes, where a chunk has {most:,} at most")

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
    # Blosc believes what the header says of its own length, and reads on behind the end of shorter ones.
    whole = len(data) >= 16 and int.from_bytes(data[12:16], "little") == stored
    return int.from_bytes(data[4:8], "little") if whole else -1


def _lz4_nbytes(data: bytes, stored: int) -> int:
    return int.from_bytes(data[:4], "little") if stored >= 4 else -1


DECLARED = {"zstd": _zstd_nbytes, "blosc": _blosc_nbytes, "lz4": _lz4_nbytes}
_OWN = (None, *DECLARED, "gzip", "zlib")


class Codecs(NamedTuple):
    """How the chunks of an array are stored.

    Attributes
    ----------
    compressor : str or None
        The codec that is undone first, by its name in numcodecs; None where there is none.
    others : str
        Why Zarr itself must read them, such as ``"codecs transpose, bytes, zstd"``; empty where they are read here.
    """

    compressor: str | None
    others: str


def codecs_of(stored: Any) -> Codecs:
    """Return how the chunks of an array are stored, by the metadata of the format: Zarr's classes change their names."""
    about = stored.metadata.to_dict()
    dtype = np.dtype(stored.dtype)
    if about["zarr_format"] == 2:
        compressor, filters = about.get("compressor"), about.get("filters") or ()
        last = None if compressor is None else _name(compressor)
        plain = last in _OWN and not filters and about["order"] == "C"
        chain = [f"order {about['order']}", *map(_name, filters), *([] if last is None else [last])]
    else:
        chain = [_name(each).removeprefix("numcodecs.") for each in about["codecs"]]
        last = chain[-1] if len(chain) > 1 else None
        plain = chain[0] == "bytes" and len(chain) <= 2 and last in _OWN
    if not plain:
        return Codecs(last, f"codecs {', '.join(chain)}")
    if dtype.kind not in "biufc" or not stored.shape:
        return Codecs(last, f"values of type {dtype}" if stored.shape else "a single value")
    return Codecs(last, "")


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
    endian = about["codecs"][0].get("configuration", {}).get("endian")
    swapped: np.dtype[Any] = dtype if endian is None else dtype.newbyteorder("<" if endian == "little" else ">")
    return swapped
