"""Run folder: the model and everything needed to use it, or to repeat the run."""

from __future__ import annotations

import contextlib
import csv
import json
import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bitesize.errors import BadFile, BadSetting, NotFound
from bitesize.files.atomic import remove_leftovers, replacing, write_json
from bitesize.storage.locking import NAME as LOCK_NAME
from bitesize.storage.locking import FolderLock
from bitesize.storage.url import is_url
from bitesize.training import standardize as _standardize  # noqa: F401 - registers it for from_dict
from bitesize.training.record import Split
from bitesize.training.run_copy import RECORDS, fetch_run
from bitesize.training.run_log.file import LOG, NEXT_LOG, adopt_log
from bitesize.training.run_log.writer import TENSORBOARD, WANDB
from bitesize.training.run_mirror import RunMirror
from bitesize.transforms.base import Transform, from_dict

# 2: versions, machine, command, split and sessions. Folders of schema 1 can be opened, too: their contents are unchanged.
SCHEMA = 2
_READ = (1, 2)


@dataclass(frozen=True)
class RunFolder:
    """Files of a training run.

    ``model.keras`` or ``model.skops`` (the model after its last finished epoch), ``config.json`` (settings, transforms, versions,
    machine), ``classes.json`` (names by class number), ``split.csv`` or ``split.npz`` (rows of training and validation), ``history.csv``
    (one line per epoch), ``log.jsonl`` (what has happened when), ``summary.json`` (rate, memory, time) and, if rows were skipped, ``bad_rows.csv``; and the folder
    ``checkpoints``, from which an interrupted run is resumed.

    Parameters
    ----------
    path
        Path of the folder.
    lock
        Lock held while this process trains in the folder.
    made
        Folders that were created for it, the outermost last.
    address
        Address of a run that is not on the disk; `path` is a copy then. Empty for others.
    mirror
        What copies files to the address while this process trains.
    """

    path: Path
    lock: FolderLock | None = field(default=None, compare=False)
    made: tuple[Path, ...] = field(default=(), compare=False)
    address: str = ""
    mirror: RunMirror | None = field(default=None, compare=False)

    @property
    def shown(self) -> str:
        """Folder or address, for messages and commands."""
        return self.address or str(self.path)

    def shown_checkpoint(self, name: str) -> str:
        """Return the path or address of a checkpoint, for messages."""
        return f"{self.address}/checkpoints/{name}" if self.address else str(self.checkpoints / name)

    @property
    def saved(self) -> Path:
        """Path of the model: of scikit-learn or, by default, of Keras."""
        skops, keras = self.path / "model.skops", self.path / "model.keras"
        if skops.is_file() and keras.is_file():  # a run was killed while it replaced another one: its settings decide
            return skops if "sklearn" in self._json("config.json") else keras
        return skops if skops.is_file() else keras

    @property
    def whole(self) -> bool:
        """Return whether the folder has a model and everything needed to use it."""
        return all((self.path / name).is_file() for name in self._needed)

    @property
    def _needed(self) -> tuple[str, ...]:
        return "config.json", "classes.json", self.saved.name

    @property
    def checkpoints(self) -> Path:
        """Folder of the checkpoints."""
        return self.path / "checkpoints"

    @classmethod
    def create(cls, path: str | os.PathLike[str]) -> RunFolder:
        """Create the folder if it does not exist, and lock it; an earlier run in it stays intact until `begin`.

        At an address, a working copy is made and locked; other machines cannot be locked out.

        Raises
        ------
        BadFile, BadSetting
            If the folder cannot be created, or another process trains in it.
        """
        if is_url(os.fspath(path)):
            return _at_address(cls, os.fspath(path))
        folder = Path(path)
        missing = tuple(each for each in (folder, *folder.parents) if not each.exists())
        lock = _made(folder)
        if lock is None:
            raise BadSetting(f"another process is training in {folder}: wait until it ends, or use another --out")
        return cls(folder, lock, missing).cleared()

    def cleared(self) -> RunFolder:
        """Remove the temporary files of processes that were killed; for a folder that this process has locked."""
        for folder in (self.path, self.checkpoints):
            remove_leftovers(folder)
        return self

    def release(self) -> None:
        """Unlock the folder; remove it if it was created for a run that saved nothing, or if all of it is at its address."""
        if self.lock is None:
            return
        if self.mirror is not None:
            self.mirror.close()
            self.mirror.discard()
        self.lock.release()
        for each in self.made:
            if each.is_dir() and has_nothing(each):
                shutil.rmtree(each, ignore_errors=True)

    def finish(self, *, raises: bool = True) -> None:
        """Wait until all files are at the address, for a run at an address.

        Raises
        ------
        BitesizeError, OSError
            If one cannot be copied; without ``raises``, that is a warning.
        """
        if self.mirror is not None:
            (self.mirror.finish if raises else self.mirror.close)()

    def begin(
        self,
        model: Any,
        config: dict[str, Any],
        classes: tuple[str, ...],
        *,
        split: Split | None = None,
        keeps_checkpoints: bool = False,
    ) -> None:
        """Replace an earlier run by a new run's first model; remove the earlier checkpoints, too.

        If the process ends in between, the folder never has a model with the settings of another run.
        """
        again = self.whole and "run" in config and self._json("config.json").get("run") == config["run"]
        with contextlib.nullcontext() if self.mirror is None else self.mirror.changing:
            with replacing(self.path / _name_of(model)) as temporary:
                _write_model(model, temporary)
                if not keeps_checkpoints:
                    shutil.rmtree(self.checkpoints, ignore_errors=True)
                for name in (
                    () if again else RECORDS
                ):  # files of this run stay: it was killed after its first epoch, and resumed
                    (self.path / name).unlink(missing_ok=True)
                adopt_log(self.path, config.get("run"))
            if split is not None:
                split.write(self.path)
            self.write_config(config, classes)

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> RunFolder:
        """Open the folder of a run with a model.

        Raises
        ------
        NotFound
            If the folder does not exist or has no model yet.
        """
        text = os.fspath(path)
        folder = cls(fetch_run(text), address=text) if is_url(text) else cls(Path(path))
        if not folder.path.exists():
            raise NotFound(f"{folder.shown} does not exist")
        missing = [name for name in folder._needed if not (folder.path / name).is_file()]
        if missing and any(folder.checkpoints.glob("*.npz")):
            raise NotFound(
                f"{folder.shown} was interrupted before its first epoch ended: repeat its command, or: "
                f"bitesize train --resume --out {folder.shown}"
            )
        if missing:
            raise NotFound(f"{folder.shown} is not the folder of a finished run: it has no {missing[0]}")
        return folder

    def write_config(self, config: dict[str, Any], classes: tuple[str, ...]) -> None:
        """Write the settings and choices before training; ``config.json`` last, because it makes the folder a run folder."""
        write_json(self.path / "classes.json", list(classes))
        write_json(self.path / "config.json", {"schema": SCHEMA, **config})

    def config(self) -> dict[str, Any]:
        """Read ``config.json``.

        Raises
        ------
        BadFile
            If the file is invalid.
        """
        config = self._json("config.json")
        if not isinstance(config, dict) or config.get("schema") not in _READ:
            raise BadFile(
                f"{self.path / 'config.json'} does not have schema {SCHEMA}: it was written by another version of bitesize"
            )
        return config

    def classes(self) -> tuple[str, ...]:
        """Read ``classes.json``."""
        return tuple(self._json("classes.json"))

    def transforms(self) -> list[Transform]:
        """Return the transforms for evaluation and prediction."""
        return [from_dict(settings) for settings in self.config()["transforms"]]

    def save_model(self, model: Any) -> None:
        """Save the model atomically: a Keras model with Keras, a scikit-learn estimator with skops, which runs no code when loading."""
        with replacing(self.path / _name_of(model)) as temporary:
            _write_model(model, temporary)

    def write_history(self, epochs: list[dict[str, Any]]) -> None:
        """Write ``history.csv``: one line per epoch."""
        if epochs:
            self._csv("history.csv", list(epochs[0]), [list(epoch.values()) for epoch in epochs])

    def write_bad(self, rows: list[tuple[Any, ...]]) -> None:
        """Write ``bad_rows.csv``: data, row, path, reason."""
        if rows:
            # With a byte order mark, so that Excel reads UTF-8: paths may be in any script.
            self._csv("bad_rows.csv", ["data", "row", "path", "reason"], [list(row) for row in rows], "utf-8-sig")

    def write_summary(self, result: dict[str, Any]) -> None:
        """Write ``summary.json``: the figures of a finished run."""
        write_json(self.path / "summary.json", result)

    def _csv(self, name: str, header: list[str], rows: list[list[Any]], encoding: str = "utf-8") -> None:
        with replacing(self.path / name) as temporary, temporary.open("w", encoding=encoding, newline="") as file:
            writer = csv.writer(file)
            writer.writerow(header)
            writer.writerows(rows)

    def _json(self, name: str) -> Any:
        path = self.path / name
        try:
            return json.loads(path.read_text(encoding="utf-8"))
        except (ValueError, OSError) as error:
            raise BadFile(f"{path} cannot be read: {error}") from error


def _at_address(kind: type[RunFolder], address: str) -> RunFolder:
    """Return the working copy of a run at an address, locked and up to date."""
    mirror = RunMirror(address)
    lock = _made(mirror.folder)
    if lock is None:
        raise BadSetting(
            f"another process of this machine is training in {address}: wait until it ends, or use another --out"
        )
    try:
        run = kind(mirror.folder, lock, (), mirror.address, mirror).cleared()
        mirror.pull()
        mirror.start()
    except BaseException:
        lock.release()
        raise
    return run


def has_nothing(folder: Path) -> bool:
    """Return whether a run has saved nothing in a folder: no more than its log."""
    return all(entry.name in (LOCK_NAME, LOG, NEXT_LOG, TENSORBOARD, WANDB) for entry in folder.iterdir())


def _made(folder: Path) -> FolderLock | None:
    """Create a folder if it does not exist, and lock it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return FolderLock.take(folder)
    except (FileExistsError, NotADirectoryError) as error:
        raise BadFile(f"{folder} is a file: --out needs a folder") from error
    except OSError as error:
        raise BadSetting(f"the folder {folder} cannot be written to: {error.strerror}") from error


def _name_of(model: Any) -> str:
    return "model.keras" if hasattr(model, "save") else "model.skops"


def _write_model(model: Any, path: Path) -> None:
    if hasattr(model, "save"):
        model.save(path)
    else:
        import skops.io

        skops.io.dump(model, path)
