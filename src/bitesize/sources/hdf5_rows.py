"""HDF5 where a row is a whole file, or a group of a file: its datasets are the fields."""

from __future__ import annotations

import os
import threading
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitesize.errors import BadFile, BadSetting, BitesizeError
from bitesize.lazy.parts import MEMBER
from bitesize.sources.base import Asked, Files, Source
from bitesize.sources.choices import Choice
from bitesize.sources.column import Refused
from bitesize.sources.columns import label_of
from bitesize.sources.file_rows import FileSource, example_files, first_good
from bitesize.sources.hdf5_file import RAISED, Hdf5File, OpenDataset, column_of, damaged, open_hdf5
from bitesize.sources.hdf5_layout import Layout, layout_of
from bitesize.sources.labels import as_class_numbers, class_numbers, label_field
from bitesize.sources.rows import Into, raise_bad
from bitesize.spec import Field

_LOADING = threading.Lock()


class Hdf5Rows(Source):
    """Rows that are groups of HDF5, of one layout."""

    reads_files = True
    _layout: Layout
    _first: int

    def _take(self, layout: Layout, asked: Asked) -> None:
        self._layout = layout
        self.spec = dict(layout.spec)
        self.left_out = {**self.left_out, **layout.left_out}
        self.choices = (*self.choices, *layout.unbounded)
        self._label = label_of(layout.fields, asked)
        self._own: NDArray[Any] | None = None
        if self._label is None:
            return
        label = layout.spec[self._label]
        others = [what for name, what in layout.spec.items() if name != self._label]
        if others:
            widest = max(others, key=lambda what: what.nbytes)
            self.spec = {**layout.spec, self._label: label_field(np.empty((0, *label.shape), label.dtype), widest)}
        if self._label in layout.texts:
            self._own, self.classes = class_numbers([str(value) for value in self._values(self._label)], len(self))

    @abstractmethod
    def _row(self, row: int) -> Any:
        """Open the group of a row: a context that gives the group, its file, and its path in the file with a slash behind."""

    def read(self, rows: NDArray[np.int64], into: Into) -> None:
        """Open each row, and read its datasets."""
        if self._labels is not None and "y" in into:
            into["y"][...] = self._labels[rows]
        failed: dict[int, Exception] = {}
        for i, row in enumerate(rows.tolist()):
            try:
                self._read_one(row, i, into)
            except BitesizeError as error:
                failed[i] = error
        raise_bad(failed)

    def _read_one(self, row: int, i: int, into: Into) -> None:
        with self._row(row) as (group, file, prefix):
            for name, there in self._layout.fields.items():
                if name not in into:
                    continue
                if name in self._layout.texts and self._own is not None:
                    into[name][i] = self._own[row]
                    continue
                stored = self._dataset(group, there, name, row)
                if not stored.shape:
                    into[name][i] = stored[()]
                    continue
                column = column_of(stored, OpenDataset(file, stored), prefix + there)
                if column is None or isinstance(column, Refused):
                    raise BadFile(f"{self.describe(row)}: {there!r} is {column.why if column else 'empty'}")
                column.read(0, stored.shape[0], into[name][i])

    def _dataset(self, group: Any, there: str, name: str, row: int) -> Any:
        """Open a dataset of a row, which must be like that of the first."""
        import h5py

        stored = group.get(there)
        if not isinstance(stored, h5py.Dataset) or stored.file.filename != group.file.filename:
            raise BadFile(f"{self.describe(row)} has no dataset {there!r}, and {self.describe(self._first)} has")
        text = name in self._layout.texts
        found = None if stored.shape is None or text else Field(tuple(stored.shape), stored.dtype.newbyteorder("="))
        known = self._layout.spec[name]
        if (text and stored.shape != ()) or (not text and found != known):
            seen = "text" if text else known
            raise BadFile(
                f"{self.describe(row)}: {there!r} is {stored.shape} {stored.dtype}, but of {self.describe(self._first)} {seen}: rows must have one "
                "shape and dtype"
            )
        return stored

    def _values(self, name: str) -> list[Any]:
        """Read a field of one value a row, of all rows."""
        values = []
        for row in range(len(self)):
            with self._row(row) as (group, _, _):
                value = self._dataset(group, self._layout.fields[name], name, row)[()]
                values.append(value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else value)
        return values

    @property
    def labels(self) -> NDArray[np.int64] | None:
        """Class number of every row, read when they are first asked for."""
        if self._labels is not None:
            return super().labels
        label = self.spec.get(self._label or "")
        if not isinstance(label, Field) or label.shape or label.dtype.kind not in "iub":
            return None
        with _LOADING:
            if self._own is None:
                self._own = as_class_numbers(np.array(self._values(str(self._label)), label.dtype))
            return self._own

    @property
    def label_name(self) -> str | None:
        """Name of the field with the labels."""
        return "y" if self._labels is not None else self._label

    def scratch(self, rows: int) -> int:
        """Bytes that reading one row takes: what HDF5 keeps, and chunks on their way."""
        return self._layout.scratch

    @property
    def nbytes(self) -> int:
        """Bytes of labels."""
        label = self.spec.get(self._label or "")
        own = len(self) * label.nbytes if isinstance(label, Field) and not label.shape else 0
        return super().nbytes + own


class Hdf5Files(Hdf5Rows, FileSource):
    """HDF5 files of one row each; each of their datasets is a field, of the same shape and dtype in every file.

    Parameters
    ----------
    files
        The files, and their labels. The first that can be read decides what a row is.
    asked
        Which datasets are fields.

    Raises
    ------
    BadSetting
        If the files have labels of their own, and folders that are labels.
    """

    title = "HDF5 files of one row each"
    package, extra = "h5py", "hdf5"
    has_names = True

    def __init__(self, files: Files, asked: Asked) -> None:
        def look(path: bytes) -> Layout:
            """Find the fields of a file."""
            text = os.fsdecode(path)
            with _opened(text) as group:
                return layout_of(group, Hdf5File(text), "", asked, text)

        self._first, layout = first_good(files.names, look)
        x = next(iter(layout.spec.values()))
        FileSource.__init__(self, files.names, files.labels, files.classes, files.left_out, x)
        label = label_of(layout.fields, asked)
        if files.labels is not None and (label is not None or "y" in layout.spec):
            raise BadSetting(
                f"{files.names.show(self._first)} has a dataset {label or 'y'!r}, and each file has a label beside: where each file holds many rows, "
                "pass file_is_row=False; else take other datasets with fields="
            )
        y = self.spec.get("y") if files.labels is not None else None
        self._take(layout, asked)
        if y is not None:
            self.spec = {**layout.spec, "y": y}

    @contextmanager
    def _row(self, row: int) -> Iterator[tuple[Any, Hdf5File, str]]:
        path = os.fsdecode(self._names.path(row))
        with _opened(path) as group:
            yield group, Hdf5File(path), ""

    @classmethod
    def of_files(cls, files: Files, asked: Asked) -> Source:
        """Open files."""
        source = cls(files, asked)
        if asked.file_is_row is None:
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
        return cls.of_files(Files(found.names, found.labels, found.classes, found.left_out), Asked())


class Hdf5Groups(Hdf5Rows):
    """Groups of one HDF5 file that are a row each: ``sample_0/{image, label}``, ``sample_1/{image, label}``.

    Parameters
    ----------
    file
        The file.
    prefix
        Path of the group that the rows are in, with a slash behind, or empty.
    names
        Their names.
    layout
        What each is made of.
    asked
        Which datasets are fields.
    """

    def __init__(self, file: Hdf5File, prefix: str, names: Sequence[str], layout: Layout, asked: Asked) -> None:
        self._file, self._prefix, self._first = file, prefix, 0
        self._groups = np.array([name.encode() for name in names])
        self.choices = (
            Choice(
                f"each of the {len(names)} groups {names[0]}, {names[1]}, ... is one row, its datasets the fields",
                f"fields={[f'{names[0]}/{there}' for there in [*layout.fields.values()][:2]]}",
            ),
        )
        try:
            self._take(layout, asked)
        except BaseException:
            file.close()
            raise

    def __len__(self) -> int:
        return len(self._groups)

    @contextmanager
    def _row(self, row: int) -> Iterator[tuple[Any, Hdf5File, str]]:
        path = f"{self._prefix}{self._groups[row].decode()}"
        self._file.check_unchanged()
        try:
            yield self._file.root()[path], self._file, f"{path}/"
        except BitesizeError:
            raise
        except RAISED as error:
            raise damaged(f"{self._file.path}{MEMBER}{path}", error) from error

    def describe(self, row: int) -> str:
        """Name the file and the group."""
        return f"{self._file.path}{MEMBER}{self._prefix}{self._groups[row].decode('utf-8', 'backslashreplace')}"

    @property
    def nbytes(self) -> int:
        """Bytes of names and labels."""
        return super().nbytes + self._groups.nbytes

    def _identity(self) -> bytes:
        return self._groups.tobytes()

    def check_unchanged(self) -> None:
        """Look at the file."""
        self._file.check_unchanged()

    def close(self) -> None:
        """Close the file."""
        self._file.close()


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
