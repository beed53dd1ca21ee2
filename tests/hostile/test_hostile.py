"""Whatever a file holds, it becomes a row or a bad row: never a crash, a hang, a wrong row, or bytes beyond the budget."""

import sys

import pytest

from tests.contract.measure import MARGIN
from tests.hostile.running import outcome

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the limit and the figures are Linux's")


def _check(kind, count, seed, folder):
    from tests.programs.hostile_files import BUDGET

    told = outcome(kind, count, seed, folder)
    assert told["rows"] + told["bad"] >= count
    assert told["rows"] > count // 100  # some are good, or nothing was tested
    assert told["bad"] > count // 4
    assert told["wrong"] == 0
    assert told["reached"] <= BUDGET + MARGIN
    assert not told["ran"]


@pytest.mark.parametrize("kind", ["npy", "npz", "images", "tiff", "nifti", "dicom"])
def test_hostile_files_are_rows_or_bad_rows_within_the_budget(kind, tmp_path):
    _check(kind, 300, 1, tmp_path)


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("kind", ["npy", "npz", "images", "tiff", "nifti", "dicom"])
def test_ten_thousand_hostile_files_are_rows_or_bad_rows_within_the_budget(kind, tmp_path):
    _check(kind, 10_000, 0, tmp_path)
