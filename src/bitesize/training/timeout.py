"""How long a rank waits for the others."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import timedelta

from bitesize.errors import BadSetting

# Minutes without an answer of a rank after which training ends; the environment variable BITESIZE_RANK_TIMEOUT changes them.
MINUTES = 10.0


def rank_timeout(environment: Mapping[str, str] = os.environ) -> timedelta:
    """Return the time without an answer of a rank after which training ends.

    Raises
    ------
    BadSetting
        If the environment variable is not a number of minutes above 0.
    """
    text = environment.get("BITESIZE_RANK_TIMEOUT", str(MINUTES))
    try:
        minutes = float(text)
    except ValueError:
        minutes = 0.0
    if not 0 < minutes < float("inf"):
        raise BadSetting(f"BITESIZE_RANK_TIMEOUT must be a number of minutes above 0, not {text!r}")
    return timedelta(minutes=minutes)
