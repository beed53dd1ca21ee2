"""A source and its explanation as outputs of cells."""

import sys

import numpy as np
import pytest
from PIL import Image
from tests.html.reading import page_of

import bitesize as bs

RANDOM = np.random.default_rng(0)
EVIL = "&lt;b&gt;" if sys.platform == "win32" else "<img src=x onerror=alert(1)>"  # Windows has no such names


@pytest.fixture
def photos(tmp_path):
    for name in ("cat", EVIL):
        (tmp_path / name).mkdir()
        for i in range(8):
            Image.fromarray(RANDOM.integers(0, 255, (300, 400, 3)).astype(np.uint8)).save(tmp_path / name / f"{i}.jpg")
    (tmp_path / "cat" / "notes.txt").write_text("x")
    return tmp_path


def test_a_source_shows_what_explain_says_and_rows_of_several_classes(photos):
    source = bs.open(photos)
    page = page_of(source)
    for heading, text in source.explain(measure=False).lines():
        assert heading == "data" or text.partition("  [")[0] in page.cells
    assert page.cells[:3] == ["about", "what was found", "changed by"]
    assert "labels=" in page.cells
    assert [image["alt"] for image in page.images] == [
        *(f"row {row}, {EVIL}" for row in (0, 3, 6)),
        *(f"row {row}, cat" for row in (9, 12, 15)),
    ]
    assert [(image["width"], image["height"]) for image in page.images] == [("96", "72")] * 6


def test_an_explanation_also_shows_the_range_of_values(photos):
    page = page_of(bs.open(photos).explain())
    assert "values" in page.cells
    assert page.images == []


def test_a_row_that_cannot_be_read_is_text_beside_the_others(photos):
    source = bs.open(photos)
    path = photos / "cat" / "7.jpg"
    path.write_bytes(path.read_bytes()[:4000])
    page = page_of(source)
    assert len(page.images) == 5
    assert "not shown: damaged JPEG" in page.text


def test_files_and_images_that_are_too_large_are_not_read(photos, monkeypatch):
    monkeypatch.setattr("bitesize.sources.source_html._MOST_NBYTES", 20_000)
    page = page_of(bs.open(photos))
    assert page.images == []
    assert page.text.count("not shown: the file has") == 6


class Broken(bs.Source):
    """Rows whose labels and files cannot be read."""

    spec = {"x": bs.Encoded(), "y": bs.Field((), "i8")}
    label_error = True

    def __len__(self):
        return 3

    def read(self, rows, into):
        raise RuntimeError("read")

    def path(self, row):
        raise RuntimeError("<path>")

    @property
    def labels(self):
        if self.label_error:
            raise RuntimeError("<labels>")

    def _identity(self):
        return b""


def test_no_error_leaves_a_cell_without_output():
    source = Broken()
    assert "RuntimeError: <labels>" in page_of(source).text
    source.label_error = False
    page = page_of(source)
    assert "<path>" in page.text
    assert page.images == []


@pytest.mark.parametrize("orientation", [1, 6])
def test_images_are_upright(tmp_path, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(RANDOM.integers(0, 255, (30, 60, 3)).astype(np.uint8)).save(tmp_path / "a.jpg", exif=exif)
    (image,) = page_of(bs.open(tmp_path)).images
    assert (int(image["width"]) > int(image["height"])) == (orientation == 1)


def test_arrays_of_images_and_volumes_are_shown_and_numbers_are_not():
    assert len(page_of(bs.open(RANDOM.integers(0, 255, (9, 20, 24)).astype(np.uint8))).images) == 6
    volumes = bs.open(RANDOM.normal(size=(2, 5, 20, 24)), axes="DHW")
    assert len(page_of(volumes).images) == 2
    assert "the slice in the middle" in page_of(volumes).text
    assert page_of(bs.open(RANDOM.normal(size=(9, 20)), np.arange(9.0))).images == []
    assert page_of(bs.open(RANDOM.normal(size=(9, 4, 90)))).images == []  # nine series
    assert page_of(bs.timeseries(RANDOM.normal(size=(900, 12)), sequence_length=24)).images == []
    tiles = bs.patches(RANDOM.integers(0, 255, (600, 600, 3)).astype(np.uint8), 200)
    assert len(page_of(tiles).images) == 6


def test_the_text_of_a_source_is_what_it_was(photos):
    assert repr(bs.open(photos)) == "ImageFiles(16 rows of {x: image (RGB), y: () int64}, 2 classes)"
