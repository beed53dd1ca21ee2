"""Packed stores: what `bitesize.pack` has written, read from few large files."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import xxhash
from numpy.typing import NDArray

from bitesize.decode.raw import HEADER_NBYTES, raw_header
from bitesize.errors import BadRows, FileChanged, PackedError
from bitesize.files.names import show
from bitesize.files.state import FileState
from bitesize.files.stores import is_store, is_unfinished
from bitesize.packed.fields import ShardField
from bitesize.packed.info import ShardInfo, files_to_json
from bitesize.packed.manifest import Manifest, Part, description, read_manifest, write_manifest
from bitesize.packed.rows import BlobTable, FixedTable, Wanted, read_wanted
from bitesize.packed.shard import ShardWriter, verify
from bitesize.sources.base import OpenOptions, Source
from bitesize.sources.combine.with_fields import WithFields
from bitesize.sources.labels import as_class_numbers, class_numbers
from bitesize.sources.packed_options import choices_of, chosen_of, label_of, opened_as, split_of, weights_of
from bitesize.sources.protocol import ChunkStarts, Into, Located, raise_bad
from bitesize.spec import Field
from bitesize.storage import paths
from bitesize.storage.address import folder_of
from bitesize.storage.url import is_url

# Bytes per read when rows are read by chunk: a good size for hard disks and networks.
_RUN_BYTES = 1 << 20
_AT_ONCE = 65_536  # rows of labels per read
_LOADING = threading.Lock()


class PackedStore(Source):
    """The rows of a packed store, or of one of its splits.

    Parameters
    ----------
    manifest
        Manifest of the store.
    split
        Name of the split; empty for a store without splits.
    options
        Options that select fields and labels.

    Raises
    ------
    PackedError
        If a shard is missing, or a file is truncated.
    BadSetting
        If options do not fit what was packed.
    """

    title = "packed stores, written by bitesize pack"
    has_splits = True
    reads_files = True

    def __init__(self, manifest: Manifest, split: str, options: OpenOptions) -> None:
        self._remote = is_url(str(manifest.folder))
        self._part, self._where = manifest.parts[split], str(manifest.folder / split if split else manifest.folder)
        part = self._part
        self._stored_name = chosen_of(part, options, self._where)
        self.spec = {name: opened_as(part, stored, options) for name, stored in self._stored_name.items()}
        new_name = {stored: name for name, stored in self._stored_name.items()}
        self._label = label_of(part, options, new_name)
        self.weight_name = weights_of(part, options, new_name)
        kept = part.label_name is not None and self._label == new_name.get(part.label_name)
        self.classes = part.classes if kept else part.classes_of.get(self._stored_name.get(self._label or "", ""))
        self.classes_of = {new_name[name]: names for name, names in part.classes_of.items() if name in new_name}
        self.feature_names = part.feature_names
        self.target_names = part.target_names if kept else None
        if part.primary in new_name:
            self.primary = new_name[part.primary]
        self._labels_read: NDArray[Any] | None = None
        # Before the files are looked at, so that a change in between is noticed.
        self._states = [(path, _state_of(path)) for path in _files(part.shards)]
        for number, shard in enumerate(part.shards):
            shard.check_files(headers=not self._remote or not number)  # sizes of objects are known, headers cost requests
        self._ends = np.cumsum([shard.rows for shard in part.shards], dtype=np.int64)
        self._fixed: dict[str, FixedTable] = {
            name: self._table(FixedTable, name) for name in self.spec if self._held(name).kind == "fixed"
        }
        self._blobs: dict[str, BlobTable] = {
            name: self._table(BlobTable, name) for name in self.spec if self._held(name).kind != "fixed"
        }
        self._names = None if part.names is None else BlobTable(part.shards, part.names)
        self.choices = choices_of(manifest, part, self._label)
        if part.skipped:
            self.left_out = {
                f"rows that could not be packed (row {part.skipped[0].row}: {part.skipped[0].reason:.120})": len(
                    part.skipped
                )
            }

    def _held(self, name: str) -> ShardField:
        return self._part.fields[self._stored_name[name]]

    def _table(self, kind: Callable[..., Any], name: str) -> Any:
        return kind(self._part.shards, self._stored_name[name])

    def __len__(self) -> int:
        return self._part.rows

    def read(self, rows: NDArray[np.int64], into: Into) -> None:
        """Read each field."""
        self._read(rows, into, self.spec)

    def read_other_fields(self, rows: NDArray[np.int64], into: Into) -> None:
        """Read all fields except `primary`."""
        self._read(rows, into, [name for name in self.spec if name != self.primary])

    def _read(self, rows: NDArray[np.int64], into: Into, names: Iterable[str]) -> None:
        failed: dict[int, Exception] = {}
        wanted: list[Wanted] = []  # of objects: all fields are read at the same time
        for name in names:
            if name not in into:
                continue
            if name == self._label and self._labels_read is not None:
                into[name][...] = self._labels_read[rows]
            elif self._remote:
                wanted.append(
                    self._fixed[name].wanted(rows, into[name])
                    if name in self._fixed
                    else self._blobs[name].wanted(rows, self._put_of(name, into[name]), failed)
                )
            elif name in self._fixed:
                self._read_fixed(name, rows, into[name], failed)
            else:
                self._blobs[name].read(rows, self._put_of(name, into[name]), failed)
        if wanted:
            read_wanted(wanted, failed)
            for name in self._fixed.keys() & set(names) & into.keys():
                self._to_native(name, into[name])
        raise_bad(failed)

    def _read_fixed(self, name: str, rows: NDArray[np.int64], out: NDArray[Any], failed: dict[int, Exception]) -> None:
        self._fixed[name].read(rows, out, failed)
        self._to_native(name, out)

    def _to_native(self, name: str, out: NDArray[Any]) -> None:
        """Reverse the bytes of values that were read, on machines with the other byte order."""
        dtype = self._held(name).dtype
        if dtype is not None and not dtype.isnative:
            out.byteswap(inplace=True)

    def _put_of(self, name: str, into: Any) -> Callable[[int, int, tuple[int, ...]], memoryview]:
        held = self._held(name)

        def put(i: int, nbytes: int, shape: tuple[int, ...]) -> memoryview:
            """Return the buffer of a row; that of pixels begins after their header."""
            if held.kind == "blob":
                buffer: memoryview = into.put(i, nbytes)
                return buffer
            assert held.dtype is not None
            buffer = into.put(i, HEADER_NBYTES + nbytes)
            buffer[:HEADER_NBYTES] = raw_header(shape, held.dtype)
            return buffer[HEADER_NBYTES:]

        return put

    def locate(self, rows: NDArray[np.int64]) -> Located | None:
        """Return the location of the field `primary`, if its rows have one shape."""
        table, dtype = self._fixed.get(self.primary), self._held(self.primary).dtype
        if table is None or dtype is None or not dtype.isnative:
            return None
        paths, which, offsets = table.locate(rows)
        return Located(paths, which, offsets, joined=table.joined)

    def chunks(self) -> ChunkStarts:
        """Return rows of about 1 MiB that are neighbors in a shard."""
        nbytes = max(1, self._part.nbytes // len(self))
        starts = [
            np.arange(end - shard.rows, end, max(1, _RUN_BYTES // nbytes), dtype=np.int64)
            for shard, end in zip(self._part.shards, self._ends.tolist(), strict=True)
        ]
        begins = np.append(np.concatenate(starts), len(self))
        if not self._blobs:
            return ChunkStarts(begins)
        sizes = sum(table.sizes() + HEADER_NBYTES for table in self._blobs.values())
        return ChunkStarts(begins, np.add.reduceat(sizes, begins[:-1]))

    @property
    def label_name(self) -> str | None:
        """Name of the field with the labels."""
        return self._label

    @property
    def labels(self) -> NDArray[np.int64] | None:
        """Class number of every row, read on first access."""
        field = self.spec.get(self._label or "")
        if not isinstance(field, Field) or field.shape or field.dtype.kind not in "iub":
            return None
        with _LOADING:
            if self._labels_read is None:
                values = np.empty(len(self), field.dtype)
                for start in range(0, len(self), _AT_ONCE):
                    rows = np.arange(start, min(start + _AT_ONCE, len(self)), dtype=np.int64)
                    self._read(rows, {str(self._label): values[start : start + len(rows)]}, [str(self._label)])
                if self.classes is not None and not 0 <= int(values.min()) <= int(values.max()) < len(self.classes):
                    raise PackedError(
                        f"{self._where} has class numbers from {values.min()} to {values.max()}, but {len(self.classes)} classes"
                    )
                self._labels_read = values
        return as_class_numbers(self._labels_read)

    @property
    def nbytes(self) -> int:
        """Bytes of offsets, labels and names of files in memory."""
        field = self.spec.get(self._label or "")
        labels = len(self) * field.nbytes if isinstance(field, Field) and not field.shape else 0
        tables: list[FixedTable | BlobTable] = [*self._fixed.values(), *self._blobs.values()]
        names = 0 if self._names is None else self._names.nbytes
        return labels + names + sum(table.nbytes for table in tables) + sum(len(path) + 32 for path, _ in self._states)

    def describe(self, row: int) -> str:
        """Return the store, the row, and the path of the row in the data that was packed."""
        if self._names is None:
            shard = self._part.shards[int(np.searchsorted(self._ends, row, side="right"))]
            return f"{self._where}, row {row} (shard {shard.folder.name})"
        try:
            return f"{self._where}, row {row} ({show(self._names_of(np.array([row], np.int64))[0])})"
        except BadRows:  # the file of the names cannot be read: this must not hide another error
            return f"{self._where}, row {row}"

    @property
    def column_names(self) -> tuple[str, ...]:
        """Names of all fields, and of the paths of rows in the data that was packed."""
        return (*self.spec, *([] if self._part.names is None else [self._part.names]))

    def column(self, name: str) -> NDArray[Any]:
        """Return a column; that of the paths of rows is text."""
        if self._part.names is None or name in self.spec or name != self._part.names:
            return super().column(name)
        spans = (np.arange(start, min(start + _AT_ONCE, len(self))) for start in range(0, len(self), _AT_ONCE))
        return np.array([show(path) for rows in spans for path in self._names_of(rows)])

    def _names_of(self, rows: NDArray[np.int64]) -> list[bytes]:
        """Read the paths of rows."""
        assert self._names is not None
        found: dict[int, memoryview] = {}
        failed: dict[int, Exception] = {}

        def put(i: int, nbytes: int, shape: tuple[int, ...]) -> memoryview:
            """Return the buffer of a path."""
            found[i] = memoryview(bytearray(nbytes))
            return found[i]

        self._names.read(rows, put, failed)
        raise_bad(failed)
        return [bytes(found[i]) for i in range(len(rows))]

    def check_unchanged(self) -> None:
        """Check size and time of each file."""
        for path, state in self._states:
            state.check(path)

    def row_versions(self, rows: NDArray[np.int64]) -> NDArray[np.uint64] | None:
        """Return 1 for encoded rows, since checksums are part of the store's identity; None for pixels, which are not decoded."""
        return np.ones(len(rows), np.uint64) if self._held(self.primary).kind == "blob" else None

    def verify(self, seen: Callable[[int], None] | None = None) -> None:
        """Read every byte of the store, or of this split, and compare checksums.

        Parameters
        ----------
        seen
            Called with the number of bytes of each piece that was read, for progress.

        Raises
        ------
        PackedError
            If a file was changed. The message names it.

        Examples
        --------
        >>> import pathlib, tempfile
        >>> from bitesize.sources.packed import PackedStore
        >>> PackedStore.example(pathlib.Path(tempfile.mkdtemp()), rows=3).verify()
        """
        for shard in self._part.shards:
            verify(shard, seen)

    def _identity(self) -> bytes:
        digest = xxhash.xxh3_128()
        digest.update(json.dumps([description(self._part), self._stored_name, self._label, self.weight_name]).encode())
        for shard in self._part.shards:
            digest.update(json.dumps([shard.rows, files_to_json(shard.files)]).encode())
        return digest.digest()

    @classmethod
    def takes(cls, data: Any) -> bool:
        """Return whether this is the folder of a store, complete or not."""
        return isinstance(data, str) and paths.isdir(data) and (is_store(data) or is_unfinished(data))

    @classmethod
    def opened(cls, data: Any, options: OpenOptions) -> Source:
        """Open a store, or one of its splits."""
        folder = folder_of(paths.abspath(data))
        if not is_store(folder) and is_unfinished(folder):
            raise PackedError(f"{data} is not complete: run the command that packs it again, which continues where it ended")
        manifest = read_manifest(folder)
        split = split_of(manifest, options.split)
        if options.labels is None or isinstance(options.labels, str):
            return cls(manifest, split, options)
        source = cls(manifest, split, replace(options, labels=None))
        numbers, classes = class_numbers(options.labels, len(source), options.tag_delimiter)
        return WithFields(source, {"y": numbers}, classes)

    @classmethod
    def example(cls, folder: Path, rows: int) -> Source:
        """Write a store of small images, masks and labels, in two shards."""
        random = np.random.default_rng(0)
        fields = {
            "x": ShardField("fixed", (5, 4, 3), np.dtype(np.uint8)),
            "mask": ShardField("fixed", (5, 4), np.dtype(np.uint8)),
            "y": ShardField("fixed", (), np.dtype(np.int64)),
        }
        spec = {
            name: Field(held.shape, held.dtype or np.dtype(np.uint8), mask=name == "mask") for name, held in fields.items()
        }
        store, shards = folder / "packed", []
        store.mkdir()
        for number, numbers in enumerate(np.array_split(np.arange(rows), min(2, rows))):
            with ShardWriter(store / f"{number:05}", fields, len(numbers)) as writer:
                writer.append(
                    {
                        "x": random.integers(0, 256, (len(numbers), 5, 4, 3), np.uint8),
                        "mask": random.integers(0, 2, (len(numbers), 5, 4), np.uint8),
                        "y": numbers % 2,
                    }
                )
                shards.append(writer.seal())
        part = Part(spec, fields, "x", "y", None, None, ("a", "b"), {}, shards=tuple(shards))
        write_manifest(Manifest(store, {"kind": "pixels", "transforms": []}, {"": part}))
        return cls.opened(str(store), OpenOptions())


def _files(shards: Iterable[ShardInfo]) -> list[bytes]:
    return [os.fsencode(shard.folder / name) for shard in shards for name in shard.files]


def _state_of(path: bytes) -> FileState:
    try:
        return FileState.of(path)
    except FileChanged as error:
        raise PackedError(f"{show(path)} is missing") from error
