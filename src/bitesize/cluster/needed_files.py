"""Files that workers read: they must be on each machine, under the path that the program knows."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from bitesize.errors import FileChanged, NotFound
from bitesize.files.names import show
from bitesize.files.state import FileState, checked_states
from bitesize.sources.base import Source
from bitesize.sources.known_lists import SentList, lists_of
from bitesize.storage.url import is_url

_WAYS = "use a folder that all machines share, or data and runs at addresses such as s3://bucket/data"


@dataclass(frozen=True)
class NeededFiles:
    """Files and folders that workers read, as the program sees them.

    Parameters
    ----------
    files
        Paths, with the size and time of files of many rows, and None for others.
    folder
        Current folder of the program. Default: that of this process.
    lists
        Lists of the objects of folders at addresses.
    """

    files: tuple[tuple[bytes, FileState | None], ...]
    folder: str = field(default_factory=os.getcwd)
    lists: tuple[SentList, ...] = ()

    @classmethod
    def of(cls, sources: Collection[Source], paths: Iterable[str | os.PathLike[str]] = ()) -> NeededFiles:
        """Return the files of sources, and other paths. Addresses are the same everywhere, so they are left out.

        Raises
        ------
        FileChanged
            If a file was changed since its source was opened.
        """
        files: dict[bytes, FileState | None] = {os.fsencode(path): None for path in paths}
        for source in sources:
            if source.paths_root:
                files.setdefault(source.paths_root, None)
            files.update(checked_states(source.check_unchanged))
        here = tuple((path, state) for path, state in files.items() if not is_url(path))
        return cls(here, lists=lists_of(*sources))

    def enter(self) -> None:
        """Change to the folder of the program, so that relative paths mean the same, and check all files.

        Raises
        ------
        NotFound
            If one does not exist on this machine.
        FileChanged
            If one has another size or time, or other objects are at an address than in its list.
        """
        with contextlib.suppress(OSError):  # if paths are absolute, it need not exist
            os.chdir(self.folder)
        for path, state in self.files:
            whole = os.path.join(os.fsencode(self.folder), path)
            if not os.path.exists(whole):
                raise NotFound(f"{show(whole)} does not exist on {socket.gethostname()}, where a worker needs it: {_WAYS}")
            if state is not None and FileState.of(whole) != state:
                raise FileChanged(
                    f"{show(whole)} on {socket.gethostname()} has another size or time than where the command runs: {_WAYS}"
                )
        for known in self.lists:
            known.use()
