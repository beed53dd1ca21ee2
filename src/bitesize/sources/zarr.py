"""Zarr folders: arrays of equal length as fields, read chunk by chunk."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from bitesize.errors import BadSetting, BitesizeError, NotFound
from bitesize.lazy.parts import MEMBER
from bitesize.sources.base import OpenOptions, RowFiles, Source
from bitesize.sources.columns import ColumnSource
from bitesize.sources.member_rows import chain_files
from bitesize.sources.zarr_arrays import ChunkedArray, ZarrArray, ZarrStore, columns_of, damaged, is_folder, open_zarr
from bitesize.sources.zarr_rows import ZarrFolders, ZarrGroups, groups_in
from bitesize.storage import paths

__all__ = ["ChunkedArray", "Zarr", "ZarrArray"]


class Zarr(ColumnSource):
    """Arrays of equal length of a Zarr group, each is a field under its name; a single array is the field ``x``."""

    title = "Zarr folders, of format 2 and 3"
    package = "zarr"
    has_members = True
    one_row_kind = ZarrFolders

    @classmethod
    def takes(cls, data: Any) -> bool:
        """Return whether this is a folder of Zarr, or an open array or group."""
        if isinstance(data, str):
            return is_folder(data)
        kind = type(data)
        return kind.__module__.partition(".")[0] == "zarr" and kind.__name__ in ("Array", "Group")

    @classmethod
    def opened(cls, data: Any, options: OpenOptions) -> Source:
        """Open a group or an array, by its folder, or by ``"folder.zarr::group/array"``; or several folders, one after another."""
        if isinstance(data, list):
            sources = [cls.opened(path, options) for path in data]
            return sources[0] if len(sources) == 1 else chain_files(sources, options, "Zarr folders")
        if not isinstance(data, str):
            data = _folder_of(data)
        elif not is_folder(data):
            folder, _, name = data.partition(MEMBER)
            data = paths.join(folder, *name.strip("/").split("/"))
            if not is_folder(data):
                raise NotFound(f"{folder} has no {name!r}: it has {', '.join(_names_in(folder)) or 'nothing'}")
        return cls._of_one(paths.abspath(data), options)

    @classmethod
    def _of_one(cls, path: str, options: OpenOptions) -> Source:
        """Open a folder: rows are entries of the first axis, or groups with the same arrays."""
        root, store = open_zarr(path), ZarrStore(path)
        try:
            names = groups_in(path, root, options)
            if names is not None:
                return ZarrGroups(path, names, options)
            columns = dict(columns_of(root, store))
        except BitesizeError:
            raise
        except Exception as error:  # of a member, as of the whole
            raise damaged(path, error) from error
        return cls(columns, options, path)

    @classmethod
    def of_files(cls, files: RowFiles, options: OpenOptions) -> Source:
        """Open folders that are one row each."""
        return ZarrFolders.of_files(files, options)

    @classmethod
    def example(cls, folder: Path, rows: int) -> Source:
        """Write images in compressed chunks, and labels."""
        import zarr

        random = np.random.default_rng(0)
        path = str(folder / "data.zarr")
        group = zarr.open_group(path, mode="w")
        x = random.integers(0, 256, (rows, 5, 4, 3), np.uint8)
        group.create_array("x", data=x, chunks=(min(rows, 4), 5, 4, 3))
        group.create_array("y", data=np.arange(rows) % 2)
        return cls.opened(path, OpenOptions())


def _names_in(folder: str) -> list[str]:
    """Return the names of the first groups and arrays of a folder."""
    return sorted(entry.name for entry in paths.scandir(folder) if is_folder(entry.path))[:20]


def _folder_of(handle: Any) -> str:
    """Return the folder of an open array or group."""
    store, kind = handle.store, type(handle).__name__.lower()
    root = getattr(store, "root", None)
    if type(store).__name__ != "LocalStore" or root is None:
        raise BadSetting(
            f"a Zarr {kind} in a {type(store).__name__}: bitesize reads Zarr from folders. Save it to a folder, with zarr.save(folder, ...), "
            "and pass the path of the folder; or pass array[:] if it fits in memory"
        )
    return os.path.join(os.fspath(root), *str(handle.path).split("/"))
