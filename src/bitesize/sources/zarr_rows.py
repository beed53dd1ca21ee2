"""Zarr folders, or groups of one folder, of one row each: their arrays are the fields."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitesize.errors import BadFile, BitesizeError
from bitesize.files.held import object_size
from bitesize.files.names import names_of
from bitesize.files.scan import Listing, class_key, natural_key
from bitesize.sources.base import OpenOptions, RowFiles, Source
from bitesize.sources.choices import Choice
from bitesize.sources.column import Column, UnsupportedColumn
from bitesize.sources.file_rows import FileSource, first_readable_file
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
from bitesize.sources.zarr_arrays import ZarrArray, ZarrStore, column_of, columns_of, damaged, is_folder, open_zarr
from bitesize.storage import paths
from bitesize.storage.blocks import HELD_NBYTES, holding_whole
from bitesize.storage.url import is_url


class ZarrFolders(MemberRows, FileSource):
    """Zarr folders of one row each; each of their arrays is a field, of the same shape and dtype in every folder.

    Parameters
    ----------
    files
        The folders, and their labels. The first that can be read decides what a row is.
    options
        Which arrays are fields.

    Raises
    ------
    BadSetting
        If the folders have labels of their own, and such that are given.
    """

    title = "Zarr folders of one row each"
    package = "zarr"
    has_names = True

    def __init__(self, files: RowFiles, options: OpenOptions) -> None:
        def look(path: bytes) -> Layout:
            """Return the fields of a folder."""
            folder = os.fsdecode(path)
            with _errors_of(folder):
                return layout_of(dict(columns_of(open_zarr(folder), ZarrStore(folder))), options, folder)

        self._first, layout = first_readable_file(files.names, look)
        x = next(iter(layout.spec.values()))
        FileSource.__init__(self, files.names, files.labels, files.classes, files.left_out, x)
        refuse_two_labels(layout, options, files.labels is not None, files.names.show(self._first))
        y = self.spec.get("y") if files.labels is not None else None
        self._take(layout, options)
        if y is not None:
            self.spec = {**layout.spec, "y": y}

    def _held(self, rows: Sequence[int]) -> Iterator[range]:
        """Read the objects of each folder at the same time."""
        folders = [os.fsdecode(self._names.path(row)) for row in rows]
        if not folders or not is_url(folders[0]):
            yield range(len(folders))
            return
        for i, folder in enumerate(folders):
            with holding_whole(_small_files(folder)):
                yield range(i, i + 1)

    def scratch(self, rows: int) -> int:
        """Return the bytes for reading one row, and of objects that are read together."""
        return super().scratch(rows) + (HELD_NBYTES if is_url(self._names.path(0)) else 0)

    @contextmanager
    def _row(self, row: int) -> Iterator[Members]:
        folder = os.fsdecode(self._names.path(row))
        with _errors_of(folder):
            yield _members(folder)

    @classmethod
    def of_files(cls, files: RowFiles, options: OpenOptions) -> Source:
        """Open folders."""
        source = cls(files, options)
        if options.file_is_row is None:
            source.choices = (
                *source.choices,
                Choice("each Zarr folder is one row, its arrays the fields", "file_is_row=False"),
            )
        return source

    @classmethod
    def example(cls, folder: Path, rows: int) -> Source:
        """Write small folders with an image and a class each."""
        import zarr

        random = np.random.default_rng(0)
        for i in range(rows):
            group = zarr.open_group(folder / f"{i}.zarr", mode="w")
            group.create_array("x", data=random.integers(0, 256, (5, 4, 3), np.uint8))
            group.create_array("y", data=np.array(i % 2))
        return cls.of_files(RowFiles(names_of([folder / f"{i}.zarr" for i in range(rows)]), None, None, {}), OpenOptions())


class ZarrGroups(ZarrFolders):
    """Groups of one Zarr folder that are a row each.

    Parameters
    ----------
    path
        The folder that the groups are in.
    names
        Their names.
    options
        Which arrays are fields.
    """

    title = ""

    def __init__(self, path: str, names: Sequence[str], options: OpenOptions) -> None:
        super().__init__(RowFiles(names_of([paths.join(path, name) for name in names]), None, None, {}), options)
        said = f"each of the {len(names)} groups {names[0]}, {names[1]}, ... is one row, its arrays the fields"
        setting = f"fields={[f'{names[0]}/{there}' for there in [*self._layout.fields.values()][:2]]}"
        self.choices = (Choice(said, setting), *self.choices)


def zarr_listing(folder: str) -> Listing | None:
    """List the Zarr folders in a folder, or in its class folders; None if there are none, or other folders beside them.

    Parameters
    ----------
    folder
        With subfolders.
    """
    inside = _subfolders(folder)
    if inside and all(is_folder(path) for path in inside):
        return Listing(names_of(inside), None, None, {".zarr": len(inside)}, {})
    classes = sorted(inside, key=lambda path: class_key(paths.basename(path)))
    members = [_subfolders(path) for path in classes]
    if not classes or not all(paths and all(map(is_folder, paths)) for paths in members):
        return None
    every = [path for paths in members for path in paths]
    labels = np.repeat(np.arange(len(classes), dtype=np.int64), [len(paths) for paths in members])
    return Listing(names_of(every), labels, tuple(map(paths.basename, classes)), {".zarr": len(every)}, {})


def _small_files(folder: str) -> list[str]:
    """Return the objects below a folder, of at most `HELD_NBYTES` bytes."""
    files, total = list[str](), 0
    for inside, _, names in paths.walk(folder):
        for name in names:
            path = paths.join(inside, name)
            total += object_size(os.fsencode(path))
            if total <= HELD_NBYTES:
                files.append(path)
    return files


def _subfolders(folder: str) -> list[str]:
    found = [entry.path for entry in paths.scanfolders(folder) if not entry.name.startswith((".", "__"))]
    return sorted(found, key=lambda path: natural_key(os.fsencode(path)))


def groups_in(path: str, root: Any, options: OpenOptions) -> list[str] | None:
    """Return the names of the groups in a folder where each is one row; see `rows_among`."""
    import zarr

    if isinstance(root, zarr.Array) or options.split is not None:
        return None
    names = [entry.name for entry in paths.scandir(path) if entry.is_dir() and is_folder(entry.path)]

    def shapes_of(name: str) -> Shapes | None:
        """Return shape and dtype of the arrays of a group."""
        member = open_zarr(paths.join(path, name))
        if isinstance(member, zarr.Array):
            return None
        arrays = [(name, each) for name, each in member.members(max_depth=None) if isinstance(each, zarr.Array)]
        return {name: (tuple(each.shape), np.dtype(each.dtype)) for name, each in arrays}

    return rows_among(names, shapes_of, options, path)


def _members(folder: str) -> Members:
    """Return a function that finds an array of a folder by name."""
    import zarr

    store = ZarrStore(folder)

    def find(member_name: str) -> Member | None:
        """Open an array."""
        path = paths.join(folder, *member_name.split("/"))
        name = member_name
        if not is_folder(path):
            if member_name != "x" or not is_folder(folder):
                return None
            path, name = folder, ""  # the folder is the array
        stored = open_zarr(path)
        if not isinstance(stored, zarr.Array):
            return None

        column = column_of(store, name, stored)
        if isinstance(column, UnsupportedColumn):
            raise BadFile(f"{path} is {column.why}")
        value = column.value if isinstance(column, ZarrArray) else lambda: _whole(column)
        return Member(column.shape, column.dtype, value, lambda out: column.read(0, len(out), out))

    return find


def _whole(column: Column) -> NDArray[Any]:
    out = np.empty(column.shape, column.dtype.newbyteorder("="))
    column.read(0, len(out), out)
    return out


@contextmanager
def _errors_of(folder: str) -> Iterator[None]:
    """Raise errors of Zarr as `BadFile`."""
    try:
        yield
    except BitesizeError:
        raise
    except Exception as error:  # Zarr and its codecs raise whatever they like for damaged folders
        raise damaged(folder, error) from error
