"""Checks of settings that several parts share."""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Integral
from typing import Any, TypeGuard

from bitesize.errors import BadSetting


def is_whole(value: Any, least: int | None = None, most: int | None = None) -> TypeGuard[int]:
    """Return whether a value is a whole number, of Python or of NumPy, within limits; a bool is none.

    Examples
    --------
    >>> is_whole(3), is_whole(3.0), is_whole(True), is_whole(0, least=1)
    (True, False, False, False)
    """
    if isinstance(value, bool) or not isinstance(value, Integral):
        return False
    return (least is None or int(value) >= least) and (most is None or int(value) <= most)


def refuse_renamed(cls: type, renamed: Mapping[str, str]) -> None:
    """Raise if a class defines a hook by a name that it had before, because the hook would be ignored without a word.

    Raises
    ------
    BadSetting
        If the class body has one of the old names.

    Examples
    --------
    >>> class Darken:
    ...     draws = 1
    >>> refuse_renamed(Darken, {"draws": "random_count"})
    Traceback (most recent call last):
    bitesize.errors.BadSetting: Darken.draws is called random_count now: rename it
    """
    for old in vars(cls).keys() & renamed.keys():
        raise BadSetting(f"{cls.__name__}.{old} is called {renamed[old]} now: rename it")
