"""The storages of this process: one for each bucket, container or host, with its settings; and the lists of their objects."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any

from bitesize.errors import BadSetting
from bitesize.storage.base import Storage
from bitesize.storage.object_list import ObjectList
from bitesize.storage.url import split_url

# A new storage for the root of an address and the settings of the user.
Opener = Callable[[str, Mapping[str, Any]], Storage]

# Names that other programs have for schemes of obstore.
_OTHER_NAMES = {"s3a": "s3", "s3n": "s3", "gcs": "gs", "abfs": "az", "azure": "az"}
_openers: dict[str, Opener] = {}
_storages: dict[str, tuple[Storage, dict[str, Any]]] = {}
_lists: dict[str, ObjectList] = {}  # by address of the prefix, with a slash at its end
_lock = threading.RLock()


def register_storage(scheme: str, opener: Opener) -> None:
    """Add a kind of storage, or replace it: addresses that start with ``scheme://`` are opened with it.

    Parameters
    ----------
    scheme
        Without ``://``.
    opener
        Called with the root of an address, ``scheme://name``, and the storage options; returns a `Storage`.
    """
    with _lock:
        _openers[scheme.lower()] = opener
        for known in (_storages, _lists):
            for address in [address for address in known if address.startswith(f"{scheme.lower()}://")]:
                del known[address]


def configure(address: str, options: Mapping[str, Any] | None) -> None:
    """Set the options of the storage of an address for this process; None keeps those that are there."""
    if options is None:
        return
    root = split_url(address).root
    with _lock:
        known = _storages.get(root)
        if known is None or known[1] != dict(options):
            _storages[root] = (_opened(root, options), dict(options))


def storage_of(address: str) -> Storage:
    """Return the storage of an address, opened with the options of `configure` or of the environment.

    Raises
    ------
    BadSetting
        If no storage has this scheme.
    MissingPackage
        If it needs a package that is not installed.
    """
    root = split_url(address).root
    with _lock:
        known = _storages.get(root)
        if known is None:
            known = _storages[root] = (_opened(root, {}), {})
        return known[0]


def statement_of(address: str) -> str:
    """Return what a user should know of the storage of an address; empty if there is nothing."""
    return str(getattr(storage_of(address), "statement", ""))


def options_of(address: str) -> dict[str, Any]:
    """Return the options that were set for the storage of an address."""
    with _lock:
        known = _storages.get(split_url(address).root)
        return dict(known[1]) if known is not None else {}


def configured() -> dict[str, dict[str, Any]]:
    """Return the options of all storages that have any, by root."""
    with _lock:
        return {root: dict(options) for root, (_, options) in _storages.items() if options}


def _opened(root: str, options: Mapping[str, Any]) -> Storage:
    scheme = root.partition("://")[0]
    opener = _openers.get(scheme)
    if opener is None:
        from bitesize.storage.fsspec_files import open_files
        from bitesize.storage.objects import SCHEMES, open_objects

        if scheme in _OTHER_NAMES:
            raise BadSetting(f"{root}: write {_OTHER_NAMES[scheme]}://{root.partition('://')[2]} in place of {scheme}://")
        opener = open_objects if scheme in SCHEMES else open_files
    return opener(root, options)


def add_list(found: ObjectList) -> None:
    """Use a list of objects for all questions about addresses below its prefix, in place of older lists of them."""
    with _lock:
        for known in [known for known in _lists if known.startswith(found.prefix_address)]:
            del _lists[known]
        _lists[found.prefix_address] = found


def forget_list(old: ObjectList) -> None:
    """Use a list no more."""
    with _lock:
        if _lists.get(old.prefix_address) is old:
            del _lists[old.prefix_address]


def listed(address: str) -> ObjectList | None:
    """Return the list of objects that an address belongs to, if there is one: the one with the longest prefix."""
    scheme, mark, rest = address.partition("://")
    address = f"{scheme.lower()}{mark}{rest}"
    folder = address if address.endswith("/") else f"{address}/"
    with _lock:
        if not _lists:
            return None
        while "://" in folder:
            found = _lists.get(folder)
            if found is not None:
                return found
            folder = folder.rstrip("/").rpartition("/")[0] + "/"
            if folder.endswith("://"):
                return None
    return None
