"""The formats that `bitesize.open` supports: the sources in this folder, and sources of other packages."""

from __future__ import annotations

import functools
import importlib
import pkgutil
import warnings
from typing import Any, TypeVar

from bitesize.errors import BadSetting, MissingPackage
from bitesize.packages import is_installed, pip_install
from bitesize.sources.base import Source

# Another package adds its sources under this name: `[project.entry-points."bitesize.sources"]`.
GROUP = "bitesize.sources"
S = TypeVar("S", bound=type[Source])
_registered: list[type[Source]] = []


@functools.cache
def kinds() -> tuple[type[Source], ...]:
    """Return the source classes of bitesize, ordered by title."""
    package = importlib.import_module("bitesize.sources")
    classes: set[type[Source]] = set()
    for module in pkgutil.iter_modules(package.__path__):
        loaded = importlib.import_module(f"{package.__name__}.{module.name}")
        classes |= {each for each in vars(loaded).values() if isinstance(each, type) and issubclass(each, Source)}
    return tuple(sorted((each for each in classes if each.title), key=lambda each: each.title))


def register(kind: S) -> S:
    """Add a source class of this program to those that `bitesize.open` finds, by suffixes and by ``takes``; usable as a decorator.

    An installed package names its class as an entry point of the group ``bitesize.sources`` instead. A class that is defined again
    replaces its former definition.

    Parameters
    ----------
    kind
        A subclass of `Source` with a title.

    Returns
    -------
    type
        The class.

    Raises
    ------
    BadSetting
        If it is not a subclass of `Source`, or has no title.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> import numpy as np, bitesize as bs
    >>> from bitesize.sources import Source, register
    >>> @register
    ... class Numbers(Source):
    ...     title = "texts of numbers"
    ...     suffixes = (".numbers",)
    ...
    ...     @classmethod
    ...     def opened(cls, paths, options):
    ...         return bs.open(np.loadtxt(paths[0]))
    >>> file = pathlib.Path(tempfile.mkdtemp()) / "a.numbers"
    >>> _ = file.write_text("1.5 2.5 3.5")
    >>> bs.open(file)
    Arrays(3 rows of {x: () float64})
    """
    if not (isinstance(kind, type) and issubclass(kind, Source) and kind.title):
        raise BadSetting(f"register needs a subclass of bitesize.Source with a title, not {kind!r}")
    name = (kind.__module__, kind.__qualname__)
    _registered[:] = [known for known in _registered if (known.__module__, known.__qualname__) != name] + [kind]
    return kind


def registered() -> tuple[type[Source], ...]:
    """Return the source classes that this program has registered."""
    return tuple(_registered)


@functools.cache
def plugins() -> tuple[type[Source], ...]:
    """Return the source classes of other packages; those that cannot be loaded are left out, with a warning."""
    from importlib.metadata import entry_points  # takes 0.1 s: only if nothing else fits

    classes = []
    for entry in entry_points(group=GROUP):
        try:
            kind = entry.load()
        except Exception as error:  # noqa: BLE001 - whatever another package does wrong
            warnings.warn(f"the source {entry.name!r} of {entry.value} cannot be loaded: {error!r}", stacklevel=3)
            continue
        if isinstance(kind, type) and issubclass(kind, Source):
            classes.append(kind)
        else:
            warnings.warn(f"the source {entry.name!r} of {entry.value} is not a subclass of bitesize.Source", stacklevel=3)
    return tuple(classes)


def installed(kind: type[Source]) -> bool:
    """Return whether the package that a source needs is installed."""
    return not kind.package or is_installed(kind.package)


def need(kind: type[Source]) -> None:
    """Raise `MissingPackage` with the install command if a source needs a package that is not installed."""
    if not installed(kind):
        raise MissingPackage(f"{kind.title} need {kind.package}: {pip_install(kind.package)}")


def by_suffix(name: str) -> type[Source] | None:
    """Return the source class of a file name: the longest matching suffix wins."""
    lower = name.lower()
    for among in (kinds, registered, plugins):
        fitting = [(len(suffix), kind) for kind in among() for suffix in kind.suffixes if lower.endswith(suffix)]
        if fitting:
            return max(fitting, key=lambda pair: pair[0])[1]
    return None


def match_object(data: Any) -> type[Source] | None:
    """Return the source class of a folder or an object.

    Raises
    ------
    BadSetting
        If several classes match.
    """
    for among in (kinds, registered, plugins):
        fitting = [kind for kind in among() if kind.takes(data)]
        if len(fitting) > 1:
            titles = " and of ".join(f"{kind.title} ({kind.__name__})" for kind in fitting)
            raise BadSetting(f"{data!r:.100} matches several formats, {titles}: make the source with its class")
        if fitting:
            return fitting[0]
    return None
