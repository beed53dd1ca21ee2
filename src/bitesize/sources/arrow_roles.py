"""Roles of the columns of a table: features, labels, weights, separate fields."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from bitesize.errors import BadSetting
from bitesize.sources.arrow_columns import ArrowColumn
from bitesize.sources.base import OpenOptions
from bitesize.sources.choices import Choice, unread_labels
from bitesize.sources.column_names import (
    LABELS,
    WEIGHTS,
    first_named,
    is_row_number,
    match,
    may_be_identifier,
    plain,
    require,
)
from bitesize.sources.columns import wanted_fields
from bitesize.sources.splits import COLUMNS
from bitesize.spec import Encoded, Field

_SHOWN = 6


@dataclass
class Roles:
    """The role of each column.

    Attributes
    ----------
    fields
        Fields of one column each, labels among them: name of the field to name of the column.
    features
        Columns of one number per row that are stacked in the field ``x``.
    label
        The field with the labels, or None.
    targets
        Columns that are stacked as labels, if there are several.
    weight
        The field with the weights, or None.
    left_out
        Columns without a role, by reason.
    choices
        Decisions made for ambiguous columns.
    """

    fields: dict[str, str] = field(default_factory=dict)
    features: list[str] = field(default_factory=list)
    label: str | None = None
    targets: list[str] = field(default_factory=list)
    weight: str | None = None
    left_out: dict[str, int] = field(default_factory=dict)
    choices: list[Choice] = field(default_factory=list)


@dataclass(frozen=True)
class TableColumns:
    """The columns of a table, with functions that examine their values.

    Attributes
    ----------
    by_name
        All columns.
    where
        Name of the table, for messages.
    class_columns
        Columns whose type declares class numbers.
    label_field
        Name of the field of labels; empty for the name of the column.
    repeats
        Function that returns whether a text column has few enough different values for classes.
    all_different
        Function that returns whether all values of a column differ.
    """

    by_name: Mapping[str, ArrowColumn]
    where: str
    class_columns: tuple[str, ...]
    label_field: str
    repeats: Callable[[str], bool]
    all_different: Callable[[str], bool]


def choose_roles(columns: TableColumns, options: OpenOptions) -> Roles:
    """Return the role of each column.

    Raises
    ------
    BadSetting
        If a requested column does not exist or cannot have the requested role.
    """
    roles = _all_roles(columns, options)
    others = [name for name in roles.fields if name not in (roles.label, roles.weight)]
    if not options.labels_needed and roles.label is not None and (roles.features or others):
        column = roles.fields.pop(roles.label, None)
        names = roles.targets if column is None else [column]
        kept = [choice for choice in roles.choices if not choice.chosen.startswith("labels:")]
        roles.label, roles.targets, roles.choices = None, [], [*kept, unread_labels(names)]
    if not options.weights_needed and roles.weight is not None and (roles.features or others):
        del roles.fields[roles.weight]
        kept = [choice for choice in roles.choices if not choice.chosen.startswith("sample weights:")]
        roles.weight, roles.choices = None, kept
    return roles


def _all_roles(columns: TableColumns, options: OpenOptions) -> Roles:
    """Return the role of each column, labels included."""
    roles = Roles()
    if options.fields is not None:
        _take_wanted(columns, options, roles)
        return roles
    labels = _label_columns(columns, options, roles)
    weight = _weight_column(columns, options, labels, roles)
    names = [name for name in columns.by_name if name not in (*labels, weight)]
    if any(_is_wide(columns.by_name[name]) for name in names):
        for name in names:
            if columns.by_name[name].field is None:
                part = plain(name) in COLUMNS and columns.by_name[name].is_text
                roles.left_out[f"{name}: {'splits of the data (split=)' if part else columns.by_name[name].why}"] = 1
            else:
                roles.fields[name] = name
    else:
        _take_features(columns, names, roles)
    _add_labels(columns, labels, roles)
    if weight is not None:
        roles.weight = weight
        roles.fields[weight] = weight
    if not options.labels and not labels:
        _guess_labels(columns, roles)
    return roles


def _take_wanted(columns: TableColumns, options: OpenOptions, roles: Roles) -> None:
    """Add the requested fields, each as a separate field."""
    available = columns.by_name
    for name, wanted in wanted_fields(options, available).items():
        column_name = match(wanted, available)
        if column_name is None:
            raise BadSetting(f"{columns.where} has no column {wanted!r}: it has {', '.join(available)}")
        roles.fields[name] = column_name
    if isinstance(options.labels, str) and options.labels in roles.fields:
        roles.label = options.labels
    elif options.labels is not None:
        labels = _label_columns(columns, options, roles)
        for name in [name for name, column in roles.fields.items() if column in labels and len(labels) == 1]:
            roles.label = name
        if roles.label is None:
            _add_labels(columns, labels, roles)
    else:
        roles.label = first_named(roles.fields, LABELS)
    for name, column_name in roles.fields.items():
        column = available[column_name]
        if column.field is None and not column.is_text and not (column.is_text_list and name == roles.label):
            raise BadSetting(f"the column {column_name!r} of {columns.where} cannot be a field: it is {column.why}")
    if options.weights:
        weight = require(options.weights, available, columns.where, "weights")
        taken = [name for name, other in roles.fields.items() if other == weight]
        roles.weight = taken[0] if taken else options.weights
        roles.fields.setdefault(roles.weight, weight)
    elif options.weights is None:
        roles.weight = first_named([name for name in roles.fields if name != roles.label], WEIGHTS)
        if roles.weight is not None:
            roles.choices.append(Choice(f"sample weights: the column {roles.fields[roles.weight]!r}", 'weights=""'))


def _label_columns(columns: TableColumns, options: OpenOptions, roles: Roles) -> list[str]:
    """Return the columns with labels: the requested ones, or one with a usual name."""
    if isinstance(options.labels, str):
        return [require(options.labels, columns.by_name, columns.where, "labels")]
    if options.labels is not None:
        return [require(label, columns.by_name, columns.where, "labels") for label in options.labels]
    usable = [name for name, column in columns.by_name.items() if _may_be_labels(column)]
    label = first_named(usable, LABELS)
    if label is None and len(columns.class_columns) == 1:
        label = columns.class_columns[0]
    if label is None:
        return []
    others = [name for name in columns.by_name if name != label and plain(name) in LABELS]
    rest = f", not {_listed(others)}" if others else ""
    roles.choices.append(Choice(f"labels: the column {label!r}{rest}", "labels="))
    return [label]


def _weight_column(columns: TableColumns, options: OpenOptions, labels: list[str], roles: Roles) -> str | None:
    """Return the column with sample weights: the requested one, or one with a usual name."""
    if options.weights:
        return require(options.weights, columns.by_name, columns.where, "weights")
    if options.weights is not None:
        return None
    weight = first_named(
        [name for name, column in columns.by_name.items() if _is_number(column) and name not in labels], WEIGHTS
    )
    if weight is not None:
        roles.choices.append(Choice(f"sample weights: the column {weight!r}", 'weights=""'))
    return weight


def _take_features(columns: TableColumns, names: Iterable[str], roles: Roles) -> None:
    """Add columns of one number per row as features."""
    for name in names:
        column = columns.by_name[name]
        if plain(name) in COLUMNS:
            roles.left_out[f"{name}: splits of the data (split=)"] = 1
        elif is_row_number(name):
            roles.left_out[f"{name or 'a column without a name'}: row numbers (fields= selects it)"] = 1
        elif column.field is None:
            roles.left_out[f"{name}: {column.why}"] = 1
        elif not _is_number(column):
            roles.left_out[f"{name}: dates or times (fields= selects it)"] = 1
        elif may_be_identifier(name) and column.is_whole and columns.all_different(name):
            roles.left_out[f"{name}: an identifier, all values differ (fields= selects it)"] = 1
        else:
            roles.features.append(name)
    if roles.features:
        count = len(roles.features)
        field = f"the column {roles.features[0]}" if count == 1 else f"the {count:,} columns {_listed(roles.features)}"
        roles.choices.append(Choice(f"x: {field} as one row of features", "fields="))


def _add_labels(columns: TableColumns, labels: list[str], roles: Roles) -> None:
    """Set the columns of labels: one, or several as 0/1 for each or as numbers."""
    if not labels:
        return
    if len(labels) == 1:
        column = columns.by_name[labels[0]]
        if not _may_be_labels(column):
            raise BadSetting(f"the column {labels[0]!r} of {columns.where} cannot be labels: it is {column.why}")
        taken = {*roles.fields, *(["x"] if roles.features else [])}
        wanted = columns.label_field or labels[0]
        roles.label = wanted if wanted not in taken else labels[0] if labels[0] not in taken else f"{labels[0]}_label"
        roles.fields[roles.label] = labels[0]
        return
    odd = next((name for name in labels if not _is_number(columns.by_name[name])), None)
    if odd is not None:
        raise BadSetting(
            f"labels={labels}: several label columns must hold numbers, such as 1 and 0 for yes and no, but {odd!r} is {columns.by_name[odd].why or 'not numeric'}: name one as the label, "
            "and select the others with fields=, which makes class numbers of text (source.classes_of has the names)"
        )
    roles.targets = labels
    roles.label = "y" if "y" not in roles.fields else "labels"


def _guess_labels(columns: TableColumns, roles: Roles) -> None:
    """Use the only column of text as labels if its values repeat."""
    texts = [
        name
        for name, column in columns.by_name.items()
        if column.is_text and plain(name) not in COLUMNS and not is_row_number(name) and not may_be_identifier(name)
    ]
    if len(texts) != 1 or not (roles.features or roles.fields):
        return
    if columns.repeats(texts[0]):
        roles.left_out.pop(f"{texts[0]}: {columns.by_name[texts[0]].why}", None)
        _add_labels(columns, texts, roles)
        roles.choices.append(Choice(f"labels: the column {texts[0]!r}, the only text", "labels="))
    else:
        why = f"{texts[0]}: text, nearly all values differ (labels={texts[0]!r} selects it)"
        roles.left_out.pop(f"{texts[0]}: {columns.by_name[texts[0]].why}", None)
        roles.left_out[why] = 1


def _may_be_labels(column: ArrowColumn) -> bool:
    """Return whether a column can be labels."""
    return column.field is not None or column.is_text or column.is_text_list


def _is_wide(column: ArrowColumn) -> bool:
    """Return whether a column holds images or arrays."""
    return isinstance(column.field, Encoded) or (isinstance(column.field, Field) and column.field.shape != ())


def _is_number(column: ArrowColumn) -> bool:
    """Return whether a column holds one number per row."""
    field: Any = column.field
    return isinstance(field, Field) and field.shape == () and field.dtype.kind in "biuf"


def _listed(names: list[str]) -> str:
    """Return names for a message; only the first if there are many."""
    return ", ".join(names[:_SHOWN]) + (f" ... {names[-1]}" if len(names) > _SHOWN else "")
