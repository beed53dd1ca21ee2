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

_OPTIONS: dict[str, Any] = {"nogil": True, "cache": True, "error_model": "numpy", "no_cfunc_wrapper": True}
# Products and sums may be fused; all other IEEE arithmetic stays exact.
_FUSING = {**_OPTIONS, "fastmath": {"contract"}}
# Views into arrays are not counted: each count would wait until all stores that bypass the cache have reached the memory.
LEAN = {**_FUSING, "_nrt": False}


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
    """Compile a function with numba on its first call. Products and sums may be fused, if the compiler chooses so.

    If neither the package's folder nor the user's cache folder can be written, compiled kernels are cached in the system's
    temporary folder.
    """
    return _compiled(function, _FUSING)


def lean_jit(function: Function) -> Function:
    """Compile a function that makes no arrays, but views into those that it gets, without counting references."""
    return _compiled(function, LEAN)


def inline_jit(function: Function) -> Function:
    """Compile a function like `lean_jit`, into each of its callers: for the body of an inner loop."""
    return _compiled(function, {**LEAN, "forceinline": True})


def exact_jit(function: Function) -> Function:
    """Compile a function like `lean_jit`, with exact IEEE arithmetic: the result depends on the arguments only, not on the caller."""
    return _compiled(function, {**_OPTIONS, "_nrt": False})


def _compiled(function: Function, options: dict[str, Any]) -> Function:
    import numba

    try:
        compiled = numba.njit(**options)(function)
    except RuntimeError:  # numba: "cannot cache function ...: no locator available"
        folder = _fallback()
        logging.getLogger("bitesize").info("no folder for compiled kernels can be written: they are kept in %s", folder)
        numba.config.CACHE_DIR = str(folder)
        compiled = numba.njit(**options)(function)
    return compiled  # type: ignore[no-any-return]
