"""Write and read checkpoint files: one zip with plain ``.npy`` members, and JSON with their names and checksums.

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
# Largest JSON of a state, with the history of many epochs and bad rows; a much larger one is damaged.
_LARGEST_STATE = 1 << 28


def write_snapshot(path: Path, state: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write a state and its arrays atomically; they are on disk when this function returns.

    Parameters
    ----------
    path
        The file, which ends in ``.npz``.
    state
        Data that JSON can hold.
    arrays
        Arrays by name; numbers of any type, including those of ml_dtypes.

    Raises
    ------
    OSError
        If the file cannot be written. An existing file at ``path`` is unchanged.
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
    """Read a file of `write_snapshot`, and check every byte of it.

    Raises
    ------
    BadFile
        If the file is damaged, or of another version.
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
    """Read the state in a file of `write_snapshot`, without its arrays.

    Raises
    ------
    BadFile
        If the state is damaged, or of another version; damaged arrays are not detected.
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
        raise BadFile(f"{path} is damaged or not a checkpoint: {error}") from error


def _read_array(archive: zipfile.ZipFile, name: str, path: Path) -> NDArray[Any]:
    """Read a member; its header must match its size in the file before memory is allocated."""
    info = archive.getinfo(name)
    if info.compress_type != zipfile.ZIP_STORED or info.file_size > path.stat().st_size:
        raise BadFile(f"{path} is damaged: {name} is compressed")
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
    """Return an array with a dtype that ``.npy`` can hold: types of ml_dtypes, such as bfloat16, become unsigned integers."""
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
