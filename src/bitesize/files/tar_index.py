"""Index of the members of tar files, built in one pass and stored next to the file. Nothing is extracted."""

from __future__ import annotations

import contextlib
import logging
import os
import tarfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from xxhash import xxh3_128_hexdigest

from bitesize.errors import BadFile, BitesizeError
from bitesize.files.atomic import replacing
from bitesize.files.names import show
from bitesize.files.npy import read_header, read_payload
from bitesize.files.pread import Handle, read_pieces, with_file
from bitesize.files.state import FileState
from bitesize.memory.limits import available
from bitesize.memory.sizes import format_size
from bitesize.storage import paths
from bitesize.storage.sequential import SequentialFile
from bitesize.storage.url import is_url

SUFFIX = ".bitesize-index"
_VERSION = 4
# Header of the index: version, size and time of the file, number of skipped members, number of members.
_FIRST = 5 * 8
_AT_ONCE, _MOST = 4, 32 << 20  # objects whose indexes are built, and bytes of each in memory meanwhile
_LOOKS, _NAME = 8, 90  # members that are compared with an index from elsewhere, and characters of their names


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
    requested : int
        Bytes that were requested to build the index of an object.
    """

    blob: NDArray[np.uint8]
    ends: NDArray[np.int64]
    offsets: NDArray[np.int64]
    sizes: NDArray[np.int64]
    passed_over: int = 0
    requested: int = 0

    def name(self, i: int) -> str:
        """Return the name of a member; bytes that are not text are escaped."""
        start = int(self.ends[i - 1]) if i else 0
        return self.blob[start : int(self.ends[i])].tobytes().decode("utf-8", "surrogateescape")


def tar_indexes(files: Sequence[str]) -> Iterator[TarIndex]:
    """Yield the indexes of tar files; those of objects are built several at a time."""
    if not is_url(files[0]):
        yield from map(tar_index, files)
        return
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        yield from pool.map(tar_index, files)


def tar_index(path: str) -> TarIndex:
    """Return the index of a tar file; it is built if needed, and stored next to the file if the folder is writable.

    That of an object is stored in the user's folder of caches. An index next to the object is used if it fits.

    Raises
    ------
    BadFile
        If the file is not a tar file, is compressed, or ends within a member.
    """
    if is_url(path):
        return _of_object(path)
    stat = os.stat(path)
    seen = (_VERSION, stat.st_size, stat.st_mtime_ns)
    kept = _kept(path + SUFFIX, seen)
    if kept is not None:
        return kept
    with open(path, "rb") as file:
        made = _made(path, file, stat.st_size)
    _keep(made, path + SUFFIX, seen)
    return made


def _of_object(path: str) -> TarIndex:
    """Return the index of an object: from the user's cache, from the object next to it, or built in pieces."""
    state = FileState.of(os.fsencode(path))
    seen = (_VERSION, state.size, state.time)
    cached = str(index_folder() / f"{xxh3_128_hexdigest(path.encode('utf-8', 'surrogateescape'))}.npy")
    kept = _kept(cached, seen)
    if kept is not None:
        return kept
    kept = _kept(path + SUFFIX, seen, any_time=True) if paths.isfile(path + SUFFIX) else None
    if kept is not None and _agrees(path, kept):
        _keep(kept, cached, seen)
        return kept
    with SequentialFile(path, min(_MOST, available().room // 32)) as file:
        made = _made(path, file, state.size)
        made = made._replace(requested=file.requested)
    logging.getLogger("bitesize").info(
        "listed the %s members of %s by reading %s of its %s; the list is kept in %s. A file %s%s, which bitesize writes beside a local copy, "
        "saves this",
        f"{len(made.ends):,}", path, format_size(made.requested), format_size(state.size), cached, paths.basename(path), SUFFIX,
    )  # fmt: skip
    with contextlib.suppress(OSError):
        index_folder().mkdir(parents=True, exist_ok=True)
    _keep(made, cached, seen)
    return made


def index_folder() -> Path:
    """Return the folder of the user in which the indexes of objects are kept."""
    from platformdirs import user_cache_path

    return user_cache_path("bitesize") / "tar-indexes"


def _agrees(path: str, index: TarIndex) -> bool:
    """Return whether some members are where an index says, whose time is that of another copy of the file."""
    some = np.unique(np.linspace(0, len(index.ends) - 1, min(_LOOKS, len(index.ends))).astype(np.int64))
    if not len(some) or (index.offsets[some] < tarfile.BLOCKSIZE).any():
        return False
    heads = [bytearray(tarfile.BLOCKSIZE) for _ in some]
    offsets = index.offsets[some] - tarfile.BLOCKSIZE
    failed = read_pieces([os.fsencode(path)], np.zeros(len(some), np.int64), offsets, [memoryview(head) for head in heads])
    try:
        found = [tarfile.TarInfo.frombuf(bytes(head), "utf-8", "surrogateescape") for head in heads]
    except tarfile.TarError:
        return False
    # Long names are cut off in headers.
    return not failed and all(
        (member.size == size and index.name(i)[:_NAME].startswith(member.name[:_NAME])) or member.islnk()
        for member, size, i in zip(found, index.sizes[some].tolist(), some.tolist(), strict=True)
    )


def _keep(made: TarIndex, index_path: str, seen: tuple[int, ...]) -> None:
    """Store an index, if the folder is writable: else it is built again next time."""
    first = np.array([*seen, made.passed_over, len(made.ends)], np.int64)
    numbers = np.concatenate([first, made.ends, made.offsets, made.sizes]).astype("<i8")
    with contextlib.suppress(OSError), replacing(index_path) as temporary, open(temporary, "wb") as file:
        np.save(file, np.concatenate([numbers.view(np.uint8), made.blob]))


def _kept(index_path: str, seen: tuple[int, ...], *, any_time: bool = False) -> TarIndex | None:
    """Return the stored index of a file; None if there is no valid index, whichever program wrote it."""
    name = os.fsencode(index_path)

    def read(file: Handle) -> NDArray[np.uint8] | None:
        """Read the numbers and the names."""
        header = read_header(file, name)
        # A member needs at least a block of the tar file, which contains its name.
        if header.dtype != np.uint8 or len(header.shape) != 1 or not _FIRST <= header.nbytes <= _FIRST + seen[1]:
            return None
        stored = np.empty(header.shape, np.uint8)
        read_payload(file, header, stored, name)
        return stored

    try:
        data = with_file(name, read)
    except BitesizeError:  # damaged: it is built again
        data = None
    if data is None:
        return None
    *known, passed_over, count = data[:_FIRST].view("<i8").tolist()
    end = _FIRST + 3 * 8 * count
    if any_time:
        known[2] = seen[2]
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


def _made(path: str, file: Any, size: int) -> TarIndex:
    blob, ends, offsets, sizes = bytearray(), list[int](), list[int](), list[int]()
    links: dict[str, int] = {}
    passed_over = 0
    try:
        with tarfile.open(path, "r:", file, errorlevel=2) as tar:
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
        file.seek(0)
        start = file.read(6)
        compressed = start.startswith((b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd"))
        why = "it is compressed, so its members cannot be read one by one: decompress it" if compressed else str(error)
        raise BadFile(f"{path} cannot be read as a tar file: {why}") from error
    numbers = [np.array(each, np.int64) for each in (ends, offsets, sizes)]
    return TarIndex(np.frombuffer(bytes(blob), np.uint8), numbers[0], numbers[1], numbers[2], passed_over)
