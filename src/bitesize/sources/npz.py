"""`.npz` archives: one of arrays with a common first axis, or one archive a row."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitesize.errors import BadFile, BadSetting, BitesizeError, NotFound
from bitesize.files.held import held_groups
from bitesize.files.names import Names, show
from bitesize.files.npy import HoldsObjects
from bitesize.files.pread import joined
from bitesize.lazy.nodes import Node
from bitesize.lazy.parts import MEMBER, members
from bitesize.lazy.select import NEAR, SCRATCH, whole
from bitesize.sources.base import OpenOptions, RowFiles, Source
from bitesize.sources.choices import Choice
from bitesize.sources.column import OBJECTS, Column, UnsupportedColumn
from bitesize.sources.columns import ColumnSource, wanted_fields
from bitesize.sources.combine.chained import chain
from bitesize.sources.file_rows import FileSource, example_files, first_readable_file
from bitesize.sources.protocol import Into, Located, raise_bad
from bitesize.sources.sparse import SparseRows, is_sparse
from bitesize.spec import Field
from bitesize.storage import paths
from bitesize.storage.blocks import HELD_NBYTES
from bitesize.storage.url import is_url


class ArchiveMember(Column):
    """An array of an archive."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self.shape, self.dtype, self.checks_files = node.shape, node.dtype, node.checks_files
        found = node.stretches()
        self._stretch = found[0] if found else None
        self._row_nbytes = math.prod(node.shape[1:]) * node.dtype.itemsize

    def read(self, start: int, stop: int, out: NDArray[Any]) -> None:
        """Read stored values, or decompress them."""
        self._node.read((range(start, stop), *whole(self.shape[1:])), out)

    def texts(self) -> list[str]:
        """Return all rows as text."""
        out = np.empty(self.shape, self.dtype)
        self.read(0, self.shape[0], out)
        out = out.ravel()
        return (
            [str(text) for text in np.char.decode(out, "utf-8", "backslashreplace")]
            if out.dtype.kind == "S"
            else out.tolist()
        )

    def locate(self, rows: NDArray[np.int64]) -> Located | None:
        """Return the locations of rows, if they are not compressed."""
        if self._stretch is None:
            return None
        path = [self._stretch.path]
        offsets = self._stretch.offset + rows * self._row_nbytes
        return Located(path, np.zeros(len(rows), np.int64), offsets, joined=joined(path))

    def check_unchanged(self) -> None:
        """Check the archive."""
        self._node.check_unchanged()

    @property
    def chunk_rows(self) -> int | None:
        """Number of rows between two access points of decompression."""
        apart = self._node.chunk_nbytes
        return max(1, apart // max(1, self._row_nbytes)) if apart else None

    def scratch(self, rows: int) -> int:
        """Return the bytes of the blocks for reading."""
        return self._node.blocks * min(SCRATCH, rows * (self._row_nbytes + NEAR))

    @property
    def nbytes(self) -> int:
        """Bytes of decompressor states."""
        return self._node.held_nbytes


class NpzArrays(ColumnSource):
    """One `.npz` archive of arrays with a common first axis; each array is a field."""

    title = ".npz archive of arrays"
    has_members = True

    @classmethod
    def takes(cls, data: Any) -> bool:
        """Return whether this is the path of an archive."""
        return isinstance(data, str) and data.lower().endswith(".npz") and paths.isfile(data)

    @classmethod
    def opened(cls, data: Any, options: OpenOptions) -> Source:
        """Read the headers of the arrays of an archive, or of several, whose rows are chained; or of ``"a.npz::name"``."""
        paths = [os.fsdecode(each) for each in (data if isinstance(data, list) else [data])]
        sources = [cls._of_one(*path.partition(MEMBER)[::2], options) for path in paths]
        return sources[0] if len(sources) == 1 else chain(sources)

    @classmethod
    def _of_one(cls, path: str, member: str, options: OpenOptions) -> Source:
        path = paths.abspath(path)
        where = show(os.fsencode(path))
        columns: dict[str, Column] = {}
        for name, node in members(os.fsencode(path)).items():
            if isinstance(node, HoldsObjects):
                columns[name] = UnsupportedColumn(OBJECTS.format(name))
            elif node.hindrance:
                columns[name] = UnsupportedColumn(f"an array whose {node.hindrance}: save it again in C order")
            else:
                columns[name] = ArchiveMember(node)
        if member:
            if member not in columns:
                raise NotFound(f"{where} has no {member!r}: it has {', '.join(columns) or 'nothing'}")
            return cls({"x": columns[member]}, options, f"{where}{MEMBER}{member}")
        if is_sparse(columns):
            return SparseRows.of_archive(path, options)
        return cls(columns, options, where)

    @classmethod
    def example(cls, folder: Path, rows: int) -> Source:
        """Write an archive of images and labels."""
        random = np.random.default_rng(0)
        x = random.integers(0, 256, (rows, 5, 4, 3), np.uint8)
        np.savez_compressed(folder / "data.npz", x=x, y=np.array(["a", "b"])[np.arange(rows) % 2])
        return cls.opened(str(folder / "data.npz"), OpenOptions())


class NpzFiles(FileSource):
    """`.npz` archives of one row each; each of their arrays is a field, of the same shape and dtype in every archive.

    Parameters
    ----------
    names
        Archives. The first readable archive defines the fields.
    labels
        One label per file, shape (n, ...), or None.
    classes
        Names of the classes.
    left_out
        What the scan left out.
    options
        Which arrays are fields.
    """

    title = ".npz archives of one row each"
    suffixes = (".npz",)
    has_names = True
    many_rows_kind = NpzArrays

    def __init__(
        self,
        names: Names,
        labels: NDArray[Any] | None,
        classes: tuple[str, ...] | None,
        left_out: Mapping[str, int],
        options: OpenOptions,
    ) -> None:
        self._first, nodes = first_readable_file(names, members)
        first = {stored_name: node for stored_name, node in nodes.items() if not isinstance(node, HoldsObjects)}
        self._members = wanted_fields(options, first)
        for stored_name in self._members.values():
            refused = nodes.get(stored_name)
            if isinstance(refused, HoldsObjects):
                raise refused
            if stored_name not in first:
                raise BadSetting(f"{names.show(self._first)} has no {stored_name!r}: it has {', '.join(nodes)}")
        if not first:
            raise BadFile(f"{names.show(self._first)} contains no arrays of numbers: it has {', '.join(nodes) or 'nothing'}")
        if labels is not None and "y" in self._members:
            raise BadSetting(
                f"{names.show(self._first)} has an array y, but its folder is also a label: select other arrays with fields="
            )
        fields = {
            here: Field(first[stored_name].shape, first[stored_name].dtype) for here, stored_name in self._members.items()
        }
        super().__init__(names, labels, classes, left_out, next(iter(fields.values())))
        self.spec = {**fields, **({"y": self.spec["y"]} if labels is not None else {})}

    def read(self, rows: NDArray[np.int64], into: Into) -> None:
        """Read or decompress each archive."""
        if self._labels is not None and "y" in into:
            into["y"][...] = self._labels[rows]
        failed: dict[int, Exception] = {}
        numbers = rows.tolist()
        for some in held_groups([self._names.path(row) for row in numbers]):
            for i in some:
                try:
                    self._read_one(numbers[i], i, into)
                except BitesizeError as error:
                    failed[i] = error
        raise_bad(failed)

    def _read_one(self, row: int, i: int, into: Into) -> None:
        nodes = members(self._names.path(row))
        for name, stored_name in self._members.items():
            if name not in into:
                continue
            node, field = nodes.get(stored_name), self.spec[name]
            if isinstance(node, HoldsObjects):
                raise node
            assert isinstance(field, Field)
            if node is None or not field.holds(node.shape, node.dtype):
                seen = "none" if node is None else Field(node.shape, node.dtype)
                raise BadFile(
                    f"the array {stored_name!r} of {self._names.show(row)} is {seen}, but {field} in {self._names.show(self._first)}"
                )
            node.read(whole(node.shape), into[name][i, ...])  # a view, also of single numbers

    def scratch(self, rows: int) -> int:
        """Return the bytes of a decompressor and its input buffer, and of objects that are read together."""
        return SCRATCH + (HELD_NBYTES if is_url(self._names.path(0)) else 0)

    @classmethod
    def of_files(cls, files: RowFiles, options: OpenOptions) -> Source:
        """Open archives, with a note if each could also hold many rows."""
        source = cls(files.names, files.labels, files.classes, files.left_out, options)
        shapes = [field.shape for name, field in source.spec.items() if isinstance(field, Field) and name in source._members]
        if options.file_is_row is None and (files.labels is None or max(map(len, shapes)) > 3):
            said = f"each of the {len(source)} .npz files is one row, its arrays the fields"
            source.choices = (*source.choices, Choice(said, "file_is_row=False"))
        return source

    @classmethod
    def example(cls, folder: Path, rows: int) -> Source:
        """Write small archives in two class folders."""
        random = np.random.default_rng(0)

        def write(path: Path, i: int) -> None:
            """Write an archive."""
            np.savez_compressed(path, x=random.integers(0, 256, (5, 4, 3), np.uint8), z=random.random(2))

        found = example_files(folder, rows, ".npz", write)
        return cls(found.names, found.labels, found.classes, found.left_out, OpenOptions())
