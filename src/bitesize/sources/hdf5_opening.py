"""HDF5 files, open for reading: on the disk by HDF5 itself, at addresses through Python."""

from __future__ import annotations

import atexit
import os
import threading
import weakref
from typing import Any

from bitesize.errors import BadFile, BitesizeError, one_line
from bitesize.files.pread import Handle, check_readable, open_object
from bitesize.files.state import FileState
from bitesize.storage.url import is_url

# Slots of HDF5's table of cached chunks: a prime, as its manual recommends.
_TABLE = 101


class Hdf5File:
    """An HDF5 file, opened on first use in a process; data in other files is refused."""

    def __init__(self, path: str, state: FileState | None = None) -> None:
        self.path = path
        self._state = state or FileState.of(os.fsencode(path))
        self._open()

    def check_unchanged(self, fd: Handle | None = None) -> None:
        """Raise `FileChanged` if the file has changed: HDF5 would return zeros for missing data."""
        self._state.check(os.fsencode(self.path), fd)

    def _open(self) -> None:
        self._lock, self._pid = threading.Lock(), os.getpid()
        self._file: Any = None
        self._datasets: dict[str, Any] = {}

    def dataset(self, name: str, cache: int = 0) -> Any:
        """Return a dataset, opened with a chunk cache of ``cache`` bytes."""
        if self._pid != os.getpid():  # HDF5's state does not survive a fork
            self._open()
        with self._lock:
            dataset = self._datasets.get(name)
            if dataset is None:
                dataset = self._datasets[name] = self._opened(name, cache)
            return dataset

    def root(self) -> Any:
        """Return the open h5py file."""
        if self._pid != os.getpid():
            self._open()
        with self._lock:
            if self._file is None:
                self._file = open_hdf5(self.path)
            return self._file

    def _opened(self, name: str, cache: int) -> Any:
        import h5py

        if self._file is None:
            self._file = open_hdf5(self.path)
        access = h5py.h5p.create(h5py.h5p.DATASET_ACCESS)
        access.set_chunk_cache(_TABLE, cache, 1.0)
        try:
            return h5py.Dataset(h5py.h5d.open(self._file.id, name.encode(), access))
        except BitesizeError:
            raise
        except RAISED as error:
            raise damaged(self.path, error) from error

    def close(self) -> None:
        """Close the file; it is opened again when needed."""
        with self._lock:
            self._datasets.clear()
            if self._file is not None and self._pid == os.getpid():
                self._file.close()
            self._file = None

    def __reduce__(self) -> tuple[type[Hdf5File], tuple[str, FileState]]:
        return Hdf5File, (self.path, self._state)  # the state identifies the file, also after unpickling


class OpenDataset(Hdf5File):
    """A file with one dataset that is already open and read once."""

    def __init__(self, file: Hdf5File, stored: Any) -> None:
        self.path, self._state, self._stored = file.path, file._state, stored

    def dataset(self, name: str, cache: int = 0) -> Any:
        """Return the dataset."""
        return self._stored


def open_hdf5(path: str) -> Any:
    """Open a file for reading, even if other processes read it.

    Raises
    ------
    BadFile
        If the file is damaged, or open for writing.
    """
    import h5py

    check_readable(os.fsencode(path))  # for its error: the error of HDF5 is not helpful
    if is_url(path):
        return _open_object(path)
    for locking in _LOCKING:
        try:
            file = h5py.File(path, "r", locking=locking, rdcc_nbytes=CACHE)
        except RAISED as error:
            if "locking" in str(error) and locking != _LOCKING[-1]:
                continue
            raise damaged(path, error) from error
        if file.mode == "r":
            return file
        file.close()  # HDF5 shares it with the writer, and data not yet on disk would be missing
        raise BadFile(f"{path} is open for writing in this program: close it first")
    raise AssertionError


def _open_object(path: str) -> Any:
    """Open an object, whose structures are read in blocks."""
    import h5py

    object_file = open_object(os.fsencode(path))
    try:
        opened = h5py.File(object_file, "r", rdcc_nbytes=CACHE)
    except BitesizeError:
        raise
    except RAISED as error:
        raise damaged(path, error) from error
    if not _opened:
        atexit.register(_close_all)
    _opened.add(opened)
    return opened


_opened: weakref.WeakSet[Any] = weakref.WeakSet()


def _close_all() -> None:
    """Close all objects before the interpreter ends: HDF5 would close them after it, and crash because it calls Python for that."""
    for opened in list(_opened):
        opened.close()


# HDF5's default size of the chunk cache of a dataset.
CACHE = 1 << 20
# HDF5 opens a file twice in a program only with the same locking; without locking if it is not open yet.
_LOCKING = (False, None, True, "best-effort")
# Errors that h5py raises for damaged files.
RAISED = (OSError, RuntimeError, ValueError, KeyError, TypeError, AttributeError, UnicodeError)


def damaged(path: str, error: BaseException) -> BadFile:
    """Return the error of a file that h5py cannot read."""
    return BadFile(f"{path} cannot be read as HDF5: {one_line(error)}")
