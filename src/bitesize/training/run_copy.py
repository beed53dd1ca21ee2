"""Copies of runs at addresses: which files of a run are copied, in which order, and what is known of those that were."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

from bitesize.errors import FileChanged, NotFound
from bitesize.files.atomic import write_json
from bitesize.files.transfer import download, objects_below
from bitesize.storage.base import Entry
from bitesize.storage.url import split_url
from bitesize.training.run_log.file import LOG
from bitesize.training.run_log.writer import TENSORBOARD

CONFIG, SUMMARY, FOLDS = "config.json", "summary.json", "folds.json"
# Files of a run other than its checkpoints and its log; all are removed when another run replaces it.
RECORDS = (
    CONFIG, SUMMARY, "classes.json", "history.csv", "bad_rows.csv", "split.csv", "split.npz", "model.keras", "model.skops",
    "evaluation.json", "report.html",
)  # fmt: skip
_CHECKPOINT = re.compile(r"checkpoints/\d{6,}-epoch(\d+)-batch\d+\.npz")
_TRIES = 5  # for a run that is replaced while it is copied
_UNUSED = 3600.0  # seconds after which a copy of an older state is removed: a program may still read it


def is_of_run(name: str) -> bool:
    """Return whether a name, relative to the folder of a run, is one of its files."""
    return name in (*RECORDS, FOLDS) or grows(name) or is_checkpoint(name)


def grows(name: str) -> bool:
    """Return whether a file of a run is written line by line: its log, and that of TensorBoard."""
    return name == LOG or name.startswith(f"{TENSORBOARD}/events.out.")


def is_checkpoint(name: str) -> bool:
    """Return whether a name, relative to the folder of a run, is a checkpoint."""
    return _CHECKPOINT.fullmatch(name) is not None


def order(name: str) -> tuple[int, str]:
    """Return the place of a file in the order of copying, which is that of writing.

    Checkpoints of the first epoch need no other file. Those of later epochs follow the model and the history of the epoch before, and
    the settings follow the files that they describe.
    """
    if (match := _CHECKPOINT.fullmatch(name)) is not None:
        return (3 if int(match[1]) else 0), name
    return {CONFIG: 2, SUMMARY: 4, FOLDS: 5}.get(name, 1), name


def run_objects(address: str) -> dict[str, Entry]:
    """Return the files of a run that are at an address now."""
    return {name: entry for name, entry in objects_below(address).items() if is_of_run(name)}


def run_files(folder: Path) -> dict[str, Copied]:
    """Return the files of a run that are in a folder now."""
    found = {}
    for below in ("", "checkpoints", TENSORBOARD):
        with contextlib.suppress(FileNotFoundError), os.scandir(folder / below) as entries:
            for entry in entries:
                name = f"{below}/{entry.name}" if below else entry.name
                if is_of_run(name):
                    with contextlib.suppress(FileNotFoundError):  # an old checkpoint, which is just being removed
                        found[name] = Copied.of(folder / name)
    return found


class Copied(NamedTuple):
    """A file of a working copy.

    Attributes
    ----------
    size, time : int
        Size of the file, and its last modification in nanoseconds.
    version : str
        Version of the object with the same content; empty if unknown.
    changed : int
        Time of the object.
    """

    size: int
    time: int
    version: str = ""
    changed: int = 0

    @classmethod
    def of(cls, path: Path, entry: Entry | None = None) -> Copied:
        """Return the state of a file, and of the object that has its content."""
        status = path.stat()
        return cls(status.st_size, status.st_mtime_ns, *(("", 0) if entry is None else (entry.version, entry.time)))

    @property
    def entry(self) -> Entry:
        """The object."""
        return Entry("", self.size, self.version, self.changed)

    def is_file(self, file: Copied | None) -> bool:
        """Return whether a file has not changed since."""
        return file is not None and (self.size, self.time) == (file.size, file.time)


@dataclass
class Record:
    """Record of what was copied between a working copy and its address, kept beside the copy.

    Attributes
    ----------
    path : Path
        File of the record.
    address : str
    files : dict of str to Copied
        Files that are the same in both places, by name.
    doing : str
        Name of the file that is being written or removed at the address; empty if none.
    run : str
        Identity of the run whose settings are at the address.
    """

    path: Path
    address: str
    files: dict[str, Copied] = field(default_factory=dict)
    doing: str = ""
    run: str = ""

    @classmethod
    def read(cls, path: Path, address: str) -> Record:
        """Read a record. If there is none, or it is damaged, nothing is known."""
        try:
            value = json.loads(path.read_text(encoding="utf-8"))
            files = {str(name): Copied(*each) for name, each in value["files"].items()}
            return cls(path, address, files, str(value["doing"]), str(value["run"]))
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return cls(path, address)

    def write(self) -> None:
        """Write the record."""
        write_json(self.path, {"address": self.address, "doing": self.doing, "run": self.run, "files": self.files})


def working_folder() -> Path:
    """Return the folder with the copies of runs at addresses, among the user's folders for caches."""
    from platformdirs import user_cache_path

    return user_cache_path("bitesize") / "runs"


def folder_of_copies(address: str) -> Path:
    """Return the folder with the copies of one run."""
    return working_folder() / sha256(address.encode()).hexdigest()[:24]


def normalized(address: str) -> str:
    """Return the address of a run without slashes at its end."""
    url = split_url(address)
    return f"{url.root}/{url.key.strip('/')}".rstrip("/") if url.key.strip("/") else url.root


def run_id(folder: Path) -> str:
    """Return the identity of the run whose settings are in a folder; empty if there is none."""
    try:
        return str(json.loads((folder / CONFIG).read_text(encoding="utf-8")).get("run", ""))
    except (OSError, ValueError, AttributeError):
        return ""


def fetch_run(address: str) -> Path:
    """Copy a run, without its checkpoints and other folders, into a folder that never changes, and return the folder.

    Copies are named by the versions of their files, so that a run that is trained meanwhile does not change one that is in use.

    Raises
    ------
    NotFound
        If there is no run at the address.
    FileChanged
        If another run replaces it again and again while it is copied.
    """
    address = normalized(address)
    for _ in range(_TRIES):
        there = {name: entry for name, entry in run_objects(address).items() if "/" not in name}
        if CONFIG not in there:
            raise NotFound(f"{address} is not the folder of a finished run: it has no {CONFIG}")
        states = sorted((name, entry.size, entry.version, entry.time) for name, entry in there.items())
        folder = folder_of_copies(address) / f"read-{sha256(repr(states).encode()).hexdigest()[:16]}"
        if folder.is_dir() and all((folder / name).is_file() for name in there):
            os.utime(folder)
            return folder
        try:
            return _fetched(address, there, folder)
        except FileChanged:
            continue
    raise FileChanged(f"{address} changes while it is copied: another program writes there")


def _fetched(address: str, there: Mapping[str, Entry], folder: Path) -> Path:
    """Copy files into a new folder, which gets its name when all are there."""
    import tempfile

    folder.parent.mkdir(parents=True, exist_ok=True)
    _remove_unused(folder.parent)
    partial = Path(tempfile.mkdtemp(prefix="partial-", dir=folder.parent))
    try:
        for name in sorted(there):
            download(f"{address}/{name}", there[name], partial / name)
        # The settings, which name the run, are removed first and written last when another run replaces it.
        if run_objects(address).get(CONFIG) != there[CONFIG]:
            raise FileChanged(f"{address} was replaced while it was copied")
        if folder.is_dir():  # files were removed from it
            shutil.rmtree(folder)
        with contextlib.suppress(OSError):  # another process was faster
            os.rename(partial, folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    if not folder.is_dir():
        raise FileChanged(f"{folder} could not be made")
    return folder


def _remove_unused(folder: Path) -> None:
    """Remove copies of older states that were not used for an hour."""
    for path in _old(folder.iterdir()):
        shutil.rmtree(path, ignore_errors=True)


def _old(paths: Iterable[Path]) -> list[Path]:
    found = []
    for path in paths:
        with contextlib.suppress(FileNotFoundError):
            if path.name.startswith(("read-", "partial-")) and time.time() - path.stat().st_mtime > _UNUSED:
                found.append(path)
    return found
