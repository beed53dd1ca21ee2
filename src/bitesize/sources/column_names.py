"""Usual names of table columns for labels, weights, paths and row numbers."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

from bitesize.errors import BadSetting

# In search order, each as returned by `plain`.
LABELS = (
    "label", "y", "labels", "class", "target", "targets", "category", "species", "classname", "labelname", "classlabel",
)  # fmt: skip
WEIGHTS = ("weight", "weights", "sampleweight", "sampleweights")
# Columns with these names always contain paths.
PATHS = (
    "path", "file", "filename", "filepath", "image", "imagepath", "paths", "files", "filenames", "filepaths", "images",
    "imagepaths", "imagefile", "imagefilename", "imagename", "imgpath", "imgfile", "imgname", "img", "photopath",
)  # fmt: skip
# Columns with these names contain paths only if their values are existing files.
PERHAPS_PATHS = (
    "imageid", "imgid", "photo", "photos", "picture", "pictures", "scan", "slide", "fname", "name", "id", "photoid", "fileid",
    "uuid",
)  # fmt: skip
_ROW_NUMBERS = ("unnamed: 0", "__index_level_0__", "")
_IDENTIFIERS = ("id", "index", "idx", "rowid", "row", "rownumber", "uuid", "guid", "uid", "no", "nr")


def plain(name: str) -> str:
    """Return a name without case, spaces, ``_``, ``-`` and byte order mark, for comparing columns."""
    return re.sub(r"[\s_\-\ufeff]+", "", name).casefold()


def match(name: str, columns: Iterable[str]) -> str | None:
    """Return the column of this name, else the only column that differs in case and spaces."""
    columns = list(columns)
    if name in columns:
        return name
    alike = [column for column in columns if plain(column) == plain(name)]
    return alike[0] if len(alike) == 1 else None


def require(name: str, columns: Iterable[str], where: str, setting: str) -> str:
    """Return the column that a setting names.

    Raises
    ------
    BadSetting
        If the column does not exist.
    """
    columns = list(columns)
    column = match(name, columns)
    if column is None:
        raise BadSetting(f"{setting}={name!r}: {where} has no such column; it has the columns {', '.join(columns)}")
    return column


def first_named(columns: Iterable[str], names: Sequence[str]) -> str | None:
    """Return the column whose name comes first in a list such as `LABELS`, or None."""
    by_name: dict[str, str] = {}
    for column in columns:
        by_name.setdefault(plain(column), column)
    return next((by_name[name] for name in names if name in by_name), None)


def are_columns(labels: Any, columns: Iterable[str]) -> bool:
    """Return whether labels are a list of column names, rather than one label per row."""
    if not may_be_columns(labels):
        return False
    columns = list(columns)
    return all(match(label, columns) is not None for label in labels)


def may_be_columns(labels: Any) -> bool:
    """Return whether labels are a list of different texts, which may be names of columns."""
    return (
        isinstance(labels, list | tuple)
        and bool(labels)
        and all(isinstance(label, str) and label for label in labels)
        and len(set(labels)) == len(labels)
    )


def is_row_number(name: str) -> bool:
    """Return whether a column contains the row numbers that pandas writes."""
    return name.strip("\ufeff ").casefold() in _ROW_NUMBERS


def may_be_identifier(name: str) -> bool:
    """Return whether a column is an identifier of rows by its name, such as ``id``, ``image_id`` or ``PassengerId``."""
    return plain(name) in _IDENTIFIERS or re.search(r"(_id|[a-z]I[dD]|\bid)$", name.strip()) is not None
