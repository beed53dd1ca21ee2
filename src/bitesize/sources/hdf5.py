"""HDF5 files: datasets of equal length as fields, read chunk by chunk."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from bitesize.errors import BadSetting, BitesizeError, NotFound
from bitesize.lazy.parts import MEMBER
from bitesize.sources.base import OpenOptions, RowFiles, Source
from bitesize.sources.column import Column
from bitesize.sources.columns import ColumnSource
from bitesize.sources.hdf5_file import ChunkedDataset, Dataset, column_of, columns_of
from bitesize.sources.hdf5_opening import RAISED, Hdf5File, damaged, open_hdf5
from bitesize.sources.hdf5_rows import Hdf5Files, Hdf5Groups, groups_of_rows
from bitesize.sources.member_rows import chain_files
from bitesize.storage import paths

__all__ = ["ChunkedDataset", "Dataset", "Hdf5"]

# Drivers of HDF5 that use a single file on disk.
_DEEP = 20
_ON_DISK = ("sec2", "stdio", "windows", "direct")


class Hdf5(ColumnSource):
    """Datasets of equal length of an HDF5 file, or of a group in it; each is a field under its name; a single dataset is the field ``x``."""

    title = "HDF5 files"
    suffixes = (".h5", ".hdf5", ".hdf", ".he5")
    package = "h5py"
    has_members = True
    one_row_kind = Hdf5Files

    def __init__(self, file: Hdf5File, options: OpenOptions, name: str = "") -> None:
        self._file = file
        where = f"{file.path}{MEMBER}{name}" if name else file.path
        opened = open_hdf5(file.path)
        try:
            columns = _columns(opened, file, name, where)
        except BitesizeError:
            raise
        except RAISED as error:
            raise damaged(file.path, error) from error
        finally:
            opened.close()
        try:
            super().__init__(columns, options, where)
        except BaseException:
            file.close()  # HDF5 would reuse an open file even if it has been replaced
            raise

    @classmethod
    def takes(cls, data: Any) -> bool:
        """Return whether this is an open file, group or dataset of h5py."""
        kind = type(data)
        return kind.__module__.partition(".")[0] == "h5py" and kind.__name__ in ("File", "Group", "Dataset")

    @classmethod
    def opened(cls, data: Any, options: OpenOptions) -> Source:
        """Open files with the same datasets, concatenated, or ``"file.h5::group/dataset"``, or an open h5py object by its path."""
        if cls.takes(data):
            path, name = _path_and_name(data)
            return cls._of_one(path, name, options)
        members = [os.fspath(each).partition(MEMBER) for each in data]
        sources = [cls._of_one(paths.abspath(path), name.strip("/"), options) for path, _, name in members]
        if len(sources) == 1:
            return sources[0]
        return chain_files(sources, options, "HDF5 files")

    @classmethod
    def _of_one(cls, path: str, name: str, options: OpenOptions) -> Source:
        """Open a file, or a group in it: rows are entries of the first axis, or groups with the same datasets."""
        file = Hdf5File(path)
        opened = open_hdf5(path)
        try:
            if options.split is None:
                inner = _only_group(opened, name)
                group = opened.get(inner) if inner else opened
                names = groups_of_rows(group, options) if hasattr(group, "visititems") else None
                if names is not None:
                    prefix = f"{inner}/" if inner else ""
                    return Hdf5Groups(file, prefix, names, options)
        except RAISED as error:
            if isinstance(error, BitesizeError):
                raise
            raise damaged(path, error) from error
        finally:
            opened.close()
        return cls(file, options, name)

    @classmethod
    def of_files(cls, files: RowFiles, options: OpenOptions) -> Source:
        """Open files that are one row each."""
        return Hdf5Files.of_files(files, options)

    def check_unchanged(self) -> None:
        """Check the file."""
        self._file.check_unchanged()

    def close(self) -> None:
        """Close the file."""
        super().close()
        self._file.close()

    @classmethod
    def example(cls, folder: Path, rows: int) -> Source:
        """Write images in compressed chunks, and labels."""
        import h5py

        random = np.random.default_rng(0)
        path = str(folder / "data.h5")
        with h5py.File(path, "w") as file:
            x = random.integers(0, 256, (rows, 5, 4, 3), np.uint8)
            file.create_dataset("x", data=x, chunks=(min(rows, 4), 5, 4, 3), compression="gzip", shuffle=True)
            file["y"] = np.arange(rows) % 2
        return cls.opened([path], OpenOptions())


def _columns(opened: Any, file: Hdf5File, name: str, where: str) -> dict[str, Column]:
    """Return the datasets of a file or of a group in it; a single dataset is named ``x``."""
    import h5py

    if not name:
        return dict(columns_of(opened, file))
    link = opened.get(name, getlink=True) if name in opened else None
    if link is None:
        raise NotFound(f"{file.path} has no {name!r}: it has {', '.join(list(opened)[:20]) or 'nothing'}")
    if isinstance(link, h5py.ExternalLink):
        raise BadSetting(f"{where} is a link into another file, {link.filename!r}: open that file")
    member = opened[name]
    if member.file.filename != opened.filename:  # through a link on the way
        raise BadSetting(f"{where} is stored in another file, {member.file.filename!r}: open that file")
    if isinstance(member, h5py.Group):
        return dict(columns_of(member, file, f"{name}/"))
    column = column_of(member, file, name)
    return {} if column is None else {"x": column}


def _only_group(opened: Any, name: str) -> str:
    """Return the name of the only group in a group, recursively; the group itself if it contains more."""
    import h5py

    while True:
        group = opened.get(name) if name else opened
        names = list(group) if isinstance(group, h5py.Group) else []
        if len(names) != 1 or not isinstance(group.get(names[0], getlink=True), h5py.HardLink):
            return name
        if not isinstance(group.get(names[0]), h5py.Group) or name.count("/") > _DEEP:
            return name
        name = f"{name}/{names[0]}" if name else names[0]


def _path_and_name(handle: Any) -> tuple[str, str]:
    """Return the path of an open file, and the name of a group or dataset in it."""
    kind = f"an h5py {type(handle).__name__}"
    if not handle:
        raise BadSetting(f"{kind} whose file is closed: pass the path of the file")
    file, name = handle.file, handle.name
    if file.driver not in _ON_DISK or not os.path.isfile(file.filename):
        raise BadSetting(
            f"{kind} of a file that is not on disk (driver {file.driver!r}): write it to a file and pass its path, or pass dataset[:] if it "
            "fits in memory"
        )
    if file.mode != "r":
        raise BadSetting(f"{file.filename} is open for writing: close it, and pass its path")
    if name is None:
        raise BadSetting(f'{kind} without a name: pass the path of the file, "{file.filename}{MEMBER}name"')
    return os.path.abspath(file.filename), name.strip("/")
