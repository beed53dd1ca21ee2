"""Sizes in bytes and other numbers as text."""

from __future__ import annotations

import re

from bitesize.errors import BadSetting

# Units follow IEC 80000-13: "GB" is 1000**3, "GiB" is 1024**3.
_UNITS = {
    "": 1, "b": 1,
    "k": 1000, "kb": 1000, "m": 1000**2, "mb": 1000**2, "g": 1000**3, "gb": 1000**3, "t": 1000**4, "tb": 1000**4, "pb": 1000**5,
    "kib": 1024, "mib": 1024**2, "gib": 1024**3, "tib": 1024**4, "pib": 1024**5,
}  # fmt: skip
_SIZE = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([a-zA-Z]*)\s*")


def parse_size(size: int | str) -> int:
    """Return a size in bytes.

    Parameters
    ----------
    size
        A number of bytes, or a string such as ``"512 MiB"`` (MiB: 1024 ** 2 bytes) or ``"2GB"`` (GB: 1000 ** 3 bytes).

    Returns
    -------
    int
        Bytes, at least 1.

    Raises
    ------
    BadSetting
        If ``size`` is not a size, or is not positive.

    Examples
    --------
    >>> parse_size("1.5 KiB")
    1536
    """
    if isinstance(size, bool) or not isinstance(size, int | str):
        raise BadSetting(f'a size must be a number of bytes or a string such as "512 MiB", not {size!r}')
    if isinstance(size, str):
        match = _SIZE.fullmatch(size)
        unit = _UNITS.get(match[2].lower()) if match else None
        if match is None or unit is None:
            raise BadSetting(f'{size!r} is not a size: write a number and B, KB, MB, GB, KiB, MiB or GiB, as in "512 MiB"')
        size = int(float(match[1]) * unit)
    if size < 1:
        raise BadSetting(f"a size must be at least 1 byte, not {size}")
    return size


def unit_hint(size: int | str) -> str:
    """Return a question, for errors, where a number without a unit would be a reasonable size in MiB, but is one of bytes; else "".

    Examples
    --------
    >>> unit_hint("64"), unit_hint("64 B"), unit_hint("64 MiB")
    (' (did you mean 64MiB?)', '', '')
    """
    number = str(size).strip()
    return f" (did you mean {int(number)}MiB?)" if number.isdecimal() and int(number) < 1024**2 else ""


def format_size(nbytes: int, *, ceil: bool = False) -> str:
    """Return a number of bytes as text, in binary units.

    Parameters
    ----------
    nbytes
        Bytes, 0 or more.
    ceil
        Round up, so that `parse_size` of the text is never less than ``nbytes``.

    Examples
    --------
    >>> format_size(10_838_016_000)
    '10.1 GiB'
    >>> format_size(800)
    '800 B'
    """
    if nbytes < 1024:
        return f"{nbytes} B"
    value, unit = float(nbytes), "B"
    for name in ("KiB", "MiB", "GiB", "TiB", "PiB"):
        if value < 1000:
            break
        value, unit = value / 1024, name
    step = 0.1 if value < 20 else 1.0
    value = -(-value // step) * step if ceil else round(value / step) * step
    return f"{value:.1f} {unit}" if step < 1 else f"{value:.0f} {unit}"


def counted(count: int, one: str, many: str | None = None) -> str:
    """Return a number with its noun.

    Examples
    --------
    >>> counted(1, "row"), counted(1200, "row"), counted(2, "class", "classes")
    ('1 row', '1,200 rows', '2 classes')
    """
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def rounded(value: float) -> str:
    """Return a number as text with four significant digits, or all digits before the point; with an exponent if it is extreme.

    Examples
    --------
    >>> [rounded(value) for value in (78_980.4, 1234.5, 0.93217, 12.0, 0.0, 3.2e-7, float("nan"))]
    ['78,980', '1,234', '0.9322', '12', '0', '3.2e-07', 'nan']
    """
    return f"{value:,.0f}" if 1000 <= abs(value) < 1e9 else f"{value:.4g}"


def six_digits(value: float) -> float:
    """Return a figure for a record: six decimals, or six digits if it is small, so that errors in any unit are kept.

    Examples
    --------
    >>> [six_digits(value) for value in (0.123456789, 0.00123456789, 3.14159265e-9, -2.0, float("inf"))]
    [0.123457, 0.00123457, 3.14159e-09, -2.0, inf]
    """
    return round(value, 6) if not abs(value) < 0.1 else float(f"{value:.6g}")
