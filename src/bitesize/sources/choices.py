"""Decisions made while opening ambiguous data, with the setting that changes each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from bitesize.errors import first_few


class Choice(NamedTuple):
    """One decision made while opening data; see `Source.choices`.

    Attributes
    ----------
    chosen : str
        The decision, in a few words: ``"labels: the column 'species'"``.
    setting : str
        The setting of `bitesize.open` that changes it, as Python code: ``"labels="`` or ``'mode="I;16"'``.

    Examples
    --------
    >>> from bitesize.sources import Choice
    >>> print(Choice("labels: the column 'species'", "labels="))
    labels: the column 'species' (labels= changes this)
    """

    chosen: str
    setting: str

    def __str__(self) -> str:
        return f"{self.chosen} ({self.setting} changes this)" if self.setting else self.chosen


def unread_labels(names: Sequence[str]) -> Choice:
    """Return the choice for columns of labels that are not read, because no labels are needed."""
    columns = f"the column {names[0]!r} is" if len(names) == 1 else f"the columns {first_few(names, 10)} are"
    return Choice(f"no labels: {columns} left out", "labels=")
