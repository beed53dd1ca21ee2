"""Splits by the names of arrays: ``x_train y_train x_test y_test``, ``train/images test/images``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import TypeVar

from bitesize.errors import BadSetting, NotFound
from bitesize.sources.base import OpenOptions
from bitesize.sources.splits import ALIASES, SplitRequired, split_in, split_rank, usual_split

T = TypeVar("T")

_SPLIT_OF = {word: part for part, words in ALIASES.items() for word in words}
_WORDS = "|".join(sorted(_SPLIT_OF, key=len, reverse=True))
_FIRST = re.compile(rf"({_WORDS})(?:$|[_\-. ]+(.+))", re.IGNORECASE)
_LAST = re.compile(rf"(.+?)[_\-. ]+({_WORDS})", re.IGNORECASE)
_CAMEL = re.compile(rf"([a-zA-Z]*[a-z]|X|Y)({'|'.join(word.capitalize() for word in _SPLIT_OF)})")
_CAMEL_FIRST = re.compile(rf"({_WORDS})([A-Z].*)")
_NAMED = 10


def split_and_field(name: str) -> tuple[str, str] | None:
    """Return the split in the name of an array, and the name of the field without it.

    Returns
    -------
    tuple of str or None
        None if the name contains no split.

    Examples
    --------
    >>> split_and_field("X_train"), split_and_field("test/images"), split_and_field("train_labels")
    (('train', 'x'), ('test', 'images'), ('train', 'labels'))
    >>> split_and_field("contest") is None
    True
    """
    folder, slash, rest = name.partition("/")
    if slash and (found := split_in(folder)) is not None and not found[1]:
        return found[0], rest
    above, slash, last = name.rpartition("/")
    if (match := _FIRST.fullmatch(last)) or (match := _CAMEL_FIRST.fullmatch(last)):
        word, field = match[1], match[2] or "x"
    elif (match := _LAST.fullmatch(last)) or (match := _CAMEL.fullmatch(last)):
        word, field = match[2], match[1]
    else:
        return None
    return _SPLIT_OF[word.lower()], f"{above}{slash}{field.lower() if field in ('X', 'Y') else field}"


def in_splits(lengths: Mapping[str, int | None]) -> dict[str, dict[str, str]]:
    """Return the splits of arrays, by their names.

    Parameters
    ----------
    lengths
        Number of rows of each array, by name; None for arrays without rows.

    Returns
    -------
    dict of str to dict of str to str
        For each split the names of its fields, and of their arrays. Empty where the names say no splits, or only seem to: where an array
        without a split in its name has as many rows as those with one, as ``x`` beside ``train_mask`` and ``test_mask``.
    """
    arrays_of: dict[str, dict[str, str]] = {}
    lengths_without_split = []
    for name, rows in lengths.items():
        split = split_and_field(name)
        if split is None:
            lengths_without_split.append(rows or 0)
        else:
            arrays_of.setdefault(split[0], {}).setdefault(split[1], name)
    rows_of = [lengths[name] or 0 for fields in arrays_of.values() for name in fields.values()]
    if len(arrays_of) < 2 or (
        lengths_without_split and ("train" not in arrays_of or max(lengths_without_split) >= max(rows_of))
    ):
        return {}
    return {split: arrays_of[split] for split in sorted(arrays_of, key=split_rank)}


def arrays_of_split(
    arrays: Mapping[str, T], lengths: Mapping[str, int | None], options: OpenOptions, where: str
) -> tuple[dict[str, T], OpenOptions, dict[str, int]]:
    """Return the arrays of the requested split, by field name; all arrays if there are no splits.

    Returns
    -------
    tuple
        The arrays, the options for them, and the arrays left out, by reason.

    Raises
    ------
    SplitRequired
        If there are splits, and none is requested.
    NotFound
        If the split does not exist.
    BadSetting
        If there are no splits, and one is requested.
    """
    if options.split is None and options.fields is not None:  # by their original names
        return dict(arrays), options, {}
    arrays_of = in_splits(lengths)
    if options.split is None:
        if arrays_of:
            raise SplitRequired(where, arrays_of)
        return dict(arrays), options, {}
    if not arrays_of:
        raise BadSetting(
            f"split={options.split!r}: {where} has no splits, neither arrays such as x_train and x_test nor groups such as train and test: "
            f"it has {', '.join([*arrays][:_NAMED]) or 'nothing'}"
        )
    fields = arrays_of.get(usual_split(options.split) or options.split)
    if fields is None:
        raise NotFound(f"{where} has no split {options.split!r}: it has {', '.join(arrays_of)}")
    field_of = {array: name for name, array in fields.items()}
    labels = field_of.get(options.labels, options.labels) if isinstance(options.labels, str) else options.labels
    taken = {array for of in arrays_of.values() for array in of.values()}
    left_out = {f"{name}: its name is not that of a split": 1 for name in arrays if name not in taken}
    return {name: arrays[array] for name, array in fields.items()}, replace(options, labels=labels, split=None), left_out
