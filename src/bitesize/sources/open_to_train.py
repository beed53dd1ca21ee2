"""Open data for training: fields under usual names, classes, and all splits at once."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from bitesize.errors import BadFile, NotFound
from bitesize.sources.base import Source
from bitesize.sources.choices import Choice
from bitesize.sources.combine.with_fields import WithFields
from bitesize.sources.combine.zipped import Zipped
from bitesize.sources.open import Data, Labels, is_number, one_row, open_with
from bitesize.sources.options import OpenOptions
from bitesize.sources.splits import SplitRequired
from bitesize.storage import remote

# Whole numbers with more different values than this are targets of a regression, not classes.
_MOST_NAMED = 100_000
WHOLE_NUMBERS = "different whole numbers, used as classes"


def open_to_train(
    data: Data, labels: Labels = None, split: str | None = None, *, inputs_only: bool = False, **settings: Any
) -> Source:
    """Open data whose fields may have any names as ``x``, an image or the widest array, and ``y``, the labels.

    Whole numbers without class names become classes, named by their digits.

    Parameters
    ----------
    data, labels, split, **settings
        As for `open`.
    inputs_only
        Whether columns of labels and of sample weights are left out without being read.

    Raises
    ------
    BitesizeError
        As `open`.
    """
    needed = not inputs_only
    options = OpenOptions(labels, split=split, labels_needed=needed, weights_needed=needed, **settings)
    try:
        source = open_with(data, options)
    except NotFound:
        if labels is not None or needed:
            raise
        source = open_with(data, replace(options, labels=False))  # an image without its mask is a row as well
    label, weight = source.label_name, source.weight_name
    columns = [name for name in source.spec if name not in (label, weight)]
    if columns and "x" not in columns and all(is_number(source.spec[name]) for name in columns):
        source = one_row(source, columns)
    if source.primary != "x" or label not in (None, "y"):
        if source.primary == label:
            raise BadFile(f"{data!r:.80} has only labels: {', '.join(source.spec)}")
        fields = {"x": source.primary} | ({"y": label} if label else {}) | ({weight: weight} if weight else {})
        source = Zipped([(fields, source)])
        if (
            label not in (None, "y")
            and source.target_names is None
            and source.classes is None
            and is_number(source.spec["y"])
        ):
            source.target_names = (label,)
    if source.classes is None and source.labels is not None:
        numbers, class_of = np.unique(source.labels, return_inverse=True)
        if len(numbers) <= _MOST_NAMED:
            name = source.label_name or "y"
            named = WithFields(source, {name: class_of.astype(np.int64)}, tuple(map(str, numbers.tolist())), name)
            named.target_names = source.target_names  # the numbers may be a quantity as well
            named.choices = (*source.choices, Choice(f"labels: {len(numbers):,} {WHOLE_NUMBERS}", "labels="))
            source = named
    return source


def open_splits(data: Data, labels: Any = None, **settings: Any) -> tuple[dict[str, Source], dict[str, BadFile]]:
    """Open all splits of the data as `open_to_train` does, by name; data without splits is one split ``"data"``.

    Returns
    -------
    dict of str to Source, dict of str to BadFile
        The splits, and the errors of damaged splits that cannot be opened.

    Raises
    ------
    BitesizeError
        As `open`, for other reasons.
    """
    parts: dict[str, Source] = {}
    damaged: dict[str, BadFile] = {}
    with remote.listing():  # once for all splits
        try:
            parts["data"] = open_to_train(data, labels, **settings)
        except BadFile as error:
            damaged["data"] = error
        except SplitRequired as error:
            for part in error.splits:
                try:
                    parts[part] = open_to_train(data, labels, part, **settings)
                except BadFile as bad:
                    damaged[part] = bad
    return parts, damaged
