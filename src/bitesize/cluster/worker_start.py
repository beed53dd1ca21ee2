"""Start of a process of Ray: check its version, and take the storages and the share of its machine."""

from __future__ import annotations

import contextlib
import os
import socket
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from bitesize._version import __version__
from bitesize.errors import BadSetting
from bitesize.memory.limits import processor_share
from bitesize.storage.stores import configure, configured

# Variables of the program that started the workers, which decide what they do.
_PASSED_ON = ("KERAS_BACKEND", "OMP_NUM_THREADS", "BITESIZE_RANK_TIMEOUT")


@dataclass(frozen=True)
class WorkerStart:
    """State of the program that its workers need.

    Parameters
    ----------
    version
        Version of bitesize.
    storages
        Options of the storages of addresses; they may be secrets, so they are never printed.
    environment
        Variables of the environment.
    folder
        Current folder, so that relative paths mean the same.
    """

    version: str = __version__
    storages: Mapping[str, Mapping[str, Any]] = field(default_factory=configured, repr=False)
    environment: Mapping[str, str] = field(default_factory=lambda: _environment())
    folder: str = field(default_factory=os.getcwd)

    def apply(self, local_workers: int) -> None:
        """Prepare this process, one of ``local_workers`` on its machine.

        Raises
        ------
        BadSetting
            If this process has another version of bitesize than the program that started it.
        """
        if self.version != __version__:
            raise BadSetting(
                f"the program has bitesize {self.version}, but the worker on {socket.gethostname()} has {__version__}: install the same "
                "version on all machines"
            )
        with contextlib.suppress(OSError):  # it need not exist on this machine, if paths are absolute
            os.chdir(self.folder)
        os.environ.update(self.environment)
        os.environ["LOCAL_WORLD_SIZE"] = str(local_workers)
        if "OMP_NUM_THREADS" not in self.environment:
            _use_processors()
        for root, options in self.storages.items():
            configure(root, options)


def _use_processors() -> None:
    """Use this process's share of the processors for calculating: Ray sets one thread, because it counts one processor for each worker."""
    threads = processor_share()
    os.environ["OMP_NUM_THREADS"] = str(threads)
    if "torch" in sys.modules:  # it has read the variable already
        sys.modules["torch"].set_num_threads(threads)


def _environment() -> dict[str, str]:
    return {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
