"""Folder of checkpoints: written in the background, numbered; the last ones are kept, the newest intact one is read."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from bitesize.checks import is_whole
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
        Folder, created with the first checkpoint.
    keep
        Number of checkpoints to keep.

    Raises
    ------
    BadSetting
        If ``keep`` is not a whole number above 0.
    """

    def __init__(self, folder: Path, keep: int) -> None:
        if not is_whole(keep, least=1):
            raise BadSetting(f"keep must be a whole number of at least 1, not {keep!r}")
        self.folder, self._keep = folder, keep
        self._writer: ThreadPoolExecutor | None = None
        self._writing: Future[None] | None = None
        self._warned = False
        self._older: list[Path] = []  # checkpoints of an earlier training, which this training replaces

    def put(self, state: dict[str, Any], arrays: Mapping[str, NDArray[Any]]) -> None:
        """Save in the background, after the previous save has finished. ``state`` has ``epoch`` and ``batch``."""
        self.wait()
        if self._writer is None:
            self._writer = ThreadPoolExecutor(1, "bitesize-checkpoint")
        self._writing = self._writer.submit(self._write, state, arrays)

    @property
    def writes(self) -> bool:
        """Return whether a save is running, or has finished without a wait for it."""
        return self._writing is not None

    def wait(self) -> None:
        """Wait for the running save; log one warning if the disk is full."""
        if self._writing is None:
            return
        writing, self._writing = self._writing, None
        try:
            writing.result()
        except OSError as error:
            if not self._warned:
                self._warned = True
                last = (
                    f"the last good checkpoint is {self.newest_path}" if self.newest_path else "there is no checkpoint yet"
                )
                warnings.warn(f"a checkpoint could not be saved: {error}. Training continues; {last}", stacklevel=4)

    def close(self) -> None:
        """Wait for the running save, and end the thread."""
        self.wait()
        if self._writer is not None:
            self._writer.shutdown()
            self._writer = None

    def replace_existing(self, replaces: bool) -> None:
        """Set whether the existing checkpoints are of an earlier training, to remove after this training's first epoch."""
        self._older = self.paths() if replaces else []

    @property
    def newest_path(self) -> Path | None:
        """Path of the newest checkpoint."""
        paths = self.paths()
        return paths[-1] if paths else None

    def newest(self) -> Snapshot | None:
        """Read the newest intact checkpoint; return None if there is none.

        Raises
        ------
        BadFile
            If there are checkpoints, but none is intact. A warning is logged for each damaged checkpoint that is skipped.
        """
        damaged: list[str] = []
        for path in reversed(self.paths()):
            try:
                snapshot = read_snapshot(path)
                _refuse_unless_finite(path, snapshot[1])
            except BadFile as error:
                damaged.append(str(error))
                continue
            if damaged:
                warnings.warn(f"{'; '.join(damaged)}. Continuing from {path}", stacklevel=4)
            return snapshot
        if damaged:
            raise BadFile(f"no checkpoint in {self.folder} is intact: {'; '.join(damaged)}")
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
        if state["epoch"]:  # checkpoints of an earlier training stay until this training has finished an epoch
            for old in self._older:
                old.unlink(missing_ok=True)
            self._older = []

    def paths(self) -> list[Path]:
        """List the checkpoints, the newest last."""
        if not self.folder.is_dir():
            return []
        return sorted((path for path in self.folder.iterdir() if _NAME.fullmatch(path.name)), key=_number)


def _refuse_unless_finite(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    if name := not_finite(arrays):
        raise BadFile(f"{path} cannot be used: {name} has values that are NaN or infinite")


def _number(path: Path) -> int:
    return int(path.name.partition("-")[0])
