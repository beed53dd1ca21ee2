"""What was understood where data could be read in two ways, and the setting that decides otherwise."""

from __future__ import annotations

from typing import NamedTuple


class Choice(NamedTuple):
    """One thing that was chosen while data was opened; see `Source.choices`.

    Attributes
    ----------
    chosen : str
        What was understood, in a few words: ``"labels: the column 'species'"``.
    setting : str
        The setting of `bitesize.open` that decides otherwise, as Python code: ``"labels="`` or ``'mode="I;16"'``.
    """

    chosen: str
    setting: str

    def __str__(self) -> str:
        return f"{self.chosen} ({self.setting} decides otherwise)" if self.setting else self.chosen
