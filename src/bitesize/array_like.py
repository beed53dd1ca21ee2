"""What users give where an array is expected: objects that NumPy would go through without an end are refused."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from bitesize.errors import BadSetting

_PROTOCOLS = ("__array__", "__array_interface__", "__array_struct__", "__buffer__", "shape")


def has_items(what: Any) -> bool:
    """Whether an object has a length and items by number, and is neither an array, a sequence of Python nor a mapping."""
    kind = type(what)
    if isinstance(what, Sequence | Mapping | np.generic | memoryview) or any(hasattr(kind, name) for name in _PROTOCOLS):
        return False
    return hasattr(kind, "__len__") and hasattr(kind, "__getitem__") and not hasattr(kind, "keys")


def refuse_endless(what: Any, name: str) -> None:
    """Refuse an object, or a list of such, with items by number that does not say where they end.

    NumPy asks such an object for the next item until it raises `IndexError`, and takes all memory where it never does.

    Parameters
    ----------
    what
        What is about to become an array.
    name
        Name of the setting, for the error.

    Raises
    ------
    BadSetting
        If it is such an object.
    """
    for part in what[:1] if isinstance(what, list | tuple) else (what,):
        if has_items(part) and not hasattr(type(part), "__iter__"):
            raise BadSetting(
                f"{name} must be an array or a list: a {type(part).__name__} has items by number, and NumPy cannot tell where they end"
            )
