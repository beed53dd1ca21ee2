"""A checkpoint on disk: one zip of plain ``.npy`` members and a JSON that names them, with a checksum of each.

No pickle is written or read. ``np.load`` opens the file, too.
"""

from __future__ import annotations

import contextlib
import json
import os
import zipfile
from collections.abc import Iterator, Mapping
from io import BufferedIOBase
from pathlib import Path
from typing import Any, cast

import numpy as np
import xxhash
from numpy.typing import NDArray

from bitesize.errors import BadFile
from bitesize.files.archives import DAMAGED
from bitesize.files.atomic import replacing
from bitesize.files.npy import MAX_HEADER, parse_header

SCHEMA = 1
_STATE = "state.json"
# JSON of a state: histories of many epochs and bad rows; far more is damage.
_LARGEST_STATE = 1 << 28


def write_snapshot(path: Path, state: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write a state and its arrays: whole or not at all, and on the disk when this returns.

    Parameters
    ----------
    path
        The file, which ends in ``.npz``.
    state
        What JSON can hold.
    arrays
        By name; numbers of any kind, also those that NumPy knows through ml_dtypes only.

    Raises
    ------
    OSError
        If it cannot be written. What was at ``path`` stays.
    """
    index = []
    with replacing(path) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as archive:
        for i, (name, array) in enumerate(arrays.items()):
            plain = _plain(np.ascontiguousarray(array))
            with archive.open(f"{i}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, plain, allow_pickle=False)
            index.append([name, str(array.dtype), list(array.shape), _checksum(plain)])
        whole = json.dumps({"schema": SCHEMA, "arrays": index, "state": state}, allow_nan=True)
        archive.writestr(_STATE, json.dumps({"xxh3_128": _text_checksum(whole), "content": whole}))


def read_snapshot(path: Path) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Read what `write_snapshot` wrote, and check every byte of it.

    Raises
    ------
    BadFile
        If it is damaged, or of another version.
    """
    with _opened(path) as archive:
        content = _read_content(archive, path)
        arrays = {}
        for i, (name, dtype, shape, checksum) in enumerate(content["arrays"]):
            plain = _read_array(archive, f"{i}.npy", path)
            if _checksum(plain) != checksum:
                raise BadFile(f"{path} is damaged: the checksum of {name} is wrong")
            arrays[name] = plain.view(_dtype(dtype)).reshape(shape)
        return content["state"], arrays


def read_state(path: Path) -> dict[str, Any]:
    """Read the state that `write_snapshot` wrote, and none of its arrays.

    Raises
    ------
    BadFile
        If the state is damaged, or of another version; arrays may be damaged unseen.
    """
    with _opened(path) as archive:
        state: dict[str, Any] = _read_content(archive, path)["state"]
        return state


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[zipfile.ZipFile]:
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive
    except (*DAMAGED, KeyError, TypeError, RecursionError) as error:
        if isinstance(error, BadFile):
            raise
        raise BadFile(f"{path} is damaged or no checkpoint: {error}") from error


def _read_array(archive: zipfile.ZipFile, name: str, path: Path) -> NDArray[Any]:
    """Read a member, whose header must agree with its bytes in the file before anything is made of it."""
    info = archive.getinfo(name)
    if info.compress_type != zipfile.ZIP_STORED or info.file_size > path.stat().st_size:
        raise BadFile(f"{path} is damaged: {name} is not stored as it is")
    with cast("BufferedIOBase", archive.open(info)) as member:
        start = member.read(MAX_HEADER + 12)
        header = parse_header(start, info.file_size, os.fsencode(f"{path}::{name}"))
        member.seek(header.offset)
        out = np.empty(header.nbytes, np.uint8)
        view, done = memoryview(out), 0  # type: ignore[arg-type]
        while done < header.nbytes:
            got = member.readinto(view[done:])
            if not got:
                raise BadFile(f"{path} is damaged: {name} ends too early")
            done += got
    if header.fortran and len(header.shape) > 1:
        return out.view(header.dtype).reshape(header.shape[::-1]).T
    return out.view(header.dtype).reshape(header.shape)


def _read_content(archive: zipfile.ZipFile, path: Path) -> dict[str, Any]:
    info = archive.getinfo(_STATE)
    if info.compress_type != zipfile.ZIP_STORED or info.file_size > min(_LARGEST_STATE, path.stat().st_size):
        raise BadFile(f"{path} is damaged: its {_STATE} has {info.file_size:,} bytes")
    outer = json.loads(archive.read(_STATE))
    if _text_checksum(outer["content"]) != outer["xxh3_128"]:
        raise BadFile(f"{path} is damaged: the checksum of {_STATE} is wrong")
    content: dict[str, Any] = json.loads(outer["content"])
    if content["schema"] != SCHEMA:
        raise BadFile(f"{path} is of schema {content['schema']}, and this version reads {SCHEMA}")
    return content


def _plain(array: NDArray[Any]) -> NDArray[Any]:
    """Give an array whose dtype ``.npy`` can hold: kinds of ml_dtypes, such as bfloat16, as unsigned integers."""
    return array if array.dtype.kind in "biufc" else array.view(f"u{array.dtype.itemsize}")


def _dtype(name: str) -> np.dtype[Any]:
    try:
        return np.dtype(name)
    except TypeError:
        import ml_dtypes

        found: np.dtype[Any] = np.dtype(getattr(ml_dtypes, name))
        return found


def _checksum(array: NDArray[Any]) -> str:
    return xxhash.xxh3_128_hexdigest(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)


def _text_checksum(text: str) -> str:
    return xxhash.xxh3_128_hexdigest(text.encode())
