"""Compiling kernels: without the GIL, and kept on disk so that only the first run ever compiles."""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

Function = TypeVar("Function", bound=Callable[..., Any])

# "contract" lets a product and a sum become one fused instruction; nothing else of IEEE arithmetic is given up.
_OPTIONS: dict[str, Any] = {"nogil": True, "cache": True, "fastmath": {"contract"}, "error_model": "numpy"}


def jit(function: Function) -> Function:
    """Compile a function with numba on its first call.

    Where neither the package's folder nor the user's cache folder can be written, compiled kernels are kept in the
    system's temporary folder.
    """
    import numba

    try:
        compiled = numba.njit(**_OPTIONS)(function)
    except RuntimeError:  # numba: "cannot cache function ...: no locator available"
        folder = (
            Path(tempfile.gettempdir()) / f"bitesize-kernels-{os.environ.get('USER', os.environ.get('USERNAME', 'user'))}"
        )
        logging.getLogger("bitesize").info("no folder for compiled kernels can be written: they are kept in %s", folder)
        numba.config.CACHE_DIR = str(folder)
        compiled = numba.njit(**_OPTIONS)(function)
    return compiled  # type: ignore[no-any-return]
