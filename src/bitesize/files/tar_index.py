"""Where the members of tar files lie: found in one pass, and kept beside the file. Nothing is ever extracted."""

from __future__ import annotations

import contextlib
import os
import tarfile
import zipfile
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bitesize.errors import BadFile
from bitesize.files.atomic import replacing
from bitesize.files.names import show

SUFFIX = ".bitesize-index.npz"
_VERSION = 1


class TarIndex(NamedTuple):
    """The regular members of a tar file, in its order.

    Attributes
    ----------
    blob : ndarray of uint8
        All names, one behind the other.
    ends, offsets, sizes : ndarray of int64, shape (members,)
        Where each name ends in ``blob``; where the data begin in the file, and their bytes.
    """

    blob: NDArray[np.uint8]
    ends: NDArray[np.int64]
    offsets: NDArray[np.int64]
    sizes: NDArray[np.int64]

    def name(self, i: int) -> str:
        """Give the name of a member; bytes that are no text are escaped."""
        start = int(self.ends[i - 1]) if i else 0
        return self.blob[start : int(self.ends[i])].tobytes().decode("utf-8", "surrogateescape")


def tar_index(path: str) -> TarIndex:
    """Read the index of a tar file, or make it; it is kept beside the file, where that can be written.

    Raises
    ------
    BadFile
        If it is no tar file, is compressed, or ends within a member.
    """
    stat = os.stat(path)
    seen = np.array([_VERSION, stat.st_size, stat.st_mtime_ns], np.int64)
    kept = _kept(path, seen)
    if kept is not None:
        return kept
    made = _made(path, stat.st_size)
    # A folder may not be writable: then the pass is made again next time.
    with contextlib.suppress(OSError), replacing(path + SUFFIX) as temporary, open(temporary, "wb") as file:
        np.savez(file, seen=seen, **made._asdict())
    return made


def _kept(path: str, seen: NDArray[np.int64]) -> TarIndex | None:
    try:
        with open(path + SUFFIX, "rb") as opened, np.load(opened, allow_pickle=False) as file:
            if not np.array_equal(file["seen"], seen):
                return None
            found = TarIndex(*(file[name] for name in TarIndex._fields))
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):  # none, or damaged: it is made anew
        return None
    return found if _is_whole(found, int(seen[1])) else None


def _is_whole(index: TarIndex, size: int) -> bool:
    """Whether an index can be of a file of so many bytes, whoever wrote it."""
    count = len(index.ends)
    if any(each.shape != (count,) or each.dtype != np.int64 for each in index[1:]) or index.blob.dtype != np.uint8:
        return False
    if not count:
        return True
    inside = (index.offsets >= 0) & (index.sizes >= 0) & (index.offsets <= size - index.sizes)
    return bool(inside.all() and (np.diff(index.ends, prepend=0) >= 0).all() and index.ends[-1] == len(index.blob))


def _made(path: str, size: int) -> TarIndex:
    blob, ends, offsets, sizes = bytearray(), [], [], []
    try:
        with tarfile.open(path, "r:", errorlevel=2) as tar:
            while (member := tar.next()) is not None:
                tar.members.clear()  # type: ignore[attr-defined]  # it would keep all of them
                if not member.isreg() or member.issparse():
                    continue
                if member.offset_data + member.size > size:
                    raise BadFile(f"{path} ends within its member {show(os.fsencode(member.name))}")
                blob += member.name.encode("utf-8", "surrogateescape")
                ends.append(len(blob))
                offsets.append(member.offset_data)
                sizes.append(member.size)
            with open(path, "rb") as file:
                file.seek(tar.offset)
                end = file.read(tarfile.BLOCKSIZE)
            if end != bytes(tarfile.BLOCKSIZE):  # tarfile takes a file that is cut off between members for a whole one
                raise BadFile(f"{path} ends without the mark of its end: it may be cut off")
    except (tarfile.TarError, EOFError, ValueError, OverflowError, MemoryError) as error:
        with open(path, "rb") as file:
            start = file.read(6)
        compressed = start.startswith((b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd"))
        why = "it is compressed, and its members cannot be reached: decompress it" if compressed else str(error)
        raise BadFile(f"{path} cannot be read as a tar file: {why}") from error
    numbers = (np.array(each, np.int64) for each in (ends, offsets, sizes))
    return TarIndex(np.frombuffer(bytes(blob), np.uint8), *numbers)
