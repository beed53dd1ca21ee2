"""Text from the bytes of file names."""

from __future__ import annotations


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
