"""Fields of a shard, and the names of their files, which are valid on every system."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import quote

import numpy as np
import xxhash

from bitesize.errors import BadSetting

Kind = Literal["fixed", "blob", "pixels"]
KINDS: tuple[Kind, ...] = ("fixed", "blob", "pixels")
# Names of devices, which no file may have on Windows, whatever its suffix.
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)", re.IGNORECASE)
_LONGEST = 100


@dataclass(frozen=True)
class ShardField:
    """A field of the rows of a shard.

    Parameters
    ----------
    kind
        ``"fixed"`` for rows of one shape and dtype, ``"blob"`` for bytes of any length, such as encoded images, or ``"pixels"``
        for decoded images of varying height, width and channels.
    shape
        Shape of a row; for ``"fixed"`` only.
    dtype
        Dtype of the values; for ``"fixed"`` and ``"pixels"``. It is stored in little-endian byte order.

    Raises
    ------
    BadSetting
        If there is no such kind, or shape and dtype do not belong to it.

    Examples
    --------
    >>> ShardField("fixed", (32, 32, 3), np.dtype(np.uint8)).row_nbytes
    3072
    """

    kind: Kind
    shape: tuple[int, ...] = ()
    dtype: np.dtype[Any] | None = None

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise BadSetting(f"kind must be one of {', '.join(KINDS)}, not {self.kind!r}")
        if (self.dtype is None) != (self.kind == "blob") or (self.shape and self.kind != "fixed"):
            raise BadSetting(f"a field of kind {self.kind!r} cannot have shape {self.shape} and dtype {self.dtype}")
        object.__setattr__(self, "shape", tuple(self.shape))
        if self.dtype is not None:
            dtype = np.dtype(self.dtype)
            if dtype.kind not in "biufcSUMm" and dtype.name != "bfloat16":
                raise BadSetting(f"a shard holds plain numbers and text, not {dtype}")
            object.__setattr__(self, "dtype", dtype.newbyteorder("<"))

    @property
    def stored(self) -> np.dtype[Any]:
        """Dtype in the header of the file: uint16 for bfloat16, which NumPy lacks."""
        assert self.dtype is not None
        return np.dtype("<u2") if self.dtype.name == "bfloat16" else self.dtype

    @property
    def row_nbytes(self) -> int:
        """Bytes of a row of kind ``"fixed"``; of the other kinds, bytes of a row in the index files."""
        if self.kind == "fixed":
            assert self.dtype is not None
            return math.prod(self.shape) * self.dtype.itemsize
        return 8 if self.kind == "blob" else 20

    def files(self, stem: str) -> tuple[str, ...]:
        """Return the names of the field's files: the data first, then offsets and shapes."""
        if self.kind == "fixed":
            return (f"{stem}.npy",)
        index = (f"{stem}.bin", f"{stem}.offsets.npy")
        return index if self.kind == "blob" else (*index, f"{stem}.shapes.npy")


def file_stems(fields: Iterable[str]) -> dict[str, str]:
    """Return the first part of the file names of each field, valid and unique on every system.

    Characters other than ASCII letters, digits, ``_`` and ``-`` are quoted as in URLs. Names that differ only in case get a
    number, since some systems ignore case.

    Examples
    --------
    >>> file_stems(["x", "X", "size (mm)", "con"])
    {'x': 'x', 'X': 'X~2', 'size (mm)': 'size%20%28mm%29', 'con': '%63on'}
    """
    stems: dict[str, str] = {}
    taken: set[str] = set()
    for name in fields:
        data = name.encode("utf-8", "surrogatepass")
        stem = quote(data, safe="").replace(".", "%2E").replace("~", "%7E") or "%"
        if _RESERVED.fullmatch(stem):
            stem = f"%{data[0]:02X}{stem[1:]}"
        if len(stem) > _LONGEST:
            stem = f"{stem[:_LONGEST]}~{xxhash.xxh3_64_hexdigest(data)}"
        number, unique = 1, stem
        while unique.casefold() in taken:
            number += 1
            unique = f"{stem}~{number}"
        taken.add(unique.casefold())
        stems[name] = unique
    return stems
