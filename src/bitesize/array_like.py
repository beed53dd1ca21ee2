"""Checks of array-like arguments: reject objects that NumPy would iterate forever."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from bitesize.errors import BadSetting

_PROTOCOLS = ("__array__", "__array_interface__", "__array_struct__", "__buffer__", "shape")


def has_items(what: Any) -> bool:
    """Return whether an object has a length and items by number, but is not an array, a Python sequence or a mapping."""
    kind = type(what)
    if isinstance(what, Sequence | Mapping | np.generic | memoryview) or any(hasattr(kind, name) for name in _PROTOCOLS):
        return False
    return hasattr(kind, "__len__") and hasattr(kind, "__getitem__") and not hasattr(kind, "keys")


def refuse_endless(what: Any, name: str) -> None:
    """Raise an error if an object, or the first item of a list, has items by number but cannot be iterated.

    NumPy requests items of these objects until one raises `IndexError`. If none does, NumPy uses all memory.

    Parameters
    ----------
    what
        Object to convert to an array.
    name
        Name of the setting, for the error.

    Raises
    ------
    BadSetting
        If the object has items by number but no ``__iter__``.
    """
    for part in what[:1] if isinstance(what, list | tuple) else (what,):
        if has_items(part) and not hasattr(type(part), "__iter__"):
            raise BadSetting(
                f"{name} must be an array or a list: {type(part).__name__} has items by number but no __iter__, so NumPy cannot find its end"
            )
