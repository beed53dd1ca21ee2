"""Storage options in pickles: an object that reads from addresses opens them with the same options in another process."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from bitesize.storage.stores import configure, configured
from bitesize.storage.url import is_url, split_url

_DEEPEST = 12
_MODULE = "bitesize."


def carried(reduced: Any) -> Any:
    """Return what `object.__reduce_ex__` returned, with the options of the storages of all addresses in it.

    Nothing is added if no storage has options. Options of other storages stay here.
    """
    known = configured()
    if not known or not isinstance(reduced, tuple):
        return reduced
    roots = set(_roots_in(reduced, _DEEPEST, set()))
    options = {root: each for root, each in known.items() if root in roots}
    return (_restored, (_Options(options), reduced[0], reduced[1]), *reduced[2:]) if options else reduced


class _Options:
    """Options by root, which are never shown: they may hold secrets."""

    def __init__(self, by_root: Mapping[str, Mapping[str, Any]]) -> None:
        self.by_root = by_root


def _restored(options: _Options, make: Any, args: Iterable[Any]) -> Any:
    known = configured()
    for root, each in options.by_root.items():
        if root not in known:  # options of this process win
            configure(root, each)
    return make(*args)


def _roots_in(value: Any, depth: int, seen: set[int]) -> Iterator[str]:
    """Yield the roots of addresses in a value, its items and its attributes."""
    if isinstance(value, str | bytes | os.PathLike):
        path = os.fspath(value)
        if is_url(path):
            yield split_url(path).root
        return
    inside: Iterable[Any] = ()
    if isinstance(value, Mapping):
        inside = [*value, *value.values()]
    elif isinstance(value, list | tuple | set | frozenset):
        inside = value
    elif type(value).__module__.startswith(_MODULE):
        inside = [*getattr(value, "__dict__", {}).values()]
    if not inside or not depth or id(value) in seen:
        return
    seen.add(id(value))
    for each in inside:
        yield from _roots_in(each, depth - 1, seen)
