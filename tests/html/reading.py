"""Read the HTML of outputs of cells as a browser does, and check what holds for each of them."""

from html.parser import HTMLParser

MOST_BYTES = 200_000
_VOID = {"img", "br"}
_KNOWN = {
    "div", "style", "p", "b", "table", "caption", "thead", "tbody", "tr", "th", "td", "figure", "figcaption", "img", "br", "code", "span",
    "svg", "title", "rect", "path", "circle", "line", "text",
}  # fmt: skip


class Page(HTMLParser):
    """An output: its text, its images and its table cells, read by the standard library's parser."""

    def __init__(self, html):
        super().__init__()
        self.html, self.text, self.images, self.cells, self._open = html, "", [], [], []
        self.feed(html)
        self.close()
        assert self._open == [], "elements are not closed"
        assert len(html.encode()) < MOST_BYTES

    def handle_starttag(self, tag, attributes):
        named = dict(attributes)
        assert tag in _KNOWN, f"an element that bitesize does not write: {self.get_starttag_text()}"
        assert not any(name.startswith("on") for name in named), "a script"
        if tag == "img":
            assert named["alt"], "an image without text"
            assert named["src"].startswith("data:image/")
            self.images.append(named)
        if tag == "svg":
            assert named["aria-label"]
        if tag == "th":
            assert named["scope"] in ("row", "col")
        if tag not in _VOID:
            self._open.append(tag)
        if tag in ("th", "td"):
            self.cells.append("")

    def handle_endtag(self, tag):
        assert self._open.pop() == tag, f"</{tag}> closes another element"

    def handle_data(self, data):
        if "style" not in self._open:
            self.text += data + " "
            if self._open and {"th", "td"} & set(self._open):
                self.cells[-1] += data


def page_of(thing):
    """Return the output of a cell that ends with a thing."""
    return Page(thing._repr_html_())
