"""HDF5 files, or groups of a file, of one row each: their datasets are the fields."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitesize.errors import BadFile, BitesizeError
from bitesize.files.held import held_groups
from bitesize.lazy.parts import MEMBER
from bitesize.sources.base import OpenOptions, RowFiles, Source
from bitesize.sources.choices import Choice
from bitesize.sources.column import UnsupportedColumn
from bitesize.sources.file_rows import FileSource, example_files, first_readable_file
from bitesize.sources.hdf5_file import column_of, columns_of
from bitesize.sources.hdf5_opening import CACHE, RAISED, Hdf5File, OpenDataset, damaged, open_hdf5
from bitesize.sources.member_rows import (
    Layout,
    Member,
    MemberRows,
    Members,
    Shapes,
    layout_of,
    refuse_two_labels,
    rows_among,
)
from bitesize.storage.blocks import HELD_NBYTES
from bitesize.storage.url import is_url


def _members(group: Any, file: Hdf5File, prefix: str) -> Members:
    """Return a function that finds a dataset of an open group by name, without following links to other files."""
    import h5py

    def find(name: str) -> Member | None:
        """Open a dataset."""
        stored = group.get(name)
        if not isinstance(stored, h5py.Dataset) or stored.file.filename != group.file.filename:
            return None

        def read(out: NDArray[Any]) -> None:
            """Read the whole dataset."""
            column = column_of(stored, OpenDataset(file, stored), prefix + name)
            if column is None or isinstance(column, UnsupportedColumn):
                raise BadFile(f"{file.path}{MEMBER}{prefix}{name} is {column.why if column else 'empty'}")
            column.read(0, stored.shape[0], out)

        return Member(stored.shape, stored.dtype, lambda: stored[()], read)

    return find


class Hdf5Files(MemberRows, FileSource):
    """HDF5 files of one row each; each of their datasets is a field, of the same shape and dtype in every file.

    Parameters
    ----------
    files
        Files and their labels. The first readable file defines the fields.
    options
        Which datasets are fields.

    Raises
    ------
    BadSetting
        If both the files and their folders provide labels.
    """

    title = "HDF5 files of one row each"
    package = "h5py"
    has_names = True

    def __init__(self, files: RowFiles, options: OpenOptions) -> None:
        def look(path: bytes) -> Layout:
            """Return the fields of a file."""
            text = os.fsdecode(path)
            with _opened(text) as group:
                return layout_of(dict(columns_of(group, Hdf5File(text))), options, text, CACHE)

        self._first, layout = first_readable_file(files.names, look)
        x = next(iter(layout.spec.values()))
        FileSource.__init__(self, files.names, files.labels, files.classes, files.left_out, x)
        refuse_two_labels(layout, options, files.labels is not None, files.names.show(self._first))
        y = self.spec.get("y") if files.labels is not None else None
        self._take(layout, options)
        if y is not None:
            self.spec = {**layout.spec, "y": y}

    def _held(self, rows: Sequence[int]) -> Iterator[range]:
        """Read files that are objects at the same time."""
        return held_groups([self._names.path(row) for row in rows])

    def scratch(self, rows: int) -> int:
        """Return the bytes for reading one row, and of objects that are read together."""
        return super().scratch(rows) + (HELD_NBYTES if is_url(self._names.path(0)) else 0)

    @contextmanager
    def _row(self, row: int) -> Iterator[Members]:
        path = os.fsdecode(self._names.path(row))
        with _opened(path) as group:
            yield _members(group, Hdf5File(path), "")

    @classmethod
    def of_files(cls, files: RowFiles, options: OpenOptions) -> Source:
        """Open files."""
        source = cls(files, options)
        if options.file_is_row is None:
            source.choices = (
                *source.choices,
                Choice("each HDF5 file is one row, its datasets the fields", "file_is_row=False"),
            )
        return source

    @classmethod
    def example(cls, folder: Path, rows: int) -> Source:
        """Write small files in two class folders."""
        import h5py

        random = np.random.default_rng(0)

        def write(path: Path, i: int) -> None:
            """Write a file."""
            with h5py.File(path, "w") as file:
                file.create_dataset("x", data=random.integers(0, 256, (5, 4, 3), np.uint8), compression="gzip")
                file["z"] = random.random(2)

        found = example_files(folder, rows, ".h5", write)
        return cls.of_files(RowFiles(found.names, found.labels, found.classes, found.left_out), OpenOptions())


class Hdf5Groups(MemberRows):
    """Groups of one HDF5 file, of one row each: ``sample_0/{image, label}``, ``sample_1/{image, label}``.

    Parameters
    ----------
    file
        The file.
    prefix
        Path of the group of the rows, with a trailing slash, or empty.
    names
        Names of the groups.
    options
        Which datasets are fields.
    """

    def __init__(self, file: Hdf5File, prefix: str, names: Sequence[str], options: OpenOptions) -> None:
        self._file, self._prefix, self._first = file, prefix, 0
        self._groups = np.array([name.encode() for name in names])
        first = f"{prefix}{names[0]}"
        opened = open_hdf5(file.path)
        try:
            layout = layout_of(
                dict(columns_of(opened[first], file, f"{first}/")), options, f"{file.path}{MEMBER}{first}", CACHE
            )
        finally:
            opened.close()
        self.choices = (
            Choice(
                f"each of the {len(names)} groups {names[0]}, {names[1]}, ... is one row, its datasets the fields",
                f"fields={[f'{names[0]}/{there}' for there in [*layout.fields.values()][:2]]}",
            ),
        )
        try:
            self._take(layout, options)
        except BaseException:
            file.close()
            raise

    def __len__(self) -> int:
        return len(self._groups)

    @contextmanager
    def _row(self, row: int) -> Iterator[Members]:
        path = f"{self._prefix}{self._groups[row].decode()}"
        self._file.check_unchanged()
        try:
            yield _members(self._file.root()[path], self._file, f"{path}/")
        except BitesizeError:
            raise
        except RAISED as error:
            raise damaged(f"{self._file.path}{MEMBER}{path}", error) from error

    def describe(self, row: int) -> str:
        """Return the file and the group."""
        return f"{self._file.path}{MEMBER}{self._prefix}{self._groups[row].decode('utf-8', 'backslashreplace')}"

    @property
    def nbytes(self) -> int:
        """Bytes of names and labels."""
        return super().nbytes + self._groups.nbytes

    def _identity(self) -> bytes:
        return self._groups.tobytes()

    def check_unchanged(self) -> None:
        """Check the file."""
        self._file.check_unchanged()

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def groups_of_rows(group: Any, options: OpenOptions) -> list[str] | None:
    """Return the names of the groups in a group that are one row each; see `rows_among`."""
    import h5py

    def shapes_of(name: str) -> Shapes | None:
        """Return shape and dtype of the datasets of a group."""
        found = group.get(name) if isinstance(group.get(name, getlink=True), h5py.HardLink) else None
        return _shapes(found) if isinstance(found, h5py.Group) else None

    return rows_among(list(group), shapes_of, options, group.file.filename)


def _shapes(group: Any) -> dict[str, tuple[Any, Any]]:
    """Return shape and dtype of the datasets in a group and its subgroups."""
    import h5py

    shapes: dict[str, tuple[Any, Any]] = {}

    def look(name: str, member: Any) -> None:
        """Record a dataset."""
        if isinstance(member, h5py.Dataset):
            shapes[name] = (member.shape, member.dtype)

    group.visititems(look)
    return shapes


@contextmanager
def _opened(path: str) -> Iterator[Any]:
    """Open a file for one row."""
    file = open_hdf5(path)
    try:
        yield file
    except BitesizeError:
        raise
    except RAISED as error:
        raise damaged(path, error) from error
    finally:
        file.close()
