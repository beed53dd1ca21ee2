"""The folder of a training's checkpoints: written in the background, numbered, the last ones kept, the newest whole one read."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from bitesize.errors import BadFile, BadSetting
from bitesize.training.finite import not_finite
from bitesize.training.snapshot import read_snapshot, write_snapshot

_NAME = re.compile(r"(\d{6,})-epoch\d+-batch\d+\.npz")

Snapshot = tuple[dict[str, Any], dict[str, NDArray[Any]]]


class CheckpointStore:
    """Checkpoints in a folder.

    Parameters
    ----------
    folder
        It is made when the first is saved.
    keep
        How many stay.
    """

    def __init__(self, folder: Path, keep: int) -> None:
        self.folder, self._keep = folder, keep
        self._writer: ThreadPoolExecutor | None = None
        self._writing: Future[None] | None = None
        self._warned = False
        self._older: list[Path] = []  # of an earlier training, which this one takes the place of

    def put(self, state: dict[str, Any], arrays: Mapping[str, NDArray[Any]]) -> None:
        """Save in the background; waits for what is being saved. ``state`` has ``epoch`` and ``batch``."""
        self.wait()
        if self._writer is None:
            self._writer = ThreadPoolExecutor(1, "bitesize-checkpoint")
        self._writing = self._writer.submit(self._write, state, arrays)

    @property
    def writes(self) -> bool:
        """Whether something is being saved, or was and nobody has waited for it."""
        return self._writing is not None

    def wait(self) -> None:
        """Wait for what is being saved; a disk that takes no more is told once."""
        if self._writing is None:
            return
        writing, self._writing = self._writing, None
        try:
            writing.result()
        except OSError as error:
            if not self._warned:
                self._warned = True
                last = f"the last good one is {self.newest_path}" if self.newest_path else "there is none yet"
                warnings.warn(f"a checkpoint could not be saved: {error}. Training goes on; {last}", stacklevel=4)

    def close(self) -> None:
        """Wait, and end the thread."""
        self.wait()
        if self._writer is not None:
            self._writer.shutdown()
            self._writer = None

    def replace_existing(self, replaces: bool) -> None:
        """Say whether what is here is of an earlier training, and goes once this one has an epoch done."""
        self._older = self.paths() if replaces else []

    @property
    def newest_path(self) -> Path | None:
        """Where the last one is."""
        paths = self.paths()
        return paths[-1] if paths else None

    def newest(self) -> Snapshot | None:
        """Read the newest that is whole; None where there is none.

        Raises
        ------
        BadFile
            If there are some and none is whole. Of each that is damaged and passed over, a warning tells.
        """
        damaged: list[str] = []
        for path in reversed(self.paths()):
            try:
                found = read_snapshot(path)
                _refuse_unless_finite(path, found[1])
            except BadFile as error:
                damaged.append(str(error))
                continue
            if damaged:
                warnings.warn(f"{'; '.join(damaged)}. Continuing from {path}", stacklevel=4)
            return found
        if damaged:
            raise BadFile(f"no checkpoint in {self.folder} is whole: {'; '.join(damaged)}")
        return None

    def _write(self, state: dict[str, Any], arrays: Mapping[str, NDArray[Any]]) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        paths = self.paths()
        number = _number(paths[-1]) + 1 if paths else 1
        path = self.folder / f"{number:06d}-epoch{state['epoch']}-batch{state['batch']}.npz"
        write_snapshot(path, state, arrays)
        own = [each for each in paths if each not in self._older]
        for old in [*own, path][: -self._keep]:
            old.unlink(missing_ok=True)
        if state["epoch"]:  # what an earlier training left stays until this one has something to show
            for old in self._older:
                old.unlink(missing_ok=True)
            self._older = []

    def paths(self) -> list[Path]:
        """List the checkpoints, the newest last."""
        if not self.folder.is_dir():
            return []
        return sorted((path for path in self.folder.iterdir() if _NAME.fullmatch(path.name)), key=_number)


def check_intervals(every_batches: int | None, every_minutes: float | None, keep: int) -> None:
    """Check how often checkpoints are saved, and how many stay.

    Raises
    ------
    BadSetting
        If both intervals are given, or a number is not above 0.
    """
    if every_batches is not None and every_minutes is not None:
        raise BadSetting("every_batches and every_minutes exclude each other")
    if every_batches is not None and (
        isinstance(every_batches, bool) or every_batches != int(every_batches) or every_batches < 1
    ):
        raise BadSetting(f"every_batches must be a whole number of at least 1, not {every_batches!r}")
    if every_minutes is not None and not 0 < every_minutes < float("inf"):
        raise BadSetting(f"every_minutes must be above 0, not {every_minutes!r}")
    if isinstance(keep, bool) or not isinstance(keep, int) or keep < 1:
        raise BadSetting(f"keep must be a whole number of at least 1, not {keep!r}")


def _refuse_unless_finite(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    if name := not_finite(arrays):
        raise BadFile(f"{path} is of no use: {name} has values that are NaN or infinite")


def _number(path: Path) -> int:
    return int(path.name.partition("-")[0])
