"""A source whose reader is killed: by the system, so it seems, in the middle of a shard."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import numpy as np

import bitesize as bs


class DeadlyRows(bs.Source):
    """Rows with their numbers; reading one of them ends the process, as often as ``folder`` has no file for it.

    Parameters
    ----------
    rows
        Number of rows.
    deadly
        The row.
    folder
        Folder in which each death leaves a file.
    deaths
        Number of deaths.
    """

    def __init__(self, rows: int, deadly: int, folder: Path, deaths: int) -> None:
        self._rows, self._deadly, self._folder, self._deaths = rows, deadly, folder, deaths
        self.spec = {"x": bs.Field((4,), np.dtype("i8"))}

    def __len__(self) -> int:
        return self._rows

    def read(self, rows, into):
        if self._deadly in rows and len(list(self._folder.iterdir())) < self._deaths:
            (self._folder / str(os.getpid())).touch()
            os.kill(os.getpid(), signal.SIGKILL)
        into["x"][...] = rows[:, None]

    def _identity(self) -> bytes:
        return b"deadly rows"
