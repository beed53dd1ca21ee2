"""Detecting the contents of a file passed instead of its path."""

from __future__ import annotations

import os
from typing import Any

from bitesize.decode.header import START_NBYTES, sniff
from bitesize.errors import BadFile, BadSetting, UnsupportedFile
from bitesize.memory.sizes import format_size
from bitesize.storage.url import is_url

# Longer texts are not paths of any system; of what is longer than a name may be, messages show the beginning.
_LONGEST_PATH, _LONGEST_NAME, _SHOWN = 4096, 255, 80


def shown(text: str) -> str:
    """Return a path for a message, shortened if it is longer than a file name can be.

    Examples
    --------
    >>> shown("photos/1.jpg"), len(shown("x" * 5000)) < 120
    ('photos/1.jpg', True)
    """
    if len(text) <= _LONGEST_PATH and max(map(len, text.split(os.sep))) <= _LONGEST_NAME:
        return text
    return f"{text[:_SHOWN]}... ({len(text):,} characters)"


def refuse_contents(data: Any, way: str) -> None:
    """Raise `BadSetting` for bytes that are the contents of a file rather than its path, alone or in a list.

    Parameters
    ----------
    data
        Input of the user.
    way
        Alternative for an image in memory, for the message.

    Raises
    ------
    BadSetting
        If the data is file contents. The message does not contain the bytes.
    """
    contents = data[0] if isinstance(data, list | tuple) and data else data
    if (
        not isinstance(contents, bytes | bytearray)
        or is_url(bytes(contents[:_LONGEST_PATH]))
        or os.path.exists(bytes(contents[:_LONGEST_PATH]))
    ):
        return
    start = bytes(contents[:START_NBYTES])
    try:
        kind = f"a {sniff(start)} image"
    except UnsupportedFile:
        kind = "an image"
    except BadFile:
        if b"\0" not in start and len(contents) <= _LONGEST_PATH and isinstance(contents, bytes):
            return  # a path that does not exist, which is reported elsewhere
        kind = "the contents of a file"
    raise BadSetting(
        f"got {format_size(len(contents))} of bytes ({kind}) where a path is needed: pass the path of the file{way}"
    )
