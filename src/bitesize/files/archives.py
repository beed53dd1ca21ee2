"""Errors of zip archives."""

from __future__ import annotations

import lzma
import struct
import zipfile
import zlib

# Errors that Python's reader raises for archives that are damaged, encrypted, or compressed by an unknown method.
DAMAGED = (
    zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error, NotImplementedError, RuntimeError, OSError, EOFError, IndexError,
    ValueError,
)  # fmt: skip
