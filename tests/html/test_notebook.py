"""Helpers of outputs: text is escaped, and tables and images can be read aloud."""

import re

from tests.html.reading import Page

from bitesize.html.notebook import Html, bar, element, escaped, image, images, output, table

EVIL = "<img src=x onerror=alert(1)>\"'&"


def test_text_is_escaped_wherever_it_stands():
    page = Page(
        output(
            EVIL, EVIL, table([(EVIL, EVIL)], (EVIL, EVIL), caption=EVIL), images([(EVIL, EVIL)]), bar([(EVIL, 1)], 2, EVIL)
        )
    )
    assert page.images == []
    assert page.text.count(EVIL) == 10
    assert page.cells == [EVIL] * 4


def test_attributes_are_escaped_too():
    page = Page(output("", image(b"", "png", EVIL, 1, 1), element("p", EVIL, title=EVIL)))
    assert [each["alt"] for each in page.images] == [EVIL]


def test_html_is_not_escaped_again_also_by_templates():
    import jinja2

    assert escaped(Html("<b>")) == "<b>"
    assert jinja2.Template("{{ x }}{{ y }}", autoescape=True).render(x=element("b", "<"), y="<") == "<b>&lt;</b>&lt;"


def test_names_that_are_no_text_can_be_sent_to_a_browser():
    name = b"caf\xe9.jpg".decode("utf-8", "surrogateescape")
    assert "caf\\udce9.jpg" in Page(output(name)).text


def test_a_table_without_lines_and_blocks_without_contents_are_left_out():
    assert output("a", table([], ("x",)), "") == output("a")


def test_colors_of_text_and_ground_are_those_of_the_page():
    style = output("x").partition("<style>")[2].partition("</style>")[0]
    assert "color:inherit" in style
    assert not re.search(r"#[0-9a-f]|white(?!-space)|black|rgb\(", style)


def test_a_bar_is_filled_by_its_parts_up_to_the_whole():
    shown = bar([("a", 25), ("b", 50)], 100, "75 of 100")
    assert shown.count("<rect") == 3
    assert 'width="150.0"' in shown
    assert 'x="150.0"' in shown
    assert 'width="300.0"' in shown
    assert 'width="600.0"' in bar([("a", 200)], 100, "too much")
