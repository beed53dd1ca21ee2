"""Lists of objects of which other processes need the same: without a list, a source at an address cannot be opened there."""

from __future__ import annotations

import os
import pickle
import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from bitesize.errors import FileChanged
from bitesize.files.state import checked_states
from bitesize.sources.row_source import RowSource
from bitesize.storage import remote
from bitesize.storage.object_list import ObjectList
from bitesize.storage.stores import add_list, configure, configured, listed
from bitesize.storage.url import is_url, split_url


@dataclass(frozen=True)
class SentList:
    """List of the objects of a folder at an address, for another process that opens a source of them.

    Parameters
    ----------
    address
        Address of the prefix.
    fingerprint
        Hash of the list.
    pickled
        The list: where it is on disk, or the objects of a list in memory.
    options
        Options of its storage, which may be secrets.
    """

    address: str
    fingerprint: str
    pickled: bytes = field(repr=False)
    options: Mapping[str, Any] | None = field(repr=False)

    def use(self) -> None:
        """Open the list; on a machine that does not have it, list the objects again.

        Raises
        ------
        FileChanged
            If the objects are others now.
        """
        root = split_url(self.address).root
        if self.options is not None and root not in configured():  # options of this process win
            configure(root, self.options)
        try:
            found: ObjectList = pickle.loads(self.pickled)  # noqa: S301 - made by the program that started this process
        except FileChanged as error:
            found = remote.list_folder(self.address)
            if found.fingerprint != self.fingerprint:
                raise FileChanged(
                    f"the list of {self.address} on {socket.gethostname()} differs from the one of the program: objects have changed, or one "
                    'of them is old or from a file; list again on all machines, with listing="new"'
                ) from error
        add_list(found)


def lists_of(*sources: RowSource) -> tuple[SentList, ...]:
    """Return the lists of objects that sources need."""
    found = {id(known): known for source in sources for known in _lists(source)}
    return tuple(
        SentList(known.prefix_address, known.fingerprint, pickle.dumps(known), configured().get(known.root))
        for known in found.values()
    )


def _lists(source: RowSource) -> Iterator[ObjectList]:
    for each in source.derived_from:
        yield from _lists(each)
    paths = [source.paths_root, *(path for path, _ in checked_states(source.check_unchanged))]
    for path in map(os.fsdecode, paths):
        if is_url(path) and (known := listed(path)) is not None:
            yield known
