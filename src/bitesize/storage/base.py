"""The interface of storage: what bitesize needs of a place that has bytes under names."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple, Protocol, runtime_checkable


class Entry(NamedTuple):
    """One object, or file.

    Attributes
    ----------
    key : str
        Name in its storage, exactly as it is there.
    size : int
        Number of bytes.
    version : str
        Text that changes whenever the object is replaced, such as its ETag; empty if the storage has none.
    time : int
        Time of the last modification, in nanoseconds since 1970; 0 if unknown.
    """

    key: str
    size: int
    version: str = ""
    time: int = 0


class Level(NamedTuple):
    """Folders and objects directly below a prefix.

    Attributes
    ----------
    folders : list of str
        Longer prefixes, each with a slash at its end.
    entries : list of Entry
        The objects.
    """

    folders: list[str]
    entries: list[Entry]


@runtime_checkable
class Storage(Protocol):
    """A place that has bytes under names. All methods may be called by several threads at the same time.

    Errors are those of `bitesize.errors`: `NotFound` for what is not there, `NoPermission` for what may not be read, `FileChanged` for
    an object that is not the one with this version, `BadFile` for one that is too short, and `RequestFailed` for a server that does not
    answer as it should within the deadline. Each names the address.

    A storage may have a method ``refuses(key)`` that returns whether a name cannot be requested: such objects are left out of lists, and
    counted; and an attribute ``statement``, a sentence that a user should know, which is one of the choices of a source.

    Attributes
    ----------
    root : str
        Beginning of all addresses: ``s3://bucket``, or ``file://`` with a folder.
    """

    root: str

    def list(self, prefix: str) -> Iterator[Sequence[Entry]]:
        """Yield all objects whose keys start with a prefix, in pages, in any order; one may come twice. A prefix without objects yields none."""
        ...

    def level(self, prefix: str) -> Level:
        """Return what lies directly below a prefix, which is empty or ends with a slash."""
        ...

    def entry(self, key: str) -> Entry:
        """Return size and version of one object.

        Raises
        ------
        NotFound
            If there is none.
        """
        ...

    def read(self, key: str, offset: int, into: Sequence[memoryview], version: str = "") -> None:
        """Fill consecutive buffers with the bytes of an object from an offset on.

        Parameters
        ----------
        key
            The object.
        offset
            Offset of the first byte.
        into
            Writable buffers of bytes, which are filled completely, one after another.
        version
            If not empty, the object must have this version.

        Raises
        ------
        BadFile
            If the object ends too early.
        FileChanged
            If the object is gone, or has another version.
        """
        ...

    def write(self, key: str, pieces: Iterable[bytes | memoryview]) -> Entry:
        """Write an object from its consecutive pieces. Readers see the old or the new object, never a part of it.

        Returns
        -------
        Entry
            The object that was written.
        """
        ...

    def remove(self, key: str) -> None:
        """Remove an object; it need not exist."""
        ...
