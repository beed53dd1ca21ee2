"""Shards: folders of rows in large plain files, which are complete or do not exist.

A shard is written under a temporary name, flushed, and renamed. `ShardWriter` writes one, `open_shard` opens one and checks the
sizes of its files, `verify` reads every byte and compares checksums.
"""

from __future__ import annotations

import contextlib
import os
import platform
import re
import secrets
import shutil
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import psutil
from numpy.typing import NDArray

from bitesize.errors import BadSetting, PackedError
from bitesize.files.atomic import flush_folder
from bitesize.packed.column import Column, FileInfo, raise_typed
from bitesize.packed.fields import ShardField, file_stems
from bitesize.packed.info import SHARD_JSON, ShardInfo, open_shard, shard_bytes

__all__ = ["ShardField", "ShardInfo", "ShardWriter", "open_shard", "remove_partials", "verify"]

_BLOCK = 4096  # disks assign space to a file in blocks of at least this size
_PARTIAL = re.compile(r".+\.partial-(?P<host>.*)-(?P<process>\d+)-[0-9a-f]+")
# Windows refuses to rename a folder while a virus scanner reads one of its files.
_RENAME_PAUSES = (0.05, 0.2, 1.0) if sys.platform == "win32" else ()


class ShardWriter:
    """Writes one shard, some rows at a time. Used by one thread at a time.

    The shard exists under its name only after `seal`. As a context manager, the writer abandons a shard that was not sealed.

    Parameters
    ----------
    folder
        Folder of the shard, which must not exist yet; its parent must exist.
    fields
        Fields of a row, at least one.
    rows
        Expected number of rows. If it is right, checksums need no second reading of `.npy` files.

    Raises
    ------
    PackedError
        If the folder exists.
    DiskFull, NoPermission
        If its files cannot be created.

    Examples
    --------
    >>> import tempfile
    >>> fields = {"x": ShardField("fixed", (2,), np.float32), "image": ShardField("blob")}
    >>> with ShardWriter(Path(tempfile.mkdtemp()) / "00000", fields) as writer:
    ...     writer.append({"x": np.zeros((2, 2), np.float32), "image": [b"first", b"second"]})
    ...     info = writer.seal()
    >>> info.rows, np.load(info.path("x"), mmap_mode="r").shape, info.offsets("image").tolist()
    (2, (2, 2), [0, 5, 11])
    """

    def __init__(self, folder: Path, fields: Mapping[str, ShardField], rows: int = 0) -> None:
        if not fields:
            raise BadSetting("a shard needs at least one field")
        self.folder, self.fields, self.rows = Path(folder), dict(fields), 0
        if self.folder.exists():
            raise PackedError(f"{self.folder} already exists")
        name = f"{self.folder.name}.partial-{platform.node()[:40]}-{os.getpid()}-{secrets.token_hex(4)}"
        self._partial = self.folder.with_name(name)
        self._columns: dict[str, Column] = {}
        self._open = True
        self._ends = {name: 0 for name, field in fields.items() if field.kind != "fixed"}
        try:
            self._make(rows)
        except BaseException:
            self.abandon()
            raise
        # With the largest possible numbers, so that the bound holds for any rows.
        most = {file: FileInfo(1 << 62, "0" * 32) for file in self._columns}
        self._json_nbytes = len(shard_bytes(1 << 62, self.fields, most))

    def _make(self, rows: int) -> None:
        try:
            self._partial.mkdir()
        except OSError as error:
            raise_typed(error, self._partial)
        stems = file_stems(self.fields)
        for name, field in self.fields.items():
            data, *index = field.files(stems[name])
            fixed = (field.shape, field.stored, rows) if field.kind == "fixed" else ()
            self._columns[data] = Column(self._partial / data, *fixed)
            if index:
                self._columns[index[0]] = offsets = Column(self._partial / index[0], (), np.dtype("<i8"), rows + 1)
                offsets.write([bytes(8)])
            if index[1:]:
                self._columns[index[1]] = Column(self._partial / index[1], (3,), np.dtype("<i4"), rows)
        self._by_field = {
            name: [self._columns[file] for file in field.files(stems[name])] for name, field in self.fields.items()
        }

    @property
    def nbytes(self) -> int:
        """Bytes on the disk once the shard is sealed, with headers, index files and `shard.json`; never too small.

        An origin of up to 4 KiB is counted.
        """
        files = [column.nbytes for column in self._columns.values()]
        return 2 * _BLOCK + sum(-(-nbytes // _BLOCK) * _BLOCK for nbytes in (*files, self._json_nbytes))

    def append(self, values: Mapping[str, Any]) -> None:
        """Append some rows.

        Parameters
        ----------
        values
            For each field of k rows: an array (k, *shape) of the field's dtype for ``"fixed"``, a sequence of k buffers for
            ``"blob"``, a sequence of k arrays (height, width, channels) for ``"pixels"``.

        Raises
        ------
        BadSetting
            If fields, shapes, dtypes or numbers of rows do not fit. Nothing was written.
        DiskFull
            If the disk is full. The shard is abandoned then, and after any other error while writing.
        """
        assert self._open, "the shard is sealed, abandoned, or could not be written"
        if values.keys() != self.fields.keys():
            raise BadSetting(f"the fields are {', '.join(self.fields)}, not {', '.join(values)}")
        checked = {name: _checked(name, field, values[name]) for name, field in self.fields.items()}
        counts = {len(each) for each in checked.values()}
        if len(counts) != 1:
            raise BadSetting(f"all fields need the same number of rows, not {sorted(counts)}")
        try:
            self._write(checked)
        except BaseException:  # some of the rows may be written: the shard must not be sealed
            self.abandon()
            raise
        self.rows += counts.pop()

    def _write(self, checked: Mapping[str, Any]) -> None:
        for name, field in self.fields.items():
            data, *index = self._by_field[name]
            if field.kind == "fixed":
                data.write([_bytes(checked[name])])
                continue
            buffers: Sequence[Any] = checked[name]
            if field.kind == "pixels":
                index[1].write([_bytes(np.array([each.shape for each in buffers], "<i4").reshape(-1, 3))])
                buffers = [_bytes(each) for each in buffers]
            data.write(buffers)
            ends = self._ends[name] + np.cumsum([memoryview(each).nbytes for each in buffers], dtype=np.int64)
            index[0].write([_bytes(ends.astype("<i8"))])
            self._ends[name] = int(ends[-1]) if len(ends) else self._ends[name]

    def seal(self, origin: Any = None) -> ShardInfo:
        """Flush all files, write `shard.json`, and rename the folder to its name.

        Parameters
        ----------
        origin
            What the rows were made from, such as a key and the states of files: a value of JSON.

        Raises
        ------
        PackedError
            If there are no rows, or the folder exists meanwhile.
        DiskFull
            If the disk is full.
        """
        assert self._open, "the shard is sealed or abandoned"
        if not self.rows:
            raise PackedError(f"{self.folder} would have no rows")
        offsets = {index[0] for _, *index in self._by_field.values() if index}
        files = {
            file: column.seal(self.rows + 1 if column in offsets else self.rows) for file, column in self._columns.items()
        }
        record = Column(self._partial / SHARD_JSON)
        try:
            record.write([shard_bytes(self.rows, self.fields, files, origin)])
            record.seal(0)
        finally:
            record.close()
        flush_folder(self._partial)
        self._rename()
        self._open = False
        flush_folder(self.folder.parent)
        return ShardInfo(self.folder, self.rows, self.fields, files, origin)

    def _rename(self) -> None:
        for pause in (*_RENAME_PAUSES, None):
            try:
                if self.folder.exists():
                    raise PackedError(f"{self.folder} already exists")
                os.rename(self._partial, self.folder)
            except PermissionError as error:
                if pause is None:
                    raise_typed(error, self.folder)
                time.sleep(pause)
            except OSError as error:
                if self.folder.exists():  # another process was faster
                    raise PackedError(f"{self.folder} already exists") from error
                raise_typed(error, self.folder)
            else:
                return

    def abandon(self) -> None:
        """Close and remove all files, unless the shard is sealed; more than once is allowed."""
        for column in self._columns.values():
            column.close()
        if self._open:
            self._open = False
            shutil.rmtree(self._partial, ignore_errors=True)

    def __enter__(self) -> ShardWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.abandon()


def _checked(name: str, field: ShardField, values: Any) -> Any:
    """Return the rows of a field ready to be written, or raise `BadSetting`."""
    if field.kind == "blob":
        return [memoryview(each).cast("B") for each in values]
    assert field.dtype is not None
    if field.kind == "fixed":
        array = np.asarray(values)
        if array.ndim == 0 or array.shape[1:] != field.shape or array.dtype.newbyteorder("<") != field.dtype:
            raise BadSetting(f"{name!r} needs rows of {field.shape} {field.dtype}, not {array.shape[1:]} {array.dtype}")
        return np.ascontiguousarray(array, field.dtype)
    arrays = [np.asarray(each) for each in values]
    for each in arrays:
        if each.ndim != 3 or each.dtype.newbyteorder("<") != field.dtype or 0 in each.shape:
            raise BadSetting(
                f"{name!r} needs images (height, width, channels) of {field.dtype}, not {each.shape} {each.dtype}"
            )
    return [np.ascontiguousarray(each, field.dtype) for each in arrays]


def _bytes(array: NDArray[Any]) -> NDArray[np.uint8]:
    return array.reshape(-1).view(np.uint8) if array.size else np.empty(0, np.uint8)


def verify(info: ShardInfo, seen: Callable[[int], None] | None = None) -> None:
    """Read every byte of a shard, and compare checksums.

    Parameters
    ----------
    info
        The shard.
    seen
        Called with the number of bytes of each piece that was read, for progress.

    Raises
    ------
    PackedError
        If a file was changed. The message names it.
    """
    for file, expected in info.files.items():
        found = info.checksum(file, seen)
        if found != expected.xxh3_128:
            raise PackedError(
                f"{info.folder / file} is damaged: its xxh3_128 is {found}, but {SHARD_JSON} says {expected.xxh3_128}"
            )


def remove_partials(folder: Path) -> bool:
    """Remove the temporary folders of killed writers of this host in a folder, which need not exist.

    Returns
    -------
    bool
        Whether none of this host is left; those of processes that live are not removed.
    """
    done = True
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        for name in os.listdir(folder):
            match = _PARTIAL.fullmatch(name)
            if match and match["host"] == platform.node()[:40]:
                if psutil.pid_exists(int(match["process"])):
                    done = False
                else:
                    shutil.rmtree(Path(folder) / name, ignore_errors=True)
    return done
