"""Labels of files: by position, by name, by a pattern in the path, or none."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Mapping
from typing import Any, NamedTuple

from numpy.typing import NDArray

from bitesize.errors import BadSetting, NotFound
from bitesize.files.names import Names, show, stem_of
from bitesize.sources.choices import Choice
from bitesize.sources.labels import class_numbers
from bitesize.storage import paths

_NAMED = 10
_PREFIX = re.compile(r"[^\W\d_]+")
# More different beginnings of names than this are not classes.
_MOST_PREFIXES = 50


class FileLabels(NamedTuple):
    """Labels of files, one each.

    Attributes
    ----------
    values : ndarray or None
        Class numbers or targets, shape (n, ...).
    classes : tuple of str or None
        Names of the classes.
    choices : tuple of Choice
        Origin of the labels.
    left_out : dict of str to int
        Number of labels without a file.
    """

    values: NDArray[Any] | None
    classes: tuple[str, ...] | None
    choices: tuple[Choice, ...] = ()
    left_out: Mapping[str, int] = {}


def is_pattern(labels: Any) -> bool:
    """Return whether labels are a regular expression with a group, which extracts the class from a path."""
    return isinstance(labels, re.Pattern) or (isinstance(labels, str) and "(" in labels and not paths.exists(labels))


def label_files(labels: Any, names: Names, *, listed: bool, tag_delimiter: str | None = None) -> FileLabels:
    """Return the labels of files.

    Parameters
    ----------
    labels
        None, one label per file by position, ``{name: label}``, or a regular expression with one group.
    names
        The files.
    listed
        Whether the user listed the files, so that their order is known.
    tag_delimiter
        Separator of several tags in one label.

    Raises
    ------
    BadSetting
        If labels are given by position but the order of files is ambiguous, or labels do not fit.
    NotFound
        If a file has no label.
    """
    if labels is None:
        return FileLabels(None, None)
    if is_pattern(labels):
        return _by_pattern(labels, names)
    if isinstance(labels, str):
        raise _not_there(labels)
    if isinstance(labels, Mapping):
        return _by_name(labels, names, tag_delimiter)
    if not listed:
        _refuse_doubtful_order(names)
    values, classes = class_numbers(labels, len(names), tag_delimiter)
    where = "one per file, in the order of the list" if listed else "one per file, in natural order of their names"
    return FileLabels(values, classes, (Choice(f"labels: {where}", "labels={name: label}"),))


def _not_there(labels: str) -> BadSetting:
    """Return the error for a text that is not a file and no pattern."""
    try:
        re.compile(labels)
        reason = "has no group (...)"
    except re.error as error:
        reason = f"is not a regular expression ({error})"
    return BadSetting(
        f"labels={labels!r}: no such file or folder, files have no columns, and as a pattern it {reason}. A pattern with one "
        'group extracts the class from the paths, labels="(cat|dog)"'
    )


def prefix_hint(names: Names) -> Choice | None:
    """Return a hint if all file names start with one of a few words, as in ``cat.0.jpg dog.0.jpg``."""
    counts: Counter[str] = Counter()
    for i in range(len(names)):
        prefix = _PREFIX.match(os.fsdecode(paths.basename(names.relative(i))))
        if prefix is None:
            return None
        counts[prefix.group()] += 1
        if len(counts) > _MOST_PREFIXES:
            return None
    if len(counts) < 2 or min(counts.values()) < 2:
        return None
    words = "|".join(sorted(counts))
    shown = ", ".join(sorted(counts)[:5])
    return Choice(
        f"no labels, although the file names start with {shown}", f'labels="({words if len(words) < 60 else "[a-z]+"})"'
    )


def _by_pattern(labels: str | re.Pattern[str], names: Names) -> FileLabels:
    try:
        pattern = re.compile(labels)
    except re.error as error:
        raise BadSetting(f"labels={labels!r} is neither a file nor a regular expression: {error}") from error
    if pattern.groups != 1:
        raise BadSetting(
            f"labels={pattern.pattern!r} must have one group (...), the class in a file's path; it has {pattern.groups}"
        )
    values, missing = [], []
    for i in range(len(names)):
        path = os.fsdecode(names.relative(i)).replace(os.sep, "/")
        match = pattern.search(paths.basename(path)) or pattern.search(path)
        if match is None or match.group(1) is None:
            missing.append(show(names.relative(i)))
        else:
            values.append(match.group(1))
    if missing:
        raise NotFound(
            f"labels={pattern.pattern!r} matches no part of {len(missing)} of {len(names)} paths: {', '.join(missing[:_NAMED])}"
        )
    numbers, classes = class_numbers(values, len(names))
    return FileLabels(
        numbers, classes, (Choice(f"labels: the part of each path that {pattern.pattern!r} matches", "labels="),)
    )


def _by_name(labels: Mapping[Any, Any], names: Names, tag_delimiter: str | None) -> FileLabels:
    """Return labels by relative path, path, name, or name without suffix of each file."""
    label_of = {_key(name): value for name, value in labels.items()}
    used: set[str] = set()
    values, missing = [], []
    for i in range(len(names)):
        key = next((key for key in _keys(names, i) if key in label_of), None)
        if key is None:
            missing.append(show(names.relative(i)))
            continue
        if key in used:
            raise BadSetting(
                f"labels: several files are named {key!r}; use their paths as keys, such as {_key(names.relative(i))!r}"
            )
        used.add(key)
        values.append(label_of[key])
    if missing:
        raise NotFound(f"labels= has no label for {len(missing)} of {len(names)} files: {', '.join(missing[:_NAMED])}")
    numbers, classes = class_numbers(values, len(names), tag_delimiter)
    unused = len(label_of) - len(used)
    left_out = {"labels without a file": unused} if unused else {}
    return FileLabels(numbers, classes, (Choice("labels: by file name", "labels="),), left_out)


def _key(name: Any) -> str:
    if not isinstance(name, str | bytes | os.PathLike):
        raise BadSetting(f"labels as a mapping need file names as keys, {{name: label}}, not {name!r:.80}")
    return os.fsdecode(os.fspath(name)).replace("\\", "/")


def _keys(names: Names, i: int) -> list[str]:
    relative, name = _key(names.relative(i)), paths.basename(_key(names.relative(i)))
    stems = [os.fsdecode(stem_of(os.fsencode(each))) for each in (relative, name)]
    return [relative, _key(names.path(i)), name, *stems]


def _refuse_doubtful_order(names: Names) -> None:
    """Raise `BadSetting` if natural order of names differs from text order, so that positions are ambiguous."""
    relative = [names.relative(i).replace(os.fsencode(os.sep), b"/") for i in range(len(names))]
    for mine, text in zip(relative, sorted(relative), strict=True):
        if mine != text:
            raise BadSetting(
                f"labels are given by position, but the order of the files is ambiguous: natural order has {show(mine)} where sorted() has "
                f"{show(text)}. Pass labels={{name: label}}, or the list of paths that the labels belong to: bs.open(paths, labels)"
            )
