"""Files that workers read: they must be on each machine, under the path that the program knows."""

from __future__ import annotations

import contextlib
import os
import pickle
import socket
from collections.abc import Iterable
from dataclasses import dataclass, field

from bitesize.errors import FileChanged, NotFound
from bitesize.files.names import show
from bitesize.files.state import FileState, checked_states
from bitesize.sources.base import Source
from bitesize.storage import remote
from bitesize.storage.object_list import ObjectList
from bitesize.storage.stores import add_list, listed
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
    lists: tuple[KnownList, ...] = ()

    @classmethod
    def of(cls, sources: Iterable[Source], paths: Iterable[str | os.PathLike[str]] = ()) -> NeededFiles:
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
        found = {id(known): known for path in files if is_url(path) and (known := listed(os.fsdecode(path))) is not None}
        here = tuple((path, state) for path, state in files.items() if not is_url(path))
        return cls(here, lists=tuple(map(KnownList.of, found.values())))

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


@dataclass(frozen=True)
class KnownList:
    """List of the objects of a folder at an address, which workers use, too, in place of requests for each object.

    Parameters
    ----------
    address
        Address of the prefix.
    fingerprint
        Hash of the list.
    pickled
        The list: where it is on disk, or the objects of a list in memory.
    """

    address: str
    fingerprint: str
    pickled: bytes = field(repr=False)

    @classmethod
    def of(cls, known: ObjectList) -> KnownList:
        """Return a list for workers."""
        return cls(known.prefix_address, known.fingerprint, pickle.dumps(known))

    def use(self) -> None:
        """Open the list; on a machine that does not have it, list the objects again.

        Raises
        ------
        FileChanged
            If the objects are others now.
        """
        try:
            found: ObjectList = pickle.loads(self.pickled)  # noqa: S301 - made by the program that started this worker
        except FileChanged as error:
            found = remote.list_folder(self.address)
            if found.fingerprint != self.fingerprint:
                raise FileChanged(
                    f"the list of {self.address} on {socket.gethostname()} differs from the one of the command: objects have changed, or one of "
                    "them is old or from a file; list again on all machines, with --listing new"
                ) from error
        add_list(found)
