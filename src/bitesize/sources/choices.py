"""Decisions made while opening ambiguous data, with the setting that changes each."""

from __future__ import annotations

from typing import NamedTuple


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
