"""A folder that all machines must see: a marker, which this process writes, and which its workers look for."""

from __future__ import annotations

import contextlib
import os
import secrets
import socket
import time
from collections.abc import Iterator
from pathlib import Path

from bitesize.errors import NotFound

_BEGIN = ".workers-"
# Seconds in which a new file appears on all machines of a network share.
_PATIENCE = 5.0


@contextlib.contextmanager
def marked(folder: Path) -> Iterator[Path]:
    """Write a marker into a folder that this process has locked, and remove it after the block; those of killed processes are removed."""
    for name in os.listdir(folder):
        if name.startswith(_BEGIN):
            (folder / name).unlink(missing_ok=True)
    marker = folder / f"{_BEGIN}{secrets.token_hex(8)}"
    marker.touch()
    try:
        yield marker
    finally:
        marker.unlink(missing_ok=True)


def check_marked(marker: Path, patience: float = _PATIENCE) -> None:
    """Raise unless this process sees the marker.

    Parameters
    ----------
    marker
        Path that `marked` has yielded.
    patience
        Seconds to wait for it.

    Raises
    ------
    NotFound
        If it does not: the folder is another one on this machine, or the process that wrote the marker has ended.
    """
    deadline = time.monotonic() + patience
    while not _is_there(marker):
        if time.monotonic() > deadline:
            raise NotFound(
                f"the worker on {socket.gethostname()} does not see the folder {marker.parent} of the store: choose a folder that all "
                "machines share, or an address such as s3://bucket/packed"
            )
        time.sleep(0.1)


def _is_there(marker: Path) -> bool:
    try:
        return marker.name in os.listdir(marker.parent)  # a new listing: network shares cache whether a single file exists
    except OSError:
        return False
