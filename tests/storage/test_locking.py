"""A lock on a folder is one process's, and goes with it."""

import signal
import subprocess
import sys

import pytest

from bitesize.storage.locking import FolderLock

HOLD = """
import sys, time
from bitesize.storage.locking import FolderLock
lock = FolderLock.take(sys.argv[1])
print(lock is not None, flush=True)
time.sleep(60)
"""


def test_a_lock_is_held_by_one(tmp_path):
    lock = FolderLock.take(tmp_path)
    assert FolderLock.take(tmp_path) is None
    lock.release()
    lock.release()
    again = FolderLock.take(tmp_path)
    assert again is not None
    again.release()
    if sys.platform != "win32":
        assert not list(tmp_path.iterdir())


def test_a_killed_process_holds_nothing(tmp_path):
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline().strip() == "True"
    assert FolderLock.take(tmp_path) is None
    process.send_signal(signal.SIGTERM if sys.platform == "win32" else signal.SIGKILL)
    process.communicate()
    lock = FolderLock.take(tmp_path)
    assert lock is not None
    lock.release()


def test_a_folder_that_does_not_exist_has_no_lock(tmp_path):
    with pytest.raises(FileNotFoundError):
        FolderLock.take(tmp_path / "nothing")
