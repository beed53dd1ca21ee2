"""Labels of tables passed as a list: names of columns, or one label per row."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from bitesize.errors import BadSetting
from bitesize.sources.base import OpenOptions, Source
from bitesize.sources.column_names import are_columns, match, may_be_columns
from bitesize.sources.combine.with_fields import WithFields
from bitesize.sources.labels import class_numbers


def labeled(opened: Callable[[OpenOptions], Source], options: OpenOptions) -> Source:
    """Open a table with labels that may be a list.

    Parameters
    ----------
    opened
        Function that opens the table; it ignores a list without column names.
    options
        Options with the labels.

    Raises
    ------
    BadSetting
        If the list is neither column names nor one label per row.
    """
    labels = options.labels
    source = opened(options)
    if labels is None or isinstance(labels, str) or are_columns(labels, source.column_names):
        return source
    if may_be_columns(labels) and len(labels) != len(source):
        unknown = next(label for label in labels if match(label, source.column_names) is None)
        raise BadSetting(
            f"labels={list(labels)!r:.200} are neither one per row ({len(source):,} rows) nor columns: there is no "
            f"column {unknown!r}; the columns are {', '.join(source.column_names)}"
        )
    numbers, classes = class_numbers(labels, len(source), options.tag_delimiter)
    return WithFields(source, {"y": numbers}, classes)


def without_list(options: OpenOptions, columns: tuple[str, ...]) -> OpenOptions:
    """Return the options without labels given per row."""
    if options.labels is None or isinstance(options.labels, str) or are_columns(options.labels, columns):
        return options
    return replace(options, labels=None)
