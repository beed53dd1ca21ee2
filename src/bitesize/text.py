"""Text from the bytes of file names, and words for a shell."""

from __future__ import annotations

import shlex
import subprocess
import sys


def readable(text: str) -> str:
    r"""Return text with surrogate escapes decoded as UTF-8 where possible, as for file names under LANG=C.

    Examples
    --------
    >>> readable(b"caf\xc3\xa9".decode("ascii", "surrogateescape")) == "caf\u00e9"
    True
    """
    try:
        return text.encode("utf-8", "surrogateescape").decode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # other surrogates, which are not escaped bytes
        return text


def quoted(*words: object) -> str:
    """Return words as one line for the shell of this system; words with spaces or special characters are quoted.

    Examples
    --------
    >>> quoted("evaluate", "runs/1", "photos").split()
    ['evaluate', 'runs/1', 'photos']
    """
    plain_words = [str(each) for each in words]
    return subprocess.list2cmdline(plain_words) if sys.platform == "win32" else shlex.join(plain_words)
