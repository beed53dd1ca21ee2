"""What `pack` has done."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from bitesize.packed.manifest import Skipped
from bitesize.storage.address import Folder


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
