"""What `pack` has done."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from bitesize.html.notebook import output, table
from bitesize.memory.sizes import counted, format_size
from bitesize.packed.manifest import Skipped
from bitesize.storage.address import Folder

_MOST = 20  # bad rows that a notebook shows


@dataclass(frozen=True)
class PackReport:
    """Result of `bitesize.pack`.

    Attributes
    ----------
    path : Path or Address
        Folder of the store.
    kind : str
        ``"bytes"``, ``"pixels"`` or ``"jpeg"``.
    rows : Mapping of str to int
        Number of rows of each split; one with an empty name for data without splits.
    shards, nbytes : int
        Number of shards, and their bytes.
    kept : int
        Number of shards that an earlier run had finished.
    skipped : Mapping of str to tuple
        Rows of each split that could not be read and are not in the store.
    notes : tuple of str
        What was decided, one line each.
    seconds : float
        Time of this run.
    peak_nbytes : int
        Largest number of bytes that the memory budget held; with several workers, that of the one with the most.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> import numpy as np, bitesize as bs
    >>> report = bs.pack(bs.open(np.zeros((9, 2))), pathlib.Path(tempfile.mkdtemp()) / "packed")
    >>> report.rows, report.kind, report.skipped
    ({'': 9}, 'bytes', {})
    """

    path: Folder
    kind: str
    rows: Mapping[str, int]
    shards: int
    nbytes: int
    kept: int
    skipped: Mapping[str, tuple[Skipped, ...]]
    notes: tuple[str, ...]
    seconds: float
    peak_nbytes: int = 0

    def _repr_html_(self) -> str:
        """Return a table of the figures, for notebooks."""
        rows = ", ".join(f"{name} {count:,}" if name else f"{count:,}" for name, count in self.rows.items())
        kept = f", of which {self.kept:,} were there already" if self.kept else ""
        lines = [
            ("folder", self.path),
            ("kind", self.kind),
            ("rows", rows),
            ("shards", f"{self.shards:,}{kept}, {format_size(self.nbytes)}"),
            ("time", f"{self.seconds:,.1f} s, at most {format_size(self.peak_nbytes)} of memory"),
            *(("decided", note) for note in self.notes),
        ]
        skipped = [(name, f"{row.row:,}", row.reason) for name, found in self.skipped.items() for row in found]
        more = f", the first {_MOST}" if len(skipped) > _MOST else ""
        caption = f"{counted(len(skipped), 'row')} could not be read{more}"
        bad = table(skipped[:_MOST], ("split", "row", "reason"), numbers=[1], caption=caption)
        return output("PackReport", table(lines), bad)
