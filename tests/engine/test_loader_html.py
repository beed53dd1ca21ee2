"""A loader, its plan and its statistics as outputs of cells."""

import numpy as np
from tests.html.reading import page_of

import bitesize as bs

IMAGES = np.random.default_rng(0).integers(0, 255, (20, 16, 16, 3)).astype(np.uint8)


def loader(**settings):
    settings = {"batch_size": 8, "memory": "32 MiB", "threads": 1} | settings
    return bs.Loader(bs.open(IMAGES, np.arange(20) % 2), **settings)


def test_a_loader_shows_its_source_its_settings_its_position_and_its_plan():
    with loader(transforms=[bs.Flip()], seed=7, last="drop") as batches:
        page = page_of(batches)
        assert repr(batches.source) in page.cells
        assert "2 of 8 rows in each epoch; 4 rows unused in each epoch" in page.cells
        assert "Flip()" in page.cells
        assert "shuffled, seed 7" in page.cells
        assert "the next loop starts in epoch 0 at row 0" in page.cells
        assert batches.plan.verdict in page.text
        for _ in batches:
            pass
        assert "the next loop starts in epoch 1 at row 0" in page_of(batches).cells
    with loader(order=bs.Order(20, shuffle=False, limit_rows=9, repeat=2)) as batches:
        assert "natural order, limit_rows 9, 2 passes in an epoch" in page_of(batches).cells


def test_a_plan_shows_each_part_in_its_table_and_in_its_bar():
    with loader() as batches:
        plan = batches.plan
        page = page_of(plan)
        for name, size, detail in plan.table():
            assert {name, size, detail} <= set(page.cells)
        assert page.html.count("<rect") == len(plan.parts) + 1
        assert all(hint in page.text for hint in plan.hints)
        assert repr(plan).startswith("20 rows, 3 batches of 8: x (8, 16, 16, 3) uint8, y (8,) int64\n")


def test_statistics_show_the_verdict_and_the_time_of_each_activity():
    with loader() as batches:
        assert page_of(batches.stats).cells == []
        assert "nothing has been loaded yet" in page_of(batches.stats).text
        for _ in batches:
            pass
        page = page_of(batches.stats)
        assert batches.stats.verdict().partition(":")[0] in page.text
        assert "20 in 3 batches" in page.cells
        assert "waiting for the consumer" in page.cells
