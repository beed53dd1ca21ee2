"""What goes wrong with zip archives."""

from __future__ import annotations

import lzma
import struct
import zipfile
import zlib

# What Python's reader raises for archives that are damaged, encrypted, or compressed by a method it does not know.
DAMAGED = (
    zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error, NotImplementedError, RuntimeError, OSError, EOFError, IndexError,
    ValueError,
)  # fmt: skip
