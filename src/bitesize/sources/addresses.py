"""Addresses of objects in data and labels: settings of their storages, and one list for each folder."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np

from bitesize.errors import BadSetting, BitesizeError, first_few
from bitesize.sources.choices import Choice
from bitesize.sources.options import OpenOptions
from bitesize.storage import lists, remote, stores
from bitesize.storage.url import is_url, split_url

_TEXT = (str, bytes, os.PathLike)
_MEMBER = "::"
_NAMED = 8


def addresses_in(data: Any) -> Iterator[str]:
    """Yield the addresses in data or labels of the user: alone, in a list, in pairs, or as values of a mapping."""
    if isinstance(data, _TEXT):
        path = os.fspath(data)
        if is_url(path):
            yield os.fsdecode(path)
    elif isinstance(data, list | tuple):
        for part in data:
            if isinstance(part, str) and "://" not in part:
                continue
            if isinstance(part, list | tuple | str | bytes | os.PathLike):
                yield from addresses_in(part)
    elif isinstance(data, np.ndarray) and data.dtype.kind in "USO":
        yield from addresses_in(data.tolist())
    elif isinstance(data, Mapping) and type(data) is dict:
        for value in data.values():
            yield from addresses_in(value)


@contextmanager
def listed_as(data: Any, options: OpenOptions) -> Iterator[None]:
    """Make all lists within this context as the user wants them.

    Raises
    ------
    BadSetting
        If the data has no address; or a file is to replace listing, and the data is not one address.
    """
    if options.listing == "auto":
        yield
        return
    found = list(dict.fromkeys([*addresses_in(data), *addresses_in(options.labels)]))
    if not found:
        raise BadSetting("listing= is for data at addresses such as s3://bucket/photos/, but this data has none")
    if options.listing != "new" and not isinstance(data, _TEXT):
        raise BadSetting(
            f"listing={os.fspath(options.listing)!r} replaces listing of one folder: the data must be its address"
        )
    configure(found, options)
    with lists.listing_as(options.listing, found[0]):
        yield


def prepare(data: Any, options: OpenOptions) -> list[Choice]:
    """Configure the storages of all addresses in data and labels, ask for the objects, and list the folders among them.

    Returns
    -------
    list of Choice
        What is to be known of the storages: which of them are slow.

    Raises
    ------
    BadSetting
        If there are storage options for data that has no address; or the storage of an address is unknown.
    BitesizeError
        If a storage does not answer.
    """
    labels = options.labels
    if not isinstance(labels, str) and not (isinstance(labels, list | tuple) and all(map(is_url, labels))):
        labels = None  # of rows, rather than masks
    found = list(dict.fromkeys([*addresses_in(data), *addresses_in(labels)]))
    if not found:
        return []
    configure(found, options)
    remote.know_files(found)
    for part in (*(data.values() if isinstance(data, Mapping) else [data]), labels):
        if isinstance(part, _TEXT):  # lists are of files
            for address in addresses_in(part):
                _look(address)
    said = dict.fromkeys(stores.statement_of(root) for root in dict.fromkeys(split_url(each).root for each in found))
    return [Choice(statement, "") for statement in said if statement]


def configure(texts: Iterable[str], options: OpenOptions) -> None:
    """Set the storage options for the storages of all addresses among texts."""
    if options.storage_options is not None:
        for root in sorted({split_url(text).root for text in texts if is_url(text)}):
            stores.configure(root, options.storage_options)


def check_used(source: Any, data: Any, options: OpenOptions) -> None:
    """Raise `BadSetting` for storage options if neither the data nor the files that it names are at an address."""
    if options.storage_options is None or any(addresses_in(data)) or any(addresses_in(options.labels)):
        return
    path = source.path(0) if len(source) else None
    if path is None or not is_url(path):
        raise BadSetting("storage_options= is for data at addresses such as s3://bucket/photos/, but this data has none")


def near(address: str) -> str:
    """Return what is beside an address that does not exist, for a message; empty if it is unknown."""
    folder = f"{split_url(address).root}/{split_url(address).key.rstrip('/').rpartition('/')[0]}".rstrip("/")
    try:
        names = sorted(f"{name}/" if is_folder else name for name, is_folder in remote.children(folder))
    except BitesizeError:
        return ""
    return f": {folder}/ has {first_few(names, _NAMED)}" if names else ""


def _look(address: str) -> None:
    """Ask for an object; if there is none, or an empty one, list the folder of this name."""
    is_file = remote.is_file(address)
    if (is_file and remote.entry(address).size) or (remote.is_web(address) and not address.endswith("/")):
        return
    found = remote.list_folder(address)
    if len(found) and is_file:
        remote.stands_for_folder(address)
    elif not len(found) and not is_file and _MEMBER in address:
        _look(address.partition(_MEMBER)[0])
