"""Addresses with the operators of paths."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from bitesize.storage.url import is_url


@dataclass(frozen=True, order=True)
class Address:
    """An address that is used as a `pathlib.Path`: a path itself would change its slashes.

    Parameters
    ----------
    text
        The address.

    Examples
    --------
    >>> folder = Address("s3://bucket/store")
    >>> str(folder / "00000" / "x.npy"), (folder / "00000").name
    ('s3://bucket/store/00000/x.npy', '00000')
    """

    text: str

    def __truediv__(self, name: str) -> Address:
        return Address(f"{self.text.rstrip('/')}/{name}")

    def __fspath__(self) -> str:
        return self.text

    def __str__(self) -> str:
        return self.text

    @property
    def name(self) -> str:
        """Last part."""
        return self.text.rstrip("/").rpartition("/")[2]


Folder = Path | Address


def folder_of(path: str | os.PathLike[str]) -> Folder:
    """Return a folder as a path, or as an address."""
    text = os.fspath(path)
    return Address(text) if is_url(text) else Path(path)
