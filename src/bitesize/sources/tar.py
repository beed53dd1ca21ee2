"""Tar files of samples in WebDataset's format: members of one key are a row, read in place and never extracted."""

from __future__ import annotations

import io
import json
import os
import re
import tarfile
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitesize.decode.header import SUFFIXES
from bitesize.errors import BadFile, BadSetting, BitesizeError
from bitesize.files.names import show
from bitesize.files.npy import MAX_HEADER, Header, parse_header
from bitesize.files.pread import Handle, passing, read_into, read_pieces, with_file
from bitesize.files.state import FileState
from bitesize.files.tar_index import SUFFIX, index_folder, tar_indexes
from bitesize.files.tar_samples import Samples
from bitesize.memory.sizes import format_size
from bitesize.sources.base import OpenOptions, Source
from bitesize.sources.choices import Choice, unread_labels
from bitesize.sources.columns import LABEL_FIELDS, wanted_fields
from bitesize.sources.labels import class_numbers
from bitesize.sources.protocol import ChunkStarts, Into, raise_bad
from bitesize.spec import Encoded, Field
from bitesize.storage.blocks import HELD_NBYTES
from bitesize.storage.url import is_url

# A sample's members that hold its class, as a number or a name.
_CLASSES = ("cls", "label", "cls.txt")
_JSON_CLASSES = ("label", "class", "cls", "y", "target", "category", "class_name", "label_name")
_NUMBER = re.compile("-?[0-9]{1,18}")
_RUN_BYTES = 1 << 20
_LARGEST_TEXT = 1 << 20
_NAMED = 10


class Tar(Source):
    """Samples of tar files: their images are the field ``x``, their classes ``y``.

    Parameters
    ----------
    paths
        Shards, in order.
    options
        Which members are fields: ``{"x": "png", "depth": "depth.npy", "y": "json.label"}``, by what follows the first dot of their names,
        and of JSON by the name of a value.
    """

    title = "tar files of samples (WebDataset)"
    suffixes = (".tar",)
    reads_files = True

    def __init__(self, paths: Sequence[str], options: OpenOptions) -> None:
        self._paths = [os.fsencode(path) for path in paths]
        self._is_remote = is_url(self._paths[0])
        self._where = paths[0] if len(paths) == 1 else f"{len(paths)} files from {paths[0]}"
        self._states = [FileState.of(path) for path in self._paths]  # before they are looked into
        samples = Samples()
        requested = 0
        for number, index in enumerate(tar_indexes(paths)):
            samples.add(number, index)
            requested += index.requested
        if not len(samples):
            raise BadFile(f"{self._where} holds no samples")
        kinds = samples.kinds_of_first()
        self._blob, self._ends = samples.names()
        self._shard = samples.shards()
        wanted = _wanted(kinds, options, self._where)
        if options.labels is None and options.fields is None and "y" not in wanted:
            self._find_labels(samples, kinds, wanted)
        named = options.labels if isinstance(options.labels, str) and options.labels in wanted else None
        self._label = named or next((name for name in LABEL_FIELDS if name in wanted), None)
        if not options.labels_needed and self._label is not None and len(wanted) > 1:
            self.choices = (*self.choices, unread_labels([wanted.pop(self._label)]))
            self._label = None
        self._extents: dict[str, tuple[NDArray[np.int64], NDArray[np.int64]]] = {}
        self._arrays: dict[str, NDArray[Any]] = {}
        self.spec = {}
        taken = {
            stored_name.partition(".")[0] if stored_name.startswith("json.") else stored_name
            for stored_name in wanted.values()
        }
        if requested:
            said = f"the tar files were listed by reading {format_size(requested)}; the list is kept in {index_folder()}"
            self.choices = (*self.choices, Choice(said, f"a file NAME.tar{SUFFIX} beside each"))
        self.left_out = {f"members .{kind}": 1 for kind in kinds if kind not in taken}
        if samples.passed_over:
            self.left_out["links, devices and similar members"] = samples.passed_over
        for name, stored_name in wanted.items():
            member, _, value = stored_name.partition(".") if stored_name.startswith("json.") else (stored_name, "", "")
            extents = self._extents_of(samples, member)
            if value or stored_name in _CLASSES:
                values = self._values(extents, value)
                try:
                    self._arrays[name], classes = class_numbers(values, len(samples))
                except BadSetting as error:
                    raise BadFile(f"the members .{member} of {self._where}: {error}") from error
                if name == self._label:
                    self.classes = classes
                elif classes is not None:
                    self.classes_of = {**self.classes_of, name: classes}
                self.spec[name] = Field(self._arrays[name].shape[1:], self._arrays[name].dtype)
            else:
                self._extents[name] = extents
                self.spec[name] = self._kind(stored_name, extents, options)
        if options.labels is None and options.fields is None and self._label is None and options.labels_needed:
            self._label_by_folder()
        self._labels = None if self._label is None else self._arrays.get(self._label)

    def _find_labels(self, samples: Samples, kinds: Sequence[str], wanted: dict[str, str]) -> None:
        """Search the JSON of the first sample for a class, if samples have no member for it."""
        if "json" not in kinds:
            return
        extents = samples.extents("json")
        if not 0 <= extents[1][0] <= _LARGEST_TEXT:
            return
        try:
            first = json.loads(bytes(self._member(0, extents)))
        except (ValueError, RecursionError):
            return  # reported when it is read
        key = next((key for key in _JSON_CLASSES if isinstance(first, dict) and isinstance(first.get(key), str | int)), None)
        if key is not None:
            wanted["y"] = f"json.{key}"
            self.choices = (*self.choices, Choice(f"labels: {key!r} in the members .json", "labels="))

    def _label_by_folder(self) -> None:
        """Use the folders of samples as classes, as in a tar file of an image folder."""
        names = [os.path.basename(os.path.dirname(self._name(row))) for row in range(len(self))]
        if not 2 <= len(set(names)) <= max(2, len(names) // 2) or "" in names:
            return
        self._arrays["y"], self.classes = class_numbers(names, len(names))
        self._label, self.spec = "y", {**self.spec, "y": Field((), np.dtype(np.int64))}
        self.choices = (*self.choices, Choice(f"labels: the {len(set(names))} folders in the tar file", "labels=False"))

    def _extents_of(self, samples: Samples, member: str) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        extents = samples.extents(member)
        missing = np.flatnonzero(extents[0] < 0)
        if missing.size:
            first = ", ".join(self._name(row) for row in missing[:_NAMED].tolist())
            raise BadFile(f"{missing.size} of {len(samples)} samples of {self._where} have no member .{member}: {first}")
        return extents

    def _values(self, extents: tuple[NDArray[np.int64], NDArray[np.int64]], key: str) -> list[Any]:
        """Return small members: text, or a value of JSON."""
        values: list[Any] = []
        for row, member in self._members(extents):
            text = member.decode("utf-8", "backslashreplace").strip()
            if not key:
                values.append(text)
                continue
            try:
                found = json.loads(text)
                values.append(found[key])
            except (ValueError, KeyError, TypeError, RecursionError) as error:
                raise BadFile(f"{self.describe(row)}: its .json has no value {key!r}: {error}") from error
        return [int(value) for value in values] if not key and all(map(_NUMBER.fullmatch, values)) else values

    def _members(self, extents: tuple[NDArray[np.int64], NDArray[np.int64]]) -> Iterator[tuple[int, bytes]]:
        """Yield the small members of all rows; those of objects are read many at the same time."""
        large = np.flatnonzero(extents[1] > _LARGEST_TEXT)
        if large.size:
            raise BadFile(f"{self.describe(int(large[0]))}: a label of {extents[1][large[0]]:,} bytes")
        if not self._is_remote:
            yield from ((row, bytes(self._member(row, extents))) for row in range(len(self)))
            return
        cuts = np.searchsorted(np.cumsum(extents[1]), np.arange(0, int(extents[1].sum()) + 1, HELD_NBYTES - _LARGEST_TEXT))
        for start, stop in pairwise([*dict.fromkeys([0, *cuts.tolist()]), len(self)]):
            rows = range(start, stop)
            found = [bytearray(int(extents[1][row])) for row in rows]
            which = self._shard[start : rows.stop].astype(np.int64)
            failed = read_pieces(self._paths, which, extents[0][start : rows.stop], [memoryview(each) for each in found])
            for error in failed.values():
                raise error
            yield from zip(rows, map(bytes, found), strict=True)

    def _kind(
        self, stored_name: str, extents: tuple[NDArray[np.int64], NDArray[np.int64]], options: OpenOptions
    ) -> Field | Encoded:
        if f".{stored_name.rpartition('.')[2]}" in SUFFIXES:
            return Encoded("image", options.mode, options.orient)
        if stored_name.rpartition(".")[2] != "npy":
            raise BadSetting(
                f"members .{stored_name} of {self._where} cannot be a field: only images, .npy, .cls and values of .json can"
            )
        header = parse_header(
            bytes(self._member(0, extents, MAX_HEADER + 12)), int(extents[1][0]), os.fsencode(self.describe(0))
        )
        return Field(header.shape, header.dtype.newbyteorder("="))

    def __len__(self) -> int:
        return len(self._ends)

    def read(self, rows: NDArray[np.int64], into: Into) -> None:
        """Read members in place."""
        failed: dict[int, Exception] = {}
        for name, array in self._arrays.items():
            if name in into:
                into[name][...] = array[rows]
        numbers = rows.tolist()
        if self._is_remote:
            self._read_objects(rows, into, failed)
            raise_bad(failed)
            return
        for shard in np.unique(self._shard[rows]).tolist():
            of = [i for i, row in enumerate(numbers) if self._shard[row] == shard]
            try:
                with_file(self._paths[shard], partial(self._read_some, numbers, of, into, failed))
            except BitesizeError as error:
                failed |= dict.fromkeys(of, error)
        raise_bad(failed)

    def read_other_fields(self, rows: NDArray[np.int64], into: Into) -> None:
        """Read all fields except `primary`; labels are in memory, so only arrays are read from the shards."""
        others = {name: buffer for name, buffer in into.items() if name != self.primary}
        if any(name in self._extents for name in others):
            self.read(rows, others)
            return
        for name, buffer in others.items():
            buffer[...] = self._arrays[name][rows]

    def row_versions(self, rows: NDArray[np.int64]) -> NDArray[np.uint64]:
        """Return the versions of the shards of rows; `check_unchanged` notices a replaced shard."""
        return np.array([state.version for state in self._states], np.uint64)[self._shard[rows]]

    def check_unchanged(self) -> None:
        """Check the shards."""
        for path, state in zip(self._paths, self._states, strict=True):
            state.check(path)

    def _read_objects(self, rows: NDArray[np.int64], into: Into, failed: dict[int, Exception]) -> None:
        """Read the members of all rows at the same time."""
        numbers, wanted = rows.tolist(), [name for name in self._extents if name in into]
        places: list[tuple[int, int, int, memoryview]] = []  # position in the call, shard, offset, buffer
        starts: list[tuple[int, str, memoryview]] = []
        for name in wanted:
            offsets, sizes = self._extents[name]
            stored = self.spec[name]
            for i, row in enumerate(numbers):
                shard, offset, size = int(self._shard[row]), int(offsets[row]), int(sizes[row])
                try:
                    self._states[shard].check(self._paths[shard])
                    if isinstance(stored, Encoded):
                        places.append((i, shard, offset, into[name].put(i, size)))
                        continue
                    out = into[name][i : i + 1].reshape(-1).view(np.uint8)
                    head = size - out.nbytes  # the array has the shape of the first one, or its header says which
                    start = memoryview(bytearray(min(size, head if 0 < head <= MAX_HEADER + 12 else MAX_HEADER + 12)))
                    starts.append((i, name, start))
                    places.append((i, shard, offset, start))
                    if start.nbytes == head:
                        places.append((i, shard, offset + head, memoryview(out)))
                except BitesizeError as error:
                    failed[i] = error
        which, begins = (np.array([place[k] for place in places], np.int64) for k in (1, 2))
        for k, cause in read_pieces(self._paths, which, begins, [place[3] for place in places]).items():
            failed.setdefault(places[k][0], cause)
        for i, name, start in starts:
            if i not in failed:
                try:
                    if not self._header_of(name, numbers[i], bytes(start)).dtype.isnative:
                        into[name][i : i + 1].reshape(-1).byteswap(inplace=True)
                except BitesizeError as error:
                    failed[i] = error

    def _header_of(self, name: str, row: int, start: bytes) -> Header:
        """Return the header of an array, by its first bytes; raise `BadFile` if it is not like that of the first row."""
        header = parse_header(start, int(self._extents[name][1][row]), os.fsencode(f"{self.describe(row)} (.npy)"))
        fortran = header.fortran and len(header.shape) > 1
        first = self.spec[name]
        assert isinstance(first, Field)
        if not first.holds(header.shape, header.dtype) or fortran:
            order = " in Fortran order" if header.fortran else ""
            raise BadFile(
                f"{self.describe(row)}: the array is {header.shape} {header.dtype}{order}, but the first is {first}"
            )
        return header

    def _read_some(self, numbers: list[int], of: list[int], into: Into, failed: dict[int, Exception], fd: Handle) -> None:
        shard = self._shard[numbers[of[0]]]
        self._states[shard].check(self._paths[shard], fd)
        for i in of:
            try:
                self._read_one(fd, numbers[i], i, into)
            except BitesizeError as error:
                if passing(error):
                    raise
                failed[i] = error

    def _read_one(self, fd: Handle, row: int, i: int, into: Into) -> None:
        path = self._paths[self._shard[row]]
        for name, (offsets, sizes) in self._extents.items():
            if name not in into:
                continue
            data, offset, size = self.spec[name], int(offsets[row]), int(sizes[row])
            if isinstance(data, Encoded):
                read_into(fd, [into[name].put(i, size)], offset, path)
                continue
            start = bytearray(min(size, MAX_HEADER + 12))
            read_into(fd, [start], offset, path)
            header = self._header_of(name, row, bytes(start))
            out = into[name][i : i + 1].reshape(-1)
            read_into(fd, [out.view(np.uint8)], offset + header.offset, path)
            if not header.dtype.isnative:
                out.byteswap(inplace=True)

    def _member(self, row: int, extents: tuple[NDArray[np.int64], NDArray[np.int64]], most: int | None = None) -> bytearray:
        """Return a small member, or its first bytes."""
        path = self._paths[self._shard[row]]
        size = int(extents[1][row])
        data = bytearray(size if most is None else min(size, most))
        with_file(path, lambda fd: read_into(fd, [data], int(extents[0][row]), path))
        return data

    @property
    def label_name(self) -> str | None:
        """Name of the field with the labels."""
        return self._label if self._label in self.spec else None

    def chunks(self) -> ChunkStarts | None:
        """Return chunks of shards of about a megabyte, a good size for hard disks and networks."""
        encoded = [sizes for name, (_, sizes) in self._extents.items() if isinstance(self.spec[name], Encoded)]
        nbytes_of_rows = sum(encoded, np.zeros(len(self), np.int64))
        window_rows = np.cumsum(nbytes_of_rows) // _RUN_BYTES
        torn = (np.diff(self._shard, prepend=-1) != 0) | (np.diff(window_rows, prepend=-1) != 0)
        starts = np.flatnonzero(torn)
        nbytes = np.add.reduceat(nbytes_of_rows, starts) if encoded else None
        return ChunkStarts(np.append(starts, len(self)), nbytes)

    def scratch(self, rows: int) -> int:
        """Return the bytes of the header of an array."""
        return MAX_HEADER + 12

    @property
    def nbytes(self) -> int:
        """Bytes of names, extents and labels."""
        extents = sum(each.nbytes for pair in self._extents.values() for each in pair)
        arrays = sum(array.nbytes for array in self._arrays.values())
        return extents + arrays + self._shard.nbytes + len(self._blob) + self._ends.nbytes

    def _name(self, row: int) -> str:
        return show(self._blob[int(self._ends[row - 1]) if row else 0 : int(self._ends[row])])

    def describe(self, row: int) -> str:
        """Return the file and the sample."""
        return f"{os.fsdecode(self._paths[self._shard[row]])}::{self._name(row)}"

    def _identity(self) -> bytes:
        return b"\0".join([self._blob, self._ends.tobytes(), *(array.tobytes() for array in self._arrays.values())])

    @classmethod
    def opened(cls, data: Any, options: OpenOptions) -> Source:
        """Open shards."""
        return cls(list(data), options)

    @classmethod
    def example(cls, folder: Path, rows: int) -> Source:
        """Write two shards of small images with their classes."""
        from PIL import Image

        random = np.random.default_rng(0)
        paths = [str(folder / f"{number}.tar") for number in range(2)]
        for number, path in enumerate(paths):
            with tarfile.open(path, "w") as tar:
                for i in range(number * rows // 2, (number + 1) * rows // 2 + number * (rows % 2)):
                    image = io.BytesIO()
                    Image.fromarray(random.integers(0, 256, (12 + i % 5, 16, 3), np.uint8)).save(image, "JPEG")
                    for kind, data in (("jpg", image.getvalue()), ("cls", b"%d" % (i % 2))):
                        member = tarfile.TarInfo(f"{i:04}.{kind}")
                        member.size = len(data)
                        tar.addfile(member, io.BytesIO(data))
        return cls.opened(paths, OpenOptions(mode="RGB"))


def _wanted(kinds: Sequence[str], options: OpenOptions, where: str) -> dict[str, str]:
    """Return the member of each field: those asked for, or the first image or array as ``x`` and the class as ``y``."""
    if options.fields is not None:
        return wanted_fields(options, kinds)
    images = [kind for kind in kinds if f".{kind.rpartition('.')[2]}" in SUFFIXES]
    arrays = [kind for kind in kinds if kind.rpartition(".")[2] == "npy"]
    wanted = dict(zip(("x",), (*images, *arrays), strict=False))
    wanted |= {kind.replace(".", "_"): kind for kind in arrays if kind not in wanted.values()}
    label = options.labels if isinstance(options.labels, str) else next((kind for kind in kinds if kind in _CLASSES), None)
    if label is not None:
        wanted["y"] = label
    if "x" not in wanted and not arrays:
        raise BadFile(f"the samples of {where} have no images or arrays: their members are .{', .'.join(kinds)}")
    return wanted
