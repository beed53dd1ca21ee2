"""Compilation of kernels: they run without the GIL, and are cached on disk, so that only the first run compiles."""

from __future__ import annotations

import logging
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

Function = TypeVar("Function", bound=Callable[..., Any])

# "contract" allows a fused multiply-add; all other IEEE arithmetic stays exact.
_OPTIONS: dict[str, Any] = {"nogil": True, "cache": True, "fastmath": {"contract"}, "error_model": "numpy"}


def _fallback() -> Path:
    """Return the folder for compiled kernels if no other folder can be written."""
    user = os.environ.get("USER", os.environ.get("USERNAME", "user"))
    return Path(tempfile.gettempdir()) / f"bitesize-kernels-{user}"


def _marker() -> Path:
    """Return the file that marks that kernels have been compiled on this machine, with this version of Python.

    The file is in Numba's cache folder, as far as that is known without loading Numba.
    """
    beside = Path(__file__).parent / "__pycache__"
    folder = Path(os.environ["NUMBA_CACHE_DIR"]) if os.environ.get("NUMBA_CACHE_DIR") else beside
    if not os.access(folder if folder.is_dir() else folder.parent, os.W_OK):
        folder = _fallback()
    return folder / f"bitesize-{sys.implementation.cache_tag}.compiled"


def compiled_before() -> bool:
    """Return whether kernels have been compiled on this machine, so that most or all of them are only loaded."""
    return _marker().is_file()


def note_compiled() -> None:
    """Write the file that marks that kernels have been compiled on this machine."""
    marker = _marker()
    if not marker.is_file():
        marker.parent.mkdir(parents=True, exist_ok=True)
        marker.touch()


def jit(function: Function) -> Function:
    """Compile a function with numba on its first call.

    If neither the package's folder nor the user's cache folder can be written, compiled kernels are cached in the system's
    temporary folder.
    """
    import numba

    try:
        compiled = numba.njit(**_OPTIONS)(function)
    except RuntimeError:  # numba: "cannot cache function ...: no locator available"
        folder = _fallback()
        logging.getLogger("bitesize").info("no folder for compiled kernels can be written: they are kept in %s", folder)
        numba.config.CACHE_DIR = str(folder)
        compiled = numba.njit(**_OPTIONS)(function)
    return compiled  # type: ignore[no-any-return]
