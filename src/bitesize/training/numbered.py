"""Numbered runs: ``runs/1``, ``runs/2`` and so on; ``runs/latest`` is the newest run."""

from __future__ import annotations

import logging
import os
from pathlib import Path

from bitesize.errors import BadFile, BadSetting, NotFound
from bitesize.storage.locking import FolderLock
from bitesize.storage.url import is_url
from bitesize.training.run import RunFolder, has_nothing

# Default folder of runs.
ROOT = Path("runs")
LATEST = "latest"
_log = logging.getLogger("bitesize")


def numbered(root: str | os.PathLike[str]) -> list[Path]:
    """List the numbered runs in a folder, the newest last.

    Examples
    --------
    >>> import tempfile
    >>> root = Path(tempfile.mkdtemp())
    >>> for name in ("10", "9", "first"):
    ...     (root / name).mkdir()
    >>> [path.name for path in numbered(root)]
    ['9', '10']
    """
    folder = Path(root)
    if not folder.is_dir():
        return []
    found = [path for path in folder.iterdir() if path.name.isascii() and path.name.isdecimal() and path.is_dir()]
    return sorted(found, key=lambda path: int(path.name))


def create_numbered(root: str | os.PathLike[str]) -> RunFolder:
    """Create and lock the folder of the next number; processes that start at the same time get different numbers.

    The newest folder is used if it is empty.

    Raises
    ------
    BadFile, BadSetting
        As `RunFolder.create`.
    """
    while True:
        before = numbered(root)
        if before and (lock := _locked_empty(before[-1])) is not None:
            return RunFolder(before[-1], lock)  # left by a run that was killed before it saved anything
        path = Path(root) / str(int(before[-1].name) + 1 if before else 1)
        missing = tuple(each for each in path.parents if not each.exists())
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.mkdir()
        except FileExistsError:
            if path.parent.is_dir():
                continue  # another process was first
            raise BadFile(f"{path.parent} is a file, but must be a folder for runs: use --out") from None
        except OSError as error:
            raise BadSetting(f"the folder {path} cannot be created: {error.strerror}; use another --out") from error
        if (lock := _locked_empty(path)) is not None:
            return RunFolder(path, lock, (path, *missing))


def _locked_empty(folder: Path) -> FolderLock | None:
    """Lock an empty folder; return None if it is not empty, or if another process has locked it."""
    if not has_nothing(folder):
        return None
    lock = FolderLock.take(folder)
    if lock is not None and not has_nothing(folder):
        lock.release()  # another process was first, and has ended
        return None
    return lock


def find_run(path: str | os.PathLike[str]) -> Path:
    """Return the folder of a run: the path itself or, for ``runs/latest``, the newest numbered run with a model.

    Parameters
    ----------
    path
        A folder. Its name may be ``latest`` if its parent has numbered runs; an existing folder with that name is used itself.

    Returns
    -------
    Path
        The folder. It differs from ``path`` only for ``latest``; then it is also logged.

    Raises
    ------
    NotFound
        If no numbered run has a model.

    Examples
    --------
    >>> find_run("runs/first").as_posix()
    'runs/first'
    """
    folder = Path(path)
    if not names_latest(folder):
        return folder
    runs = numbered(folder.parent)
    for run in reversed(runs):
        if RunFolder(run).whole:
            later = [each.name for each in runs if int(each.name) > int(run.name)]
            without = f" ({', '.join(later)} {'has' if len(later) == 1 else 'have'} no model)" if later else ""
            _log.info("%s is %s%s", folder, run, without)
            return run
    raise NotFound(f"none of the {len(runs)} numbered runs in {folder.parent} has a model yet")


def names_latest(path: str | os.PathLike[str]) -> bool:
    """Return whether a path means the newest numbered run: it does not exist, and its parent has numbered runs."""
    if is_url(os.fspath(path)):
        return False
    folder = Path(path)
    return folder.name == LATEST and not folder.exists() and bool(numbered(folder.parent))
