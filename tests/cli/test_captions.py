"""Words in pictures: drawn where a font has their letters, else numbered, with a legend."""

import pytest
from PIL import Image

import bitesize as bs
from bitesize.cli import captions, inspect
from bitesize.cli.captions import Captions, font_with


@pytest.fixture
def no_fonts(monkeypatch):
    monkeypatch.setattr(captions, "_FONTS", ())
    font_with.cache_clear()
    yield
    font_with.cache_clear()


def test_a_row_is_captioned_with_its_class_and_its_file():
    found = Captions([300], ["dog"], [1], ["7.jpg"])
    assert (found.lines, found.legend) == (["dog  7.jpg"], [])


def test_where_no_font_has_the_letters_numbers_stand_for_names_and_a_legend_tells_them(no_fonts):
    found = Captions([300, 4, 5], ["狗", "猫", "狗"], [1, 0, 1], ["图.jpg", "2.jpg", "3.jpg"])
    assert found.lines == ["class 1  row 300", "class 0  row 4", "class 1  row 5"]
    assert found.legend == ["class 0: 猫", "class 1: 狗", "row 300: 图.jpg", "row 4: 2.jpg", "row 5: 3.jpg"]
    assert found.font is not None


def test_a_font_is_taken_only_if_it_has_every_letter():
    for text in ("狗", "Ж", "é"):
        font = font_with(text)
        if font is not None:
            assert bytes(font.getmask(text)) != bytes(font.getmask("\uffff"))


def test_numbers_are_captioned_with_the_names_of_their_columns(tmp_path):
    for i in range(2):
        Image.new("RGB", (4, 4)).save(tmp_path / f"{i}.png")
    (tmp_path / "t.csv").write_text("path,price,energy\n0.png,1.5,2\n1.png,3,4\n")
    several = inspect.captions_of(bs.open(tmp_path / "t.csv", ["energy", "price"]), [0, 1])
    assert several.lines == ["energy 2, price 1.5  0.png", "energy 4, price 3  1.png"]
    assert inspect.captions_of(bs.open(tmp_path / "t.csv", "price"), [0]).lines == ["price 1.5  0.png"]
