"""The result of packing as the output of a cell."""

import numpy as np
from tests.html.reading import page_of

import bitesize as bs
from bitesize.packed.manifest import Skipped
from bitesize.packing.report import PackReport


def test_figures_notes_and_rows_that_could_not_be_read_are_shown(tmp_path):
    report = bs.pack(bs.open(np.zeros((9, 2))), tmp_path / "packed")
    page = page_of(report)
    assert {str(tmp_path / "packed"), "bytes", "9"} <= set(page.cells)
    assert set(report.notes) <= set(page.cells)
    skipped = {"train": tuple(Skipped(row, "<damaged>") for row in range(30))}
    page = page_of(PackReport(tmp_path, "jpeg", {"train": 1000, "val": 2}, 3, 10, 2, skipped, (), 1.0))
    assert {"train 1,000, val 2", "3, of which 2 were there already, 10 B"} <= set(page.cells)
    assert "30 rows could not be read, the first 20" in page.text
    assert page.cells.count("<damaged>") == 20
