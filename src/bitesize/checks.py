"""Checks of settings that several parts share."""

from __future__ import annotations

from numbers import Integral
from typing import Any, TypeGuard


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
