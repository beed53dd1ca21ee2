"""What `check` and `statistics` find, as outputs of cells."""

import numpy as np
from tests.html.reading import page_of

import bitesize as bs
from bitesize.scan.findings import Findings, ReportedRow

EVIL = "<b>&.jpg"


def test_findings_are_tables_of_each_kind():
    row = ReportedRow("train", 1200, EVIL, "damaged")
    many = tuple(row._replace(row=i) for i in range(50))
    found = Findings(
        {"train": 2000, "val": 1},
        (row,),
        ((row, row),),
        (),
        many,
        {"train": {"cat": 3}, "val": {"cat": 1, "dog": 2}},
        ("odd",),
    )
    page = page_of(found)
    assert "Checked train 2,000 rows, val 1 row: problems were found" in page.text
    assert "1 row cannot be read" in page.text
    assert "1 group of rows equal within a part" in page.text
    assert "50 rows may be unintended, the first 20 rows" in page.text
    assert page.cells[5:8] == ["1,200", EVIL, "damaged"]
    assert page.cells[-9:] == ["class", "train", "val", "cat", "3", "1", "dog", "0", "2"]
    assert "odd" in page.text


def test_data_without_problems_is_said_to_be_so():
    page = page_of(bs.check(bs.open(np.arange(12.0).reshape(6, 2)), "16 MiB"))
    assert "6 rows: nothing wrong was found" in page.text
    assert page.cells == []


def test_statistics_have_a_line_for_each_channel():
    images = np.random.default_rng(0).integers(0, 255, (9, 16, 16, 3)).astype(np.uint8)
    page = page_of(bs.statistics(bs.open(images, np.arange(9) % 2)))
    assert page.cells[:5] == ["channel", "mean", "deviation", "least", "greatest"]
    assert page.cells[-6:] == ["class", "rows", "0", "5", "1", "4"]
    assert len(page.cells) == 5 * 4 + 6
