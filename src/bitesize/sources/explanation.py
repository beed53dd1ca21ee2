"""Summary of a source: rows, inputs, labels, classes, value ranges, decisions, and data left out."""

from __future__ import annotations

import inspect
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from bitesize.errors import BitesizeError, first_few
from bitesize.files.names import show
from bitesize.html.notebook import element, output, table
from bitesize.memory.sizes import counted
from bitesize.sources.choices import Choice
from bitesize.sources.row_source import RowSource
from bitesize.spec import CHANNELS_LAST, Encoded, Field, one_channel_reason

if TYPE_CHECKING:
    from bitesize.sources.value_range import ValueRange

_PLURAL = re.compile(r"^((?:\w+ ){0,3}?)(file|folder|table|archive|image|mask|label|page|video|link|member)s\b")
# Maximum number of rows whose suffixes are checked.
_LOOKED_AT = 1_000
# Layouts that the format already implies.
_USUAL = frozenset(
    ("", "a folder of files", "one file", "an array", "numbers", "paths", "an object of another library", "its own format")
)
_SHOWN, _SHOWN_IN_HTML = 12, 40  # classes, columns or names in a line


@dataclass(frozen=True)
class FieldFacts:
    """One field of a source.

    Parameters
    ----------
    name
        Name in batches.
    role
        ``"input"``, ``"labels"``, ``"weights"`` or ``"other"``.
    description
        Shape and dtype of one row, or the mode of an image.
    """

    name: str
    role: str
    description: str


@dataclass(frozen=True)
class Explanation:
    """Summary of a source; see `Source.explain`. It prints as a few readable lines.

    Parameters
    ----------
    layout
        Layout of the data: the name of the rule that opened it.
    kind
        Format of the data.
    rows
        Number of rows.
    fields
        Fields of a row.
    classes
        Number of rows of each class, by name; None without classes.
    targets
        Description of labels that are not classes, or None.
    values
        Range of the values of the primary input, measured on a few rows; None if not measured.
    not_measured
        Reason why the range was not measured, or empty.
    features
        Columns stacked in the field ``x``, or None.
    choices
        Decisions made where the data is ambiguous, with the setting that changes each.
    hints
        Possible problems, such as groups that a random split would break up.
    left_out
        Counts of what was left out, by reason.
    """

    layout: str
    kind: str
    rows: int
    fields: tuple[FieldFacts, ...]
    classes: Mapping[str, int] | None
    targets: str | None
    values: ValueRange | None
    not_measured: str
    features: tuple[str, ...] | None
    choices: tuple[Choice, ...]
    hints: tuple[Choice, ...]
    left_out: Mapping[str, int]

    def to_dict(self) -> dict[str, Any]:
        """Return the summary as plain values, for JSON."""
        values = self.values
        return {
            "layout": self.layout,
            "kind": self.kind,
            "rows": self.rows,
            "fields": [{"name": field.name, "role": field.role, "what": field.description} for field in self.fields],
            "classes": None if self.classes is None else dict(self.classes),
            "targets": self.targets,
            "values": None
            if values is None or not np.isfinite(values.minimum)
            else {"minimum": values.minimum, "maximum": values.maximum, "dtype": values.dtype, "rows": values.rows},
            "features": None if self.features is None else list(self.features),
            "choices": [choice._asdict() for choice in self.choices],
            "hints": [hint._asdict() for hint in self.hints],
            "left_out": dict(self.left_out),
        }

    def lines(self) -> list[tuple[str, str]]:
        """Return pairs of a heading and its text, in reading order."""
        layout = "" if self.layout in _USUAL else f", {self.layout}"
        lines = [("data", f"{self.rows:,} {'row' if self.rows == 1 else 'rows'}: {self.kind}{layout}")]
        lines += [(field.role, f"{field.name}: {field.description}") for field in self.fields]
        if self.features is not None:
            lines.append(("columns", f"{len(self.features)}: {first_few(self.features, _SHOWN)}"))
        if self.values is not None:
            lines.append(("values", _range(self.values)))
        elif self.not_measured:
            lines.append(("values", f"not measured: {self.not_measured}"))
        if self.classes is not None:
            counts = first_few([f"{name} {count:,}" for name, count in self.classes.items()], _SHOWN)
            lines.append(("classes", f"{len(self.classes)}: {counts}"))
        elif self.targets is not None:
            lines.append(("targets", self.targets))
        else:
            lines.append(("labels", "none"))
        for heading, choices in (("chosen", self.choices), ("note", self.hints)):
            lines += [(heading, f"{each.chosen}{f'  [{each.setting}]' if each.setting else ''}") for each in choices]
        lines += [("left out", counted_reason(count, why)) for why, count in self.left_out.items()]
        return lines

    def __str__(self) -> str:
        return "\n".join(f"{heading:<9} {text}" for heading, text in self.lines())

    def html(self, *blocks: object) -> str:
        """Return the summary as HTML for notebooks, with more blocks of HTML below it."""
        (_, title), *others = self.lines()
        lines: list[tuple[object, ...]] = []
        for heading, text in others:
            if heading == "classes" and self.classes is not None:
                counts = [f"{name} {count:,}" for name, count in self.classes.items()]
                lines.append((heading, f"{len(counts)}: {first_few(counts, _SHOWN_IN_HTML)}", ""))
            elif heading not in ("chosen", "note"):
                lines.append((heading, text, ""))
        for heading, choices in (("chosen", self.choices), ("note", self.hints)):
            lines += [(heading, each.chosen, element("code", each.setting) if each.setting else "") for each in choices]
        if not any(setting for _, _, setting in lines):
            return output(title, table([line[:2] for line in lines]), *blocks)
        return output(title, table(lines, ("about", "what was found", "changed by")), *blocks)

    def _repr_html_(self) -> str:
        return self.html()


def counted_reason(count: int, why: str) -> str:
    """Return a text with the count and the reason of data left out.

    Examples
    --------
    >>> counted_reason(1, "other files (.txt)"), counted_reason(2, "other files (.txt)")
    ('1 other file (.txt)', '2 other files (.txt)')
    """
    return f"{count:,} {_PLURAL.sub(lambda found: found[1] + found[2], why, count=1) if count == 1 else why}"


def explain(source: RowSource, *, measure: bool = True) -> Explanation:
    """Return the summary of a source; see `Source.explain`. ``measure`` sets whether the range of values is measured."""
    from bitesize.sources.groups import suggested_groups
    from bitesize.sources.value_range import is_narrow, may_be_narrow, narrow_in_words, value_range

    label, primary, weights = source.label_name, source.primary, source.weight_name
    fields = tuple(
        FieldFacts(
            name,
            "labels" if name == label else "weights" if name == weights else "input" if name == primary else "other",
            str(field),
        )
        for name, field in sorted(source.spec.items(), key=lambda pair: (pair[0] != primary, pair[0] == label))
    )
    values, why = None, ""
    try:
        values = value_range(source) if measure else None
    except BitesizeError as error:
        why = str(error)
    if values is not None and not values.rows:
        values, why = None, "no row of the sample could be read"
    classes, targets = _labels(source)
    stored = source.spec[primary]
    why_one = one_channel_reason(stored) if isinstance(stored, Field) else ""
    hints = [each for each in (suggested_groups(source),) if each is not None and each not in source.choices]
    if values is not None and may_be_narrow(stored) and is_narrow(values.maximum, stored.dtype):
        hints.append(Choice(f"in a sample of rows, {narrow_in_words(values.maximum, stored.dtype)}", ""))
    if why_one:
        hints.append(Choice(f"{why_one}: one mean and deviation", CHANNELS_LAST))
    return Explanation(
        layout=source.layout,
        kind=_kind(source),
        rows=len(source),
        fields=fields,
        classes=classes,
        targets=targets,
        values=values,
        not_measured=why,
        features=source.feature_names,
        choices=source.choices,
        hints=tuple(hints),
        left_out=source.left_out,
    )


def _labels(source: RowSource) -> tuple[dict[str, int] | None, str | None]:
    """Return the number of rows of each class, or a description of the labels."""
    label = source.label_name
    if label is None:
        return None, None
    labels, classes = source.labels, source.classes
    if labels is not None and classes is not None:
        counts = np.bincount(labels, minlength=len(classes))
        return dict(zip(classes, counts.tolist(), strict=True)), None
    if labels is not None:
        values, counts = np.unique(labels, return_counts=True)
        return {str(value): count for value, count in zip(values.tolist(), counts.tolist(), strict=True)}, None
    field = source.spec[label]
    if isinstance(field, Encoded) or field.mask:
        return None, f"a mask for each image ({field})"
    if classes is not None:
        return None, f"a 0 or 1 for each of {len(classes)} classes: {first_few(classes, _SHOWN)}"
    named = f": {first_few(source.target_names, _SHOWN)}" if source.target_names else ""
    return None, f"{'numbers' if isinstance(field, Field) else 'labels'}, {field}{named}"


def _kind(source: RowSource) -> str:
    """Return a readable name of the format."""
    title = source.title
    if title.startswith("images"):
        looked_at = (source.path(row) or b"" for row in range(0, len(source), max(1, len(source) // _LOOKED_AT)))
        return f"images ({', '.join(sorted({show(os.path.splitext(path)[1]).lower() for path in looked_at}))})"
    if title:
        return title.partition(":")[0]
    if source.derived_from:
        return _kind(source.derived_from[0])
    text = (inspect.getdoc(type(source)) or type(source).__name__).partition("\n")[0]
    return text.partition(";")[0].rstrip(".")


def _range(values: ValueRange) -> str:
    rows, bad = counted(values.rows, "row"), ""
    if values.unreadable:
        bad = f", {values.unreadable} of {values.rows + values.unreadable} could not be read (bitesize check lists all)"
    if not np.isfinite(values.minimum):
        return f"{values.dtype}, no finite value in {rows}{bad}"
    return f"{values.dtype} from {values.minimum:.6g} to {values.maximum:.6g}, in a sample of {rows}{bad}"
