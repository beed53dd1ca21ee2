"""Index of the members of tar files, built in one pass and stored next to the file. Nothing is extracted."""

from __future__ import annotations

import contextlib
import os
import tarfile
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bitesize.errors import BadFile, BitesizeError
from bitesize.files.atomic import replacing
from bitesize.files.names import show
from bitesize.files.npy import read_header, read_payload
from bitesize.files.pread import open_file

SUFFIX = ".bitesize-index"
_VERSION = 4
# Header of the index: version, size and time of the file, number of skipped members, number of members.
_FIRST = 5 * 8


class TarIndex(NamedTuple):
    """The regular members of a tar file, in file order.

    Attributes
    ----------
    blob : ndarray of uint8
        All names, concatenated.
    ends, offsets, sizes : ndarray of int64, shape (members,)
        End of each name in ``blob``; offset of the data in the file, and number of bytes.
    passed_over : int
        Number of symbolic links, devices and similar members, and links without a target.
    """

    blob: NDArray[np.uint8]
    ends: NDArray[np.int64]
    offsets: NDArray[np.int64]
    sizes: NDArray[np.int64]
    passed_over: int = 0

    def name(self, i: int) -> str:
        """Return the name of a member; bytes that are not text are escaped."""
        start = int(self.ends[i - 1]) if i else 0
        return self.blob[start : int(self.ends[i])].tobytes().decode("utf-8", "surrogateescape")


def tar_index(path: str) -> TarIndex:
    """Return the index of a tar file; it is built if needed, and stored next to the file if the folder is writable.

    Raises
    ------
    BadFile
        If the file is not a tar file, is compressed, or ends within a member.
    """
    stat = os.stat(path)
    seen = (_VERSION, stat.st_size, stat.st_mtime_ns)
    kept = _kept(path, seen)
    if kept is not None:
        return kept
    made = _made(path, stat.st_size)
    first = np.array([*seen, made.passed_over, len(made.ends)], np.int64)
    numbers = np.concatenate([first, made.ends, made.offsets, made.sizes]).astype("<i8")
    # The folder may not be writable: then the index is built again next time.
    with contextlib.suppress(OSError), replacing(path + SUFFIX) as temporary, open(temporary, "wb") as file:
        np.save(file, np.concatenate([numbers.view(np.uint8), made.blob]))
    return made


def _kept(path: str, seen: tuple[int, ...]) -> TarIndex | None:
    """Return the stored index of a file; None if there is no valid index, whichever program wrote it."""
    index_path = os.fsencode(path + SUFFIX)
    try:
        fd = open_file(index_path)
    except BitesizeError:
        return None
    try:
        header = read_header(fd, index_path)
        # A member needs at least a block of the tar file, which contains its name.
        if header.dtype != np.uint8 or len(header.shape) != 1 or not _FIRST <= header.nbytes <= _FIRST + seen[1]:
            return None
        data = np.empty(header.shape, np.uint8)
        read_payload(fd, header, data, index_path)
    except BitesizeError:  # damaged: it is built again
        return None
    finally:
        os.close(fd)
    *known, passed_over, count = data[:_FIRST].view("<i8").tolist()
    end = _FIRST + 3 * 8 * count
    if tuple(known) != seen or not 0 <= count <= len(data) or end > len(data):
        return None
    ends, offsets, sizes = data[_FIRST:end].view("<i8").astype(np.int64).reshape(3, count)
    found = TarIndex(data[end:], ends, offsets, sizes, passed_over)
    return found if _is_whole(found, seen[1]) else None


def _is_whole(index: TarIndex, size: int) -> bool:
    """Return whether an index is consistent with a file of ``size`` bytes, whichever program wrote it."""
    if not len(index.ends):
        return True
    inside = (index.offsets >= 0) & (index.sizes >= 0) & (index.offsets <= size - index.sizes)
    return bool(inside.all() and (np.diff(index.ends, prepend=0) >= 0).all() and index.ends[-1] == len(index.blob))


def _by_name(blob: bytearray, ends: list[int]) -> dict[str, int]:
    """Return the number of each member by name; the last member of a name wins."""
    starts = [0, *ends[:-1]]
    return {blob[a:b].decode("utf-8", "surrogateescape"): i for i, (a, b) in enumerate(zip(starts, ends, strict=True))}


def _made(path: str, size: int) -> TarIndex:
    blob, ends, offsets, sizes = bytearray(), list[int](), list[int](), list[int]()
    links: dict[str, int] = {}
    passed_over = 0
    try:
        with tarfile.open(path, "r:", errorlevel=2) as tar:
            while (member := tar.next()) is not None:
                tar.members.clear()  # type: ignore[attr-defined]  # it would keep all of them
                if member.islnk():  # another name of an earlier member
                    links = links or _by_name(blob, ends)
                    target = links.get(member.linkname)
                    if target is not None:
                        blob += member.name.encode("utf-8", "surrogateescape")
                        ends.append(len(blob))
                        offsets.append(offsets[target])
                        sizes.append(sizes[target])
                    passed_over += target is None
                    continue
                if not member.isreg() or member.issparse():
                    passed_over += not member.isdir()
                    continue
                if links:
                    links[member.name] = len(ends)
                if member.offset_data + member.size > size:
                    raise BadFile(f"{path} ends within its member {show(os.fsencode(member.name))}")
                blob += member.name.encode("utf-8", "surrogateescape")
                ends.append(len(blob))
                offsets.append(member.offset_data)
                sizes.append(member.size)
            with open(path, "rb") as file:
                file.seek(tar.offset)
                end = file.read(tarfile.BLOCKSIZE)
                more = file.read(tarfile.BLOCKSIZE)
                while more and more.count(0) == len(more):
                    more = file.read(tarfile.BLOCKSIZE)
            if more[257:262] == b"ustar":
                raise BadFile(
                    f"{path} contains several concatenated tar files: keep them separate, or join them with tar -A"
                )
            if end != bytes(tarfile.BLOCKSIZE):  # tarfile accepts a file that is truncated between members
                raise BadFile(f"{path} has no end marker: it may be truncated")
    except (tarfile.TarError, EOFError, ValueError, OverflowError, MemoryError) as error:
        with open(path, "rb") as file:
            start = file.read(6)
        compressed = start.startswith((b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd"))
        why = "it is compressed, so its members cannot be read one by one: decompress it" if compressed else str(error)
        raise BadFile(f"{path} cannot be read as a tar file: {why}") from error
    numbers = [np.array(each, np.int64) for each in (ends, offsets, sizes)]
    return TarIndex(np.frombuffer(bytes(blob), np.uint8), numbers[0], numbers[1], numbers[2], passed_over)
