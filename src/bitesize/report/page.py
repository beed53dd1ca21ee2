"""Write pages: self-contained HTML files that need no network, from templates."""

from __future__ import annotations

import functools
import os
from datetime import datetime
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from bitesize._version import __version__
from bitesize.files.atomic import replacing
from bitesize.html.notebook import Html
from bitesize.memory.sizes import counted, format_size, rounded
from bitesize.text import readable

if TYPE_CHECKING:
    from jinja2 import Environment


def write_page(path: str | os.PathLike[str], template: str, **values: Any) -> None:
    """Write a page as one file, atomically.

    Parameters
    ----------
    path
        File to write; an existing one is replaced.
    template
        Name of a file in ``templates``.
    values
        Variables of the template. Text is escaped, so that names cannot be read as HTML.
    """
    text = render(template, **values)
    # Bytes of file names that are not text are escaped.
    with replacing(path) as temporary:
        temporary.write_bytes(text.encode("utf-8", "backslashreplace"))


def render(template: str, **values: Any) -> str:
    """Return a page as text; see `write_page`."""
    return _environment().get_template(template).render(version=__version__, **values)


@functools.cache
def _environment() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("bitesize.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_text,
    )
    environment.filters |= {
        "size": format_size,
        "counted": counted,
        "number": number,
        "share": share,
        "seconds": seconds,
        "moment": moment,
    }
    environment.globals["asset"] = asset
    return environment


def _text(value: Any) -> Any:
    """Return text with the bytes of file names decoded where possible."""
    return readable(value) if type(value) is str else value


def asset(name: str) -> Html:
    """Return a file of ``templates`` to include unchanged: the style, or a script."""
    return Html((files("bitesize.report") / "templates" / name).read_text(encoding="utf-8"))


def number(value: float | None, digits: int = 3) -> str:
    """Return a figure of a metric: three decimals, or a few digits if it is small or large; ``-`` if there is none.

    Examples
    --------
    >>> number(0.98765), number(62480.3), number(None), number(3.14159e-6)
    ('0.988', '62,480', '-', '3.14e-06')
    """
    if value is None or value != value:
        return "-"
    if value and abs(value) < 10**-digits:
        return f"{value:.3g}"
    return f"{value:.{digits}f}" if abs(value) < 1000 else rounded(value)


def share(value: float | None) -> str:
    r"""Return a share as percent; ``-`` if there is none.

    Examples
    --------
    >>> share(0.5), share(0.98765), share(None)
    ('50.0\xa0%', '98.8\xa0%', '-')
    """
    return "-" if value is None or value != value else f"{value:.1%}".replace("%", "\N{NO-BREAK SPACE}%")


def seconds(value: float) -> str:
    """Return a duration.

    Examples
    --------
    >>> seconds(4.21), seconds(75), seconds(7325)
    ('4.2 s', '1 min 15 s', '2 h 2 min')
    """
    if value < 60:
        return f"{value:.1f} s"
    minutes, rest = divmod(round(value), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60:,} h {minutes % 60} min"


def moment(text: str) -> str:
    """Return a time in ISO 8601 format for readers.

    Examples
    --------
    >>> moment("2026-11-30T13:39:25+00:00")
    '2026-11-30 13:39 UTC'
    """
    try:
        return datetime.fromisoformat(text).strftime("%Y-%m-%d %H:%M UTC")
    except ValueError:
        return text
