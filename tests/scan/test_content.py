"""Facts about rows, which several processes may find."""

from __future__ import annotations

import numpy as np
import pytest
from tests.conftest import noise, write_jpeg

import bitesize as bs
from bitesize.memory.budget import Budget
from bitesize.scan.check import check_parts
from bitesize.scan.content import RowFacts
from bitesize.scan.reading import read_contents


def photographs(folder):
    for i in range(40):
        write_jpeg(folder / "photos" / "ab"[i % 2] / f"{i:02}.jpg", noise(20, 30, seed=i % 38))
    (folder / "photos" / "a" / "text.jpg").write_text("no image")
    write_jpeg(folder / "photos" / "b" / "gray.jpg", np.full((20, 30, 3), 90, np.uint8))
    return bs.open(folder / "photos")


def arrays(folder):
    x = np.random.default_rng(0).normal(size=(3000, 20, 30))
    x[7, 0, 0], x[2999, 0, 0], x[2000] = np.nan, np.inf, 3
    x[2500] = x[1]
    np.save(folder / "x.npy", x)
    return bs.open(folder / "x.npy", np.arange(3000) % 2)


@pytest.mark.parametrize("make", [photographs, arrays])
@pytest.mark.parametrize("size", [7, 1000])
def test_facts_about_spans_make_the_findings_of_all_rows(tmp_path, make, size):
    source, budget = make(tmp_path), Budget("64 MiB")
    step = size if make is photographs else 40 * size

    def read(name, facts):
        """Read the last span first: the order does not matter."""
        failed = {}
        for start in reversed(range(0, len(source), step)):
            part = RowFacts(range(start, min(start + step, len(source))))
            failed |= read_contents(source, part, budget, 2, None)
            facts.put(part)
        return failed

    found = check_parts({"data": source}, budget, read)
    assert found == bs.check(source, "64 MiB")
    assert found.suspicious
    assert found.duplicates
    assert budget.in_use == 0
