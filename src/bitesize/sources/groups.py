"""Rows that belong together, such as all images of a patient: by folder, by column, or by a part of the path."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bitesize.array_like import refuse_endless
from bitesize.errors import BadSetting, BitesizeError, first_few
from bitesize.files.names import show
from bitesize.sources.choices import Choice
from bitesize.sources.row_source import RowSource
from bitesize.spec import Field
from bitesize.storage import paths

# Usual names of columns of groups, in lower case and without separators.
_COLUMNS = frozenset(
    [
        "patient",
        "subject",
        "participant",
        "person",
        "individual",
        "animal",
        "donor",
        "speaker",
        "user",
        "group",
        "case",
        "scan",
        "video",
        "session",
        "recording",
        "slide",
        "series",
        "study",
    ]
)
# Rows that are checked for a suggestion, in some stretches of neighbors; a column is read up to this many rows.
_LOOKED_AT, _STRETCHES, _READ = 2_000, 20, 200_000
_PREFIX = r"([^/]+)[_-][^/_-]*$"
_SHOWN = 3
_MOST = 0.9
_NOTHING = ("None", "nan", "NaN", "<NA>", "NaT")  # as text
_log = logging.getLogger("bitesize")
_NAMED = 5


def groups_of(source: RowSource, by: str | ArrayLike) -> NDArray[Any]:
    """Return the group of each row.

    Parameters
    ----------
    source
        Source of the rows.
    by
        As for `Source.split`: one group a row, ``"folder"``, the name of a column, or a regular expression with one group in parentheses.

    Returns
    -------
    ndarray, shape (n,)
        Numbers or text: rows with equal values belong to one group.

    Raises
    ------
    BadSetting
        If a row has no group, or ``by`` is none of these.

    Examples
    --------
    >>> import numpy as np, bitesize as bs
    >>> groups_of(bs.open(np.zeros((4, 2))), ["ann", "bob", "ann", "eve"]).tolist()
    ['ann', 'bob', 'ann', 'eve']
    """
    if isinstance(by, str):
        if by == "folder" and ("folder" not in source.column_names or source.path(0) is not None):
            return _by_folder(source)
        return _by_column(source, by) if by in source.column_names else _by_pattern(source, by)
    refuse_endless(by, "by")
    try:
        groups = np.asarray(by)
        kind = groups.dtype.kind
        if groups.dtype == object:
            groups = groups.astype(str)
    except ValueError as error:
        raise BadSetting(f"by needs one group per row: {error}") from error
    if groups.shape != (len(source),):
        raise BadSetting(
            f'by needs one group per row, shape ({len(source)},), not {groups.shape}; or a string: "folder", the name of a column, or a '
            "regular expression"
        )
    without = int(np.isnan(groups).sum() if kind == "f" else np.isin(groups, _NOTHING).sum() if kind == "O" else 0)
    if without:
        _log.warning("%d rows have no group (None or NaN):they are kept together as one group", without)
    return groups


def choice_of(by: str, groups: NDArray[Any]) -> Choice:
    """Return the choice that describes groups selected by a string."""
    grouping = {"folder": "folders"}.get(by, f"{by!r}")
    names = np.unique(groups).tolist()
    return Choice(f"rows are kept together by {grouping}: {len(names)} groups ({first_few(names, _SHOWN)})", "by=")


def suggested_groups(source: RowSource) -> Choice | None:
    """Return likely groups of rows, or None: a column with a usual name, folders below class folders, names with a prefix.

    At most 2,000 rows are checked.
    """
    return _columns_suggest(source) or _paths_suggest(source)


def _by_column(source: RowSource, name: str) -> NDArray[Any]:
    values = source.column(name)
    missing = np.flatnonzero(_missing(values))
    if missing.size:
        raise BadSetting(
            f"{missing.size} rows have no value in the column {name!r}, so their group is unknown: {_rows(source, missing.tolist())}. Fill them "
            "in, or drop these rows with source.subset"
        )
    return values


def _missing(values: NDArray[Any]) -> NDArray[np.bool_]:
    if values.dtype.kind in "fc":
        return np.asarray(np.isnan(values))
    return np.char.strip(values) == "" if values.dtype.kind == "U" else np.zeros(len(values), np.bool_)


def _by_folder(source: RowSource) -> NDArray[Any]:
    """Return for each row the folder of its file, below the class folder if there is one."""
    folders = [path.rpartition("/")[0] for path in _paths(source, range(len(source)), "folder")]
    depth = _depth_of_classes(source, folders, source.labels)
    known = {folder: _below(folder, depth) for folder in set(folders)}
    groups = [known[folder] for folder in folders]
    without = [row for row, group in enumerate(groups) if not group]
    if without:
        where = "below the folder of its class" if depth is not None else f"below {show(source.paths_root)}"
        raise BadSetting(
            f'by="folder" needs each file in a folder {where}, but {len(without)} of {len(groups)} files are not '
            f'({_rows(source, without[:1])}): omit it, or group files by a part of their names, by="([^/_]+)_"'
        )
    return np.array(groups)


def _depth_of_classes(source: RowSource, folders: Sequence[str], labels: NDArray[np.int64] | None) -> int | None:
    """Return the number of folders above the class folders, or None if there are no class folders.

    Class folders have the names of the classes; or they are the first folders, one per class.
    """
    names = _class_names(source)
    parts = [folder.split("/") for folder in set(folders)]
    for depth in range(min(map(len, parts))):
        if all(part[depth] in names for part in parts):
            return depth
    first = [folder.partition("/")[0] for folder in folders]
    return 0 if labels is not None and _are_classes(first, labels) else None


def _below(folder: str, depth: int | None) -> str:
    """Return the part of the path of a folder below the class folder."""
    return folder if depth is None else "/".join(folder.split("/")[depth + 1 :])


def _class_names(source: RowSource) -> set[str]:
    """Return the names of all classes, including original names of renamed classes."""
    return set(source.classes or ()).union(*map(_class_names, source.derived_from))


def _are_classes(values: Sequence[Any], labels: NDArray[np.int64]) -> bool:
    """Return whether values and classes correspond one to one."""
    pairs = {*zip(values, labels.tolist(), strict=True)}
    return len(pairs) == len({value for value, _ in pairs}) == len({label for _, label in pairs})


def _by_pattern(source: RowSource, by: str) -> NDArray[Any]:
    columns = f"the columns {', '.join(source.column_names[:20])}"
    try:
        pattern = re.compile(by)
    except re.error as error:
        raise BadSetting(f"by={by!r} is neither one of {columns} nor a regular expression: {error}") from error
    if pattern.groups != 1:
        raise BadSetting(
            f'by={by!r} is neither "folder" nor one of {columns}; a regular expression needs one group in parentheses, such as '
            rf'r"(patient\d+)", but this one has {pattern.groups}'
        )
    names = _paths(source, range(len(source)), by)
    groups = [match[1] if (match := pattern.search(name)) else None for name in names]
    without = [row for row, group in enumerate(groups) if not group]
    if without:
        shown = first_few(without, _NAMED, lambda row: names[row])
        raise BadSetting(f"by={by!r} is not found in {len(without)} of {len(names)} paths: {shown}")
    return np.array(groups)


def _paths(source: RowSource, rows: Sequence[int], by: str) -> list[str]:
    """Return the paths of rows, relative to their root, with ``/`` between folders on every system."""
    start = len(paths.join(source.paths_root, b"")) if source.paths_root else 0
    files = [source.path(row) for row in rows]
    if any(path is None for path in files):
        raise BadSetting(
            f"by={by!r} needs rows that are separate files, which {source!r} does not have: name one of the columns "
            f"{', '.join(source.column_names[:20])}, or pass one group per row"
        )
    return [show(path[start:].replace(os.fsencode(os.sep), b"/")) for path in files if path is not None]


def _rows(source: RowSource, rows: Sequence[int]) -> str:
    """Return the names of the first of some rows."""
    return first_few(rows, _NAMED, source.describe)


def _columns_suggest(source: RowSource) -> Choice | None:
    for name in source.column_names:
        words = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()
        if re.sub(r"[\W_]*(id|no|nr|number|name|code|key)?$", "", words) not in _COLUMNS or name == source.label_name:
            continue
        if _may_be_groups(source, name):
            return Choice(f"rows have a column {name!r}: rows of one {name} may be split across parts", f'by="{name}"')
    return None


def _may_be_groups(source: RowSource, name: str) -> bool:
    """Return whether a column has one value per row, with several repeated values that are not the classes."""
    field = source.spec.get(name)
    if field is not None and (not isinstance(field, Field) or field.shape):
        return False
    if len(source) > _READ:
        return True
    try:
        values = source.column(name)
    except BitesizeError as error:  # lists, or unreadable rows, which the loader reports
        _log.debug("the column %r is not checked: %s", name, error)
        return False
    labels = source.labels
    return 1 < len(np.unique(values)) < len(values) and not (labels is not None and _are_classes(values.tolist(), labels))


def _paths_suggest(source: RowSource) -> Choice | None:
    """Check the paths of some rows: at their folders, then at how the names of the files begin."""
    rows = _sample(len(source))
    if source.path(0) is None or source.path(rows[-1]) is None:
        return None
    paths = _paths(source, rows, "")
    labels = source.labels
    own = None if labels is None else labels[rows]
    folders, names = zip(*(path.rpartition("/")[::2] for path in paths), strict=True)
    depth = _depth_of_classes(source, folders, own)
    below = [_below(folder, depth) for folder in folders]
    if _look_like_groups(below, own):
        where = "" if depth is None else " below the class folders"
        shown = first_few([*dict.fromkeys(below)], _SHOWN)
        return Choice(f"files are in folders{where} ({shown}): files of one folder may be split across parts", 'by="folder"')
    prefixes = [match[1] if (match := re.match(_PREFIX, name)) else "" for name in names]
    numbered = all(any(map(str.isdigit, prefix)) for prefix in {*prefixes} - {""})  # words are more often classes
    if numbered and _look_like_groups(prefixes, own):
        shown = first_few([*dict.fromkeys(prefixes)], _SHOWN)
        return Choice(f"file names share prefixes ({shown}): such files may be split across parts", f'by=r"{_PREFIX}"')
    return None


def _look_like_groups(values: Sequence[str], labels: NDArray[np.int64] | None) -> bool:
    """Return whether most rows have a value, and there are several repeated values that are not the classes."""
    count = len({*values} - {""})
    most = sum(map(bool, values)) > _MOST * len(values)
    return most and 2 <= count < len(values) / 2 and not (labels is not None and _are_classes(values, labels))


def _sample(rows: int) -> list[int]:
    """Return rows to check: all rows, or ranges of neighbors, since files of a group are often adjacent."""
    if rows <= _LOOKED_AT:
        return list(range(rows))
    long = _LOOKED_AT // _STRETCHES
    starts = np.linspace(0, rows - long, _STRETCHES).astype(np.int64)
    return [row for start in starts.tolist() for row in range(start, start + long)]
