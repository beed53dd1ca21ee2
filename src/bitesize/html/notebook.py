"""HTML of outputs in notebooks: tables, bars and images, with all text escaped, readable on light and dark pages."""

from __future__ import annotations

import base64
import html
from collections.abc import Collection, Iterable, Sequence

# Text and lines take the color of the page, so that they are readable on light and dark ones. Selectors name the class twice, to
# come before those of Jupyter, which align cells at their right and color every other line.
_STYLE = """
div.bitesize{color:inherit;font-size:13px;line-height:1.4;max-width:64em;overflow-x:auto}
div.bitesize p{margin:.3em 0}
div.bitesize table{border-collapse:collapse;margin:.3em 0;border:0;font-size:inherit;table-layout:auto}
div.bitesize table tr,div.bitesize table tbody tr:nth-child(n),div.bitesize table tbody tr:hover{background:none}
div.bitesize table th,div.bitesize table td{text-align:left;vertical-align:top;padding:.15em 1em .15em 0;border:0;
border-bottom:1px solid color-mix(in srgb,currentColor 15%,transparent);overflow-wrap:anywhere;white-space:normal;max-width:48em}
div.bitesize table th{font-weight:600;overflow-wrap:normal}
div.bitesize table .number{text-align:right;white-space:nowrap;font-variant-numeric:tabular-nums}
div.bitesize table caption{text-align:left;caption-side:top;padding:.3em 0;color:inherit;font-weight:600}
div.bitesize div.row{display:flex;flex-wrap:wrap;gap:10px;margin:.5em 0}
div.bitesize figure{margin:0;max-width:110px;font-size:11px;line-height:1.3;overflow-wrap:anywhere}
div.bitesize img{display:block;margin:0 0 2px;background:none;border:1px solid color-mix(in srgb,currentColor 15%,transparent)}
div.bitesize img.enlarged{image-rendering:pixelated}
div.bitesize svg{display:block;max-width:100%;height:auto}
div.bitesize figure.chart{max-width:300px;width:100%;font-size:11px}
div.bitesize .chart text{fill:currentColor;font-size:15px}
div.bitesize .chart .grid{stroke:currentColor;stroke-opacity:.2}
div.bitesize .chart .axis{stroke:currentColor;stroke-opacity:.6}
div.bitesize .chart .line{fill:none;stroke-width:2.4}
div.bitesize .chart .dot{stroke-width:1.6;fill:none}
div.bitesize .chart .s0{stroke:var(--s0)}
div.bitesize .chart .s1{stroke:var(--s1);stroke-dasharray:7 3}
div.bitesize .chart .dot.s1{stroke-dasharray:none}
""".replace("div.bitesize", "div.bitesize.bitesize")
# Colors that differ clearly on white and on black, also for people who see few colors.
COLORS = ("#4c8fd6", "#e08a2e", "#3fa66b", "#c25b9b", "#8c7ae0", "#c9a227", "#3ba7b0", "#d0605e")


class Html(str):
    """Text that is HTML; any other text is escaped before it is shown. Also templates of Jinja2 do not escape it again."""

    __slots__ = ()

    def __html__(self) -> str:
        return self


def escaped(value: object) -> Html:
    """Return a value as HTML: text is escaped, and bytes of file names that are no text are shown as numbers.

    Examples
    --------
    >>> escaped("a < b"), escaped(Html("<b>"))
    ('a &lt; b', '<b>')
    """
    if isinstance(value, Html):
        return value
    text = str(value).encode("utf-8", "backslashreplace").decode("utf-8")
    return Html(html.escape(text))


def element(tag: str, *contents: object, **attributes: object) -> Html:
    """Return an element. Contents and attributes are escaped; ``cls`` is the attribute ``class``, and attributes that are "" are left out.

    Examples
    --------
    >>> element("p", "1 < 2", cls="note")
    '<p class="note">1 &lt; 2</p>'
    """
    named = {
        "class" if name == "cls" else name.replace("_", "-"): value for name, value in attributes.items() if value != ""
    }
    start = "".join([tag, *(f' {name}="{escaped(value)}"' for name, value in named.items())])
    return Html(f"<{start}>{joined(contents)}</{tag}>")


def joined(parts: Iterable[object], between: str = "") -> Html:
    """Return parts one after another, escaped."""
    return Html(between.join(map(escaped, parts)))


def output(title: object, *blocks: object) -> str:
    """Return the whole output of a cell: a title and blocks of HTML; text becomes a paragraph, and "" is left out."""
    shown = [block if isinstance(block, Html) else element("p", block) for block in blocks if block != ""]
    return str(element("div", element("style", Html(_STYLE)), element("p", element("b", title)), *shown, cls="bitesize"))


def table(
    lines: Iterable[Sequence[object]], heads: Sequence[object] = (), *, numbers: Collection[int] = (), caption: object = ""
) -> Html:
    """Return a table. The first cell of each line is the line's heading.

    Parameters
    ----------
    lines
        Cells of each line.
    heads
        Headings of the columns.
    numbers
        Columns, from 0, that are aligned at their right.
    caption
        Title of the table.

    Examples
    --------
    >>> table([("rows", 12)], numbers=[1])
    '<table><tbody><tr><th scope="row">rows</th><td class="number">12</td></tr></tbody></table>'
    """

    def cell(column: int, value: object) -> Html:
        cls = "number" if column in numbers else ""
        return element("td", value, cls=cls) if column else element("th", value, scope="row", cls=cls)

    body = [element("tr", *(cell(i, value) for i, value in enumerate(line))) for line in lines]
    if not body:
        return Html("")
    named = [element("th", head, scope="col", cls="number" if i in numbers else "") for i, head in enumerate(heads)]
    return element(
        "table",
        element("caption", caption) if caption != "" else "",
        element("thead", element("tr", *named)) if named else "",
        element("tbody", *body),
    )


def data_address(data: bytes, kind: str) -> str:
    """Return an image within a page as its address; ``kind`` is ``"png"`` or ``"jpeg"``."""
    return f"data:image/{kind};base64,{base64.b64encode(data).decode('ascii')}"


def image(data: bytes, kind: str, alt: str, width: int, height: int, *, enlarged: bool = False) -> Html:
    """Return an image.

    Parameters
    ----------
    data
        The file.
    kind
        ``"png"`` or ``"jpeg"``.
    alt
        Text for readers who do not see it.
    width, height
        Size on the page, in pixels.
    enlarged
        Whether the pixels of a small image are shown as squares.
    """
    cls = ' class="enlarged"' if enlarged else ""
    return Html(f'<img src="{data_address(data, kind)}" alt="{escaped(alt)}" width="{width}" height="{height}"{cls}>')


def beside(blocks: Iterable[Html]) -> Html:
    """Return blocks beside each other, as many as fit a line."""
    shown = list(blocks)
    return element("div", *shown, cls="row") if shown else Html("")


def images(pairs: Iterable[tuple[object, object]]) -> Html:
    """Return images beside each other, each above its caption; text in place of an image is shown as it is."""
    return beside(element("figure", picture, element("figcaption", caption)) for picture, caption in pairs)


def swatch(number: int) -> Html:
    """Return a square of the color of the part with this number in a `bar`."""
    style = f"display:inline-block;width:.7em;height:.7em;margin-right:.4em;background:{COLORS[number % len(COLORS)]}"
    return element("span", style=style, aria_hidden="true")


def bar(parts: Sequence[tuple[str, float]], whole: float, label: str) -> Html:
    """Return a bar that is filled by parts, from the left, up to a whole; each part has its name where a mouse points at it.

    Parameters
    ----------
    parts
        Name and size of each part.
    whole
        Size of the whole bar; a larger sum of the parts fills it.
    label
        The same as text.
    """
    whole = max(whole, sum(size for _, size in parts), 1e-9)
    at, filled = 0.0, []
    for i, (name, size) in enumerate(parts):
        width = 600 * size / whole
        shape = element(
            "rect", element("title", name), x=f"{at:.1f}", y=1, width=f"{width:.1f}", height=12, fill=COLORS[i % len(COLORS)]
        )
        filled.append(shape)
        at += width
    frame = element("rect", x=0.5, y=0.5, width=599, height=13, rx=2, fill="none", stroke="currentColor", stroke_opacity=0.5)
    return element("svg", *filled, frame, role="img", aria_label=label, viewBox="0 0 600 14", width=600, height=14)
