"""A run at an address: training writes into a working copy on the disk, whose files are copied to the address in the background.

At any moment, the address has a run that can be resumed, if the process or the machine dies then:

- Files are copied in the order in which training writes them, see `order`: a checkpoint after the model and the history of the epochs
  that it has seen, settings after what they describe, ``summary.json`` last.
- Before files of another run replace those at the address, its ``config.json`` and its checkpoints are removed there, so that no model
  has the settings of another run.
- Old checkpoints of the same run are removed last.

A record beside the working copy has the versions of what was copied. A start compares it with the address: if nobody else has
written there, what a killed process had not copied yet is copied; otherwise, the files at the address replace the working copy.
"""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from bitesize.errors import BitesizeError, FileChanged, first_few
from bitesize.files.atomic import watch
from bitesize.files.transfer import download, remove, same, upload
from bitesize.storage.base import Entry
from bitesize.storage.stores import storage_of
from bitesize.storage.url import split_url
from bitesize.training.run_copy import (
    CONFIG,
    SUMMARY,
    Copied,
    Record,
    folder_of_copies,
    grows,
    is_checkpoint,
    normalized,
    order,
    run_files,
    run_id,
    run_objects,
)

_log = logging.getLogger("bitesize")
PAUSE = 5.0  # seconds between copying and copying again: requests cost money, and epochs may be short
_PROBE = ".bitesize-can-write"


class Step(NamedTuple):
    """A file to write at the address or, without ``state``, to remove there.

    Attributes
    ----------
    name : str
        Name of the file.
    state : Copied or None
        State of the file in the working copy.
    """

    name: str
    state: Copied | None = None


class RunMirror:
    """Working copy of a run at an address, for one process that trains there.

    Parameters
    ----------
    address
        Folder of the run, such as ``s3://bucket/runs/first``.

    Attributes
    ----------
    address : str
        The same, without slashes at its end.
    folder : Path
        The working copy. The caller locks it before any other method is called.
    changing : threading.RLock
        Held while files are written that belong together: nothing is copied meanwhile.
    """

    def __init__(self, address: str) -> None:
        self.address = normalized(address)
        top = folder_of_copies(self.address)
        self.folder = top / "run"
        self._outbox, self._path = top / "outbox", top / "copied.json"
        self.changing = threading.RLock()
        self._copying = threading.Lock()
        self._wake, self._ended = threading.Event(), threading.Event()
        self._thread: threading.Thread | None = None
        self._unwatch: Callable[[], None] = lambda: None
        self._warned, self._finished, self._whole = False, False, False

    # --- at the start ------------------------------------------------------------------------------------------------

    def pull(self) -> None:
        """Make the working copy the newest state of the run: that at the address, or what a killed process had not copied yet.

        Raises
        ------
        BitesizeError
            If the address cannot be read or written.
        """
        url = split_url(f"{self.address}/{_PROBE}")
        storage_of(self.address).write(url.key, [b""])
        remove(f"{self.address}/{_PROBE}")
        record, there, here = Record.read(self._path, self.address), run_objects(self.address), run_files(self.folder)
        changed = foreign(record, there)
        if not changed:
            self._restore(record, there, here)
            return
        mine = sorted(
            name for name, file in here.items() if name not in record.files or not record.files[name].is_file(file)
        )
        if mine and record.files:
            _log.warning(
                "%s was changed by another program since this machine trained there (%s): %s in the working copy, which had not been "
                "copied, is dropped",
                self.address,
                first_few(changed, 3),
                first_few(mine, 3),
            )
        self._replace(record, there, here)

    def _replace(self, record: Record, there: Mapping[str, Entry], here: Mapping[str, Copied]) -> None:
        """Replace the working copy by what is at the address."""
        kept = {
            name: known
            for name, known in record.files.items()
            if name in there and same(known.entry, there[name]) and known.is_file(here.get(name))
        }
        # What is not in the record is foreign: a process that is killed now starts again here.
        record.files, record.doing, record.run = kept, "", ""
        record.write()
        for name in here.keys() - kept.keys():
            (self.folder / name).unlink(missing_ok=True)
        for name in sorted(there.keys() - kept.keys(), key=order):
            self._download(record, name, there[name])
        now = run_objects(self.address)
        if foreign(record, now):
            raise FileChanged(
                f"{self.address} was changed while it was copied: another program trains there. Wait until it ends, or use another --out"
            )
        record.run = run_id(self.folder)
        record.write()

    def _restore(self, record: Record, there: Mapping[str, Entry], here: Mapping[str, Copied]) -> None:
        """Copy what was removed from the working copy, as a folder for caches may be cleaned; but nothing that training has removed."""
        ahead = any(name not in record.files or not record.files[name].is_file(file) for name, file in here.items())
        newest = max(filter(is_checkpoint, here), default=None)
        for name in sorted(there.keys() - here.keys() - {record.doing}, key=order):
            if not ahead or (is_checkpoint(name) and newest is not None and name > newest):
                self._download(record, name, there[name])

    def _download(self, record: Record, name: str, entry: Entry) -> None:
        download(f"{self.address}/{name}", entry, self.folder / name)
        record.files[name] = Copied.of(self.folder / name, entry)
        record.write()

    # --- in the background -------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Copy files from now on, as they are completed, in a thread."""
        self._unwatch = watch(self.folder, self._wake.set)
        self._wake.set()
        self._thread = threading.Thread(target=self._run, name="bitesize-upload", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while True:
            self._wake.wait()
            self._wake.clear()
            if self._ended.is_set():
                return
            try:
                self.push()
            except (BitesizeError, OSError) as error:
                if not self._warned:
                    self._warned = True
                    _log.warning(
                        "files could not be copied to %s: %s. Training continues, and copies them with the next files",
                        self.address,
                        error,
                    )
            self._ended.wait(PAUSE)

    def finish(self) -> None:
        """End the thread, and copy what is left. Then all files are at the address. A second call does nothing.

        Raises
        ------
        BitesizeError, OSError
            If one cannot be copied. It stays in the working copy, and the next start copies it.
        """
        self._end()
        if self._finished:
            return
        self._finished = True
        try:
            self.push()
        except (BitesizeError, OSError) as error:
            raise type(error)(
                f"{error}. Files that are not at {self.address} yet are in {self.folder}: bitesize train --resume --out {self.address} "
                "copies them"
            ) from error
        self._whole = True

    def close(self) -> None:
        """Be `finish`, with a warning in place of an error; for a training that has failed."""
        try:
            self.finish()
        except (BitesizeError, OSError) as error:
            _log.warning("%s", error)

    def discard(self) -> None:
        """Empty the working copy if all of it is at the address, after `finish` and before it is unlocked."""
        if self._whole:
            for name in run_files(self.folder):
                (self.folder / name).unlink(missing_ok=True)
            self._path.unlink(missing_ok=True)

    def _end(self) -> None:
        self._unwatch()
        self._ended.set()
        self._wake.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    # --- copying -----------------------------------------------------------------------------------------------------

    def push(self) -> None:
        """Make the address equal to the working copy.

        Raises
        ------
        FileChanged
            If another program has written there.
        NoPermission, RequestFailed
            If a file cannot be written. What was copied before is a run that can be resumed.
        """
        with self._copying:
            record, there = Record.read(self._path, self.address), run_objects(self.address)
            changed = foreign(record, there)
            if changed:
                raise FileChanged(
                    f"{self.address} was changed by another program ({first_few(changed, 3)}), which must not train there at the same time"
                )
            _settle(record, there)
            shutil.rmtree(self._outbox, ignore_errors=True)  # of a killed process
            try:
                with self.changing:
                    steps, run = self._steps(record), run_id(self.folder)
                for name, state in steps:
                    if state is None:
                        self._remove(record, name)
                    else:
                        record.run = run if name == CONFIG else record.run
                        self._write(record, name, state)
            finally:
                shutil.rmtree(self._outbox, ignore_errors=True)

    def _steps(self, record: Record) -> list[Step]:
        """Return what is to be done, with files to write in the outbox, so that training may replace them meanwhile."""
        here, run = run_files(self.folder), run_id(self.folder)
        due = [name for name, file in here.items() if name not in record.files or not record.files[name].is_file(file)]
        gone = sorted(record.files.keys() - here.keys(), key=order, reverse=True)
        outdated: list[str] = []
        if CONFIG in record.files and record.run != run:
            # Another run, or the beginning of its files: from here on, the address has no settings until all of its files are there.
            outdated = [CONFIG, *(name for name in (SUMMARY, *gone) if name in record.files and name != CONFIG)]
            due += [name for name in (CONFIG, SUMMARY) if name in here and name not in due]
        taken = [Step(name, state) for name in sorted(due, key=order) if (state := self._take(name)) is not None]
        first = [step for step in taken if order(step.name)[0] == 0]
        return [
            *first,
            *map(Step, dict.fromkeys(outdated)),
            *taken[len(first) :],
            *(Step(name) for name in gone if name not in outdated),
        ]

    def _take(self, name: str) -> Copied | None:
        """Put a file into the outbox, and return its state; None if it was removed."""
        target = self._outbox / name
        target.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            (shutil.copy2 if grows(name) else _link)(self.folder / name, target)
            return Copied.of(target)
        return None

    def _write(self, record: Record, name: str, state: Copied) -> None:
        record.doing = name
        record.write()
        entry = upload(self._outbox / name, f"{self.address}/{name}")
        record.files[name] = Copied(state.size, state.time, entry.version, entry.time)
        record.doing = ""
        record.write()

    def _remove(self, record: Record, name: str) -> None:
        record.doing = name
        record.write()
        remove(f"{self.address}/{name}")
        record.files.pop(name, None)
        record.doing = ""
        record.write()


def foreign(record: Record, there: Mapping[str, Entry]) -> list[str]:
    """Return the names of files at an address that another program has written or removed."""
    names = (there.keys() | record.files.keys()) - {record.doing}
    return sorted(
        name
        for name in names
        if name not in there or name not in record.files or not same(record.files[name].entry, there[name])
    )


def _settle(record: Record, there: Mapping[str, Entry]) -> None:
    """Enter what has become of a file whose writing or removal was interrupted: if it is there, it is written or removed again."""
    if record.doing in there:
        entry = there[record.doing]
        record.files[record.doing] = Copied(entry.size, -1, entry.version, entry.time)
    else:
        record.files.pop(record.doing, None)
    record.doing = ""


def _link(path: Path, target: Path) -> None:
    """Link a file under another name, so that the content stays when the file is replaced; where that is not possible, copy it.

    Windows does not let a file be replaced while it is read by any of its names.
    """
    if sys.platform != "win32":
        try:
            os.link(path, target)
        except FileNotFoundError:
            raise
        except OSError:  # the file system has no links
            pass
        else:
            return
    shutil.copy2(path, target)
