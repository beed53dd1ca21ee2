"""A sealed shard: its `shard.json`, read as untrusted input, and where its rows lie."""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import xxhash
from numpy.typing import NDArray

from bitesize.errors import BadFile, BadSetting, FileChanged, MissingPackage, NotFound, PackedError
from bitesize.files.npy import MAX_HEADER, Header, read_header
from bitesize.files.pread import Handle, read_into, size_of, with_file
from bitesize.packages import pip_install
from bitesize.packed.column import PIECE, FileInfo
from bitesize.packed.fields import ShardField, file_stems
from bitesize.storage.address import Folder, folder_of

SCHEMA = 1
SHARD_JSON = "shard.json"
_FORMAT = "bitesize shard"
# NumPy would evaluate other text: "06f4" is a syntax error of Python, and "f4,f4" are records.
_DTYPE = re.compile(r"[<|][biufcSUMm]\d{0,9}(\[\d{0,4}[a-zA-Z]{1,2}\])?")
_MOST_JSON = 64 << 20


class FixedRows(NamedTuple):
    """Where the rows of a field of kind ``"fixed"`` lie: row i begins at ``offset + i * row_nbytes``.

    Attributes
    ----------
    path : bytes
        The `.npy` file.
    offset : int
        Offset of row 0 in bytes.
    row_nbytes : int
        Bytes of a row.
    """

    path: bytes
    offset: int
    row_nbytes: int


@dataclass(frozen=True)
class ShardInfo:
    """A sealed shard.

    Parameters
    ----------
    folder
        Its folder.
    rows
        Number of rows.
    fields
        Fields of a row.
    files
        Size and checksum of each file, by its name.
    origin
        What the rows were made from, as the writer recorded it: a value of JSON, which is not checked.
    """

    folder: Folder
    rows: int
    fields: Mapping[str, ShardField]
    files: Mapping[str, FileInfo]
    origin: Any = None

    @property
    def nbytes(self) -> int:
        """Bytes of all files, with `shard.json`."""
        return sum(file.nbytes for file in self.files.values()) + len(
            shard_bytes(self.rows, self.fields, self.files, self.origin)
        )

    def file_names(self, field: str) -> tuple[str, ...]:
        """Return the names of a field's files: the data first, then offsets and shapes."""
        return self.fields[field].files(file_stems(self.fields)[field])

    def path(self, field: str) -> Folder:
        """Return the file with the data of a field."""
        return self.folder / self.file_names(field)[0]

    def fixed(self, field: str) -> FixedRows:
        """Return where the rows of a field of kind ``"fixed"`` lie."""
        stored = self.fields[field]
        assert stored.kind == "fixed"
        file = self.file_names(field)[0]
        header = self.files[file].nbytes - self.rows * stored.row_nbytes
        return FixedRows(os.fsencode(self.folder / file), header, stored.row_nbytes)

    def offsets(self, field: str) -> NDArray[np.int64]:
        """Read where each row of a blob or of pixels begins in its file, and where the last ends, shape (rows + 1,).

        The caller charges its 8 bytes a row.

        Raises
        ------
        PackedError
            If the offsets are impossible.
        """
        data, index = self.file_names(field)[:2]
        offsets = self._array(index, (self.rows + 1,), np.dtype("<i8")).astype(np.int64, copy=False)
        if offsets[0] != 0 or offsets[-1] != self.files[data].nbytes or bool((offsets[1:] < offsets[:-1]).any()):
            raise PackedError(f"{self.folder / index} is damaged: its offsets do not fit {data}")
        return offsets

    def shapes(self, field: str) -> NDArray[np.int32]:
        """Read height, width and channels of each row of pixels, shape (rows, 3). The caller charges its 12 bytes a row.

        Raises
        ------
        PackedError
            If a shape does not fit the bytes of its row.
        """
        stored, index = self.fields[field], self.file_names(field)[2]
        assert stored.dtype is not None
        shapes = self._array(index, (self.rows, 3), np.dtype("<i4")).astype(np.int32, copy=False)
        sizes = np.diff(self.offsets(field))
        # As floats, a product cannot overflow; below 2**53 it is exact.
        nbytes = shapes.astype(np.float64).prod(axis=1) * stored.dtype.itemsize
        if bool((shapes <= 0).any() or (nbytes != sizes).any()):
            raise PackedError(f"{self.folder / index} is damaged: its shapes do not fit the bytes of the rows")
        return shapes

    def _array(self, file: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
        out = np.empty(shape, dtype)
        path = os.fsencode(self.folder / file)
        offset = self.files[file].nbytes - out.nbytes
        with_file(path, lambda fd: read_into(fd, [out.reshape(-1).view(np.uint8)], offset, path))
        return out

    def check_files(self, *, headers: bool = True) -> None:
        """Check that each file exists and has its size, and that each `.npy` file has its header, if ``headers`` are to be read.

        Raises
        ------
        PackedError
            If one does not. The message names the file.
        """
        for name in self.fields:
            stored, files = self.fields[name], self.file_names(name)
            known = {files[0]: ((self.rows, *stored.shape), stored.stored)} if stored.kind == "fixed" else {}
            known |= dict(
                zip(files[1:], (((self.rows + 1,), np.dtype("<i8")), ((self.rows, 3), np.dtype("<i4"))), strict=False)
            )
            for file in files:
                self._check_file(file, *known.get(file, ((), None)), headers=headers)

    def _check_file(self, file: str, shape: tuple[int, ...], dtype: np.dtype[Any] | None, *, headers: bool) -> None:
        path, expected = self.folder / file, self.files[file].nbytes
        payload = None if dtype is None else math.prod(shape) * dtype.itemsize
        if payload is not None and not 0 < expected - payload <= MAX_HEADER:
            raise PackedError(f"{path} cannot have {expected:,} bytes with {self.rows:,} rows: {SHARD_JSON} is damaged")

        def look(fd: Handle) -> None:
            size = size_of(fd)
            if size != expected:
                raise PackedError(f"{path} has {size:,} bytes, but {expected:,} are recorded")
            if headers and payload is not None and dtype is not None:
                header = read_header(fd, os.fsencode(path))
                if header != Header(shape, dtype, False, expected - payload):
                    raise PackedError(f"{path} is damaged: its header does not describe {shape} {dtype}")

        try:
            with_file(os.fsencode(path), look)
        except FileChanged as error:
            raise PackedError(f"{path} is missing") from error
        except BadFile as error:
            raise error if isinstance(error, PackedError) else PackedError(str(error)) from error

    def checksum(self, file: str, seen: Callable[[int], None] | None = None) -> str:
        """Read every byte of a file, and return its xxh3_128; ``seen`` gets the number of bytes of each piece."""
        path, left = os.fsencode(self.folder / file), self.files[file].nbytes
        buffer = memoryview(bytearray(min(PIECE, max(1, left))))

        def read(fd: Handle) -> str:
            digest = xxhash.xxh3_128()  # of this attempt: a file of a network share may be opened again
            for start in range(0, left, PIECE):
                piece = buffer[: min(PIECE, left - start)]
                read_into(fd, [piece], start, path)
                digest.update(piece)
                if seen is not None:
                    seen(len(piece))
            return digest.hexdigest()

        return with_file(path, read)


def open_shard(folder: str | os.PathLike[str]) -> ShardInfo:
    """Open a shard: read its `shard.json`, and check that every file exists and has its size.

    Raises
    ------
    NotFound
        If there is no shard.
    PackedError
        If the shard is damaged, incomplete or of another version. The message names the file.
    """
    path = folder_of(folder) / SHARD_JSON
    info = _parsed(folder_of(folder), path, read_json(path))
    info.check_files()
    return info


def read_json(path: Folder) -> Any:
    """Return the value of a JSON file. It is untrusted.

    Raises
    ------
    NotFound
        If there is no such file.
    PackedError
        If it is too large, or no JSON.
    """
    try:
        data = with_file(os.fsencode(path), partial(_whole, path))
        return json.loads(data)
    except FileChanged as error:
        raise NotFound(f"{path} does not exist") from error
    except (ValueError, RecursionError) as error:
        if isinstance(error, PackedError):
            raise
        raise PackedError(f"{path} is not valid JSON: {error}") from error


def _whole(path: Folder, fd: Handle) -> bytearray:
    size = size_of(fd)
    if size > _MOST_JSON:
        raise PackedError(f"{path} has {size:,} bytes; at most {_MOST_JSON:,} are read")
    data = bytearray(size)
    read_into(fd, [data], 0, os.fsencode(path))
    return data


def shard_bytes(rows: int, fields: Mapping[str, ShardField], files: Mapping[str, FileInfo], origin: Any = None) -> bytes:
    """Return the content of `shard.json`."""
    value = {
        "format": _FORMAT,
        "schema": SCHEMA,
        "rows": rows,
        "fields": fields_to_json(fields),
        "files": files_to_json(files),
        "origin": origin,
    }
    return (json.dumps(value, indent=1) + "\n").encode()


def fields_to_json(fields: Mapping[str, ShardField]) -> dict[str, Any]:
    """Return fields as values of JSON."""
    return {name: _field_to_json(field) for name, field in fields.items()}


def _field_to_json(field: ShardField) -> dict[str, Any]:
    value: dict[str, Any] = {"kind": field.kind}
    if field.kind == "fixed":
        value["shape"] = list(field.shape)
    if field.dtype is not None:
        value["dtype"] = dtype_to_json(field.dtype)
    return value


def dtype_to_json(dtype: np.dtype[Any]) -> str:
    """Return a dtype as text, in little-endian byte order."""
    return "bfloat16" if dtype.name == "bfloat16" else dtype.newbyteorder("<").str


def files_to_json(files: Mapping[str, FileInfo]) -> dict[str, Any]:
    """Return sizes and checksums as values of JSON."""
    return {name: {"bytes": file.nbytes, "xxh3_128": file.xxh3_128} for name, file in files.items()}


def _parsed(folder: Folder, path: Folder, value: Any) -> ShardInfo:
    try:
        if value["format"] != _FORMAT:
            raise PackedError(f"{path} is not of a shard of bitesize")
        check_schema(path, value["schema"])
        fields = fields_from_json(value["fields"])
        files = files_from_json(value["files"], fields)
        return ShardInfo(folder, count(value["rows"], least=1), fields, files, value.get("origin"))
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        if isinstance(error, PackedError):
            raise
        raise PackedError(f"{path} is damaged: {error!r}") from error


def check_schema(path: Folder, schema: Any) -> None:
    """Raise `PackedError` if a file was written with another version of the format."""
    if schema != SCHEMA or isinstance(schema, bool):
        raise PackedError(
            f"{path} has schema {schema!r}, but this version of bitesize reads schema {SCHEMA}: pack the data again"
        )


def fields_from_json(value: Any) -> dict[str, ShardField]:
    """Return fields from untrusted values of JSON; raise ValueError, TypeError, KeyError or AttributeError otherwise."""
    fields = {}
    for name, each in value.items():
        kind, shape, dtype = each["kind"], each.get("shape", []), each.get("dtype")
        if not isinstance(shape, list) or len(shape) > 60:
            raise ValueError(f"impossible shape of {name!r}")
        fields[name] = ShardField(
            kind, tuple(count(side) for side in shape), None if dtype is None else dtype_from_json(dtype)
        )
        if fields[name].row_nbytes >= 1 << 62:
            raise ValueError(f"impossible shape of {name!r}")
    if not fields:
        raise ValueError("no fields")
    return fields


def dtype_from_json(text: Any) -> np.dtype[Any]:
    """Return a dtype of plain values from untrusted text."""
    if not isinstance(text, str) or not (_DTYPE.fullmatch(text) or text == "bfloat16"):
        raise ValueError(f"no dtype: {text!r:.50}")
    if text == "bfloat16":
        try:
            from ml_dtypes import bfloat16
        except ImportError as error:
            raise MissingPackage(f"a field of bfloat16 needs a package: {pip_install('ml_dtypes')}") from error
        return np.dtype(bfloat16)  # type: ignore[no-any-return, unused-ignore]
    dtype = np.dtype(text)
    if dtype.str != text:
        raise ValueError(f"no dtype: {text!r}")
    return dtype


def files_from_json(value: Any, fields: Mapping[str, ShardField]) -> dict[str, FileInfo]:
    """Return sizes and checksums from untrusted values of JSON: exactly those of the fields' files."""
    stems = file_stems(fields)
    names = [file for name, field in fields.items() for file in field.files(stems[name])]
    if sorted(value) != sorted(names):
        raise ValueError(f"the files of its fields are {', '.join(names)}, not {', '.join(value)}")
    files = {}
    for name in names:
        checksum = value[name]["xxh3_128"]
        if not isinstance(checksum, str) or len(checksum) != 32:
            raise ValueError(f"no checksum of {name}: {checksum!r}")
        files[name] = FileInfo(count(value[name]["bytes"]), checksum)
    return files


def count(value: Any, least: int = 0) -> int:
    """Return a whole number from untrusted values of JSON."""
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value < 1 << 62:
        raise BadSetting(f"impossible number {value!r}")
    return value
