"""A batch as the output of a cell."""

import gc

import numpy as np
import pytest
from tests.html.reading import page_of

import bitesize as bs
from bitesize.batch import Batch
from bitesize.engine.loader import driver_of

RANDOM = np.random.default_rng(0)
IMAGES = RANDOM.integers(0, 255, (12, 20, 24, 3)).astype(np.uint8)
NAMES = ["<script>", "dog"] * 6


def loader(x, y=None, **settings):
    settings = {"batch_size": 4, "memory": "32 MiB", "shuffle": False, "threads": 1} | settings
    return bs.Loader(x if isinstance(x, bs.Source) else bs.open(x, y), **settings)


def first_page(x, y=None, **settings):
    with loader(x, y, **settings) as batches:
        return page_of(next(iter(batches)))


def test_fields_are_described_and_images_have_the_names_of_their_classes():
    page = first_page(IMAGES, NAMES)
    assert "Batch: 4 rows, epoch 0, position 0" in page.text
    assert page.cells[5:10] == ["x", "(4, 20, 24, 3)", "uint8", f"{IMAGES[:4].min()} to {IMAGES[:4].max()}", "5.6 KiB"]
    assert [image["alt"] for image in page.images] == [f"x of {NAMES[i]}, row {i}" for i in range(4)]


def test_values_that_are_stretched_are_said_to_be():
    page = first_page(IMAGES, transforms=[bs.Normalize([0.5] * 3, [0.2] * 3)])
    assert "values of float32 are shown from the lowest of each picture, black, to the highest, white" in page.text


@pytest.mark.parametrize("layout", ["HWC", "CHW"])
@pytest.mark.parametrize("channels", [(), (3,), (10,)])
def test_channels_may_come_first(layout, channels):
    page = first_page(RANDOM.integers(0, 255, (12, 20, 24, *channels)).astype(np.uint8), layout=layout)
    assert [(image["width"], image["height"]) for image in page.images] == [("72", "60")] * 4


def test_volumes_bands_and_gray_images_are_shown():
    volumes = bs.open(RANDOM.integers(0, 999, (4, 5, 16, 18)).astype(np.int16), axes="DHW")
    assert "the slice in the middle" in first_page(volumes).text
    assert "the first 3 of 10 channels" in first_page(RANDOM.normal(size=(4, 16, 18, 10))).text
    assert len(first_page(IMAGES[..., 0]).images) == 4


def test_masks_are_colored_over_the_images():
    masks = np.zeros((12, 20, 24), np.uint8)
    masks[:, 5:9] = 1
    plain, colored = first_page(IMAGES), first_page(IMAGES, masks)
    assert "classes of y are colored over it" in colored.text
    assert plain.images[0]["src"] != colored.images[0]["src"]


def test_rows_of_numbers_have_a_table_only_and_nan_is_counted():
    values = np.arange(24.0).reshape(12, 2)
    values[1, 1] = np.nan
    page = first_page(values, np.arange(12.0))
    assert "0 to 7, 1 NaN" in page.text
    assert page.images == []


def test_mixed_labels_and_rows_without_data_are_named():
    mixed = first_page(bs.open(IMAGES, NAMES).one_hot(), transforms=[bs.MixUp(0.4)], shuffle=True)
    assert any(name in mixed.images[0]["alt"] for name in NAMES)
    page = first_page(IMAGES[:3], last="pad")
    assert "1 row without data" in page.text
    assert len(page.images) == 3


def test_nothing_that_is_shown_keeps_the_memory_of_the_loader():
    with loader(IMAGES) as batches:
        gc.disable()  # so that cycles are found too
        try:
            batch = next(iter(batches))
            slots = driver_of(batches)._engine.ring.slots
            (slot,) = [slot for slot in slots if np.shares_memory(slot.memory, batch["x"])]
            shown = batch._repr_html_()
            assert slot.leased
            del batch
            assert not slot.leased
        finally:
            gc.enable()
        assert "%xdel" in shown
        assert "%xdel" not in next(iter(batches)).copy()._repr_html_()


def test_a_batch_that_a_program_has_made_is_shown_as_far_as_it_is_known():
    page = page_of(Batch({"x": IMAGES[:2], "y": np.array([3, 1]), "note": "<b>"}))
    assert [image["alt"] for image in page.images] == ["x of 3, number 0 of the batch", "x of 1, number 1 of the batch"]
    assert page_of(Batch({})).images == []


def test_objects_and_text_and_empty_batches_are_shown():
    assert "(2,)" in page_of(Batch({"x": np.array(["a", "b"])})).text
    assert "(0, 8, 8)" in page_of(Batch({"x": np.zeros((0, 8, 8))})).text
    assert "()" in page_of(Batch({"x": np.float32(3)})).text
    assert "3 NaN" in page_of(Batch({"x": np.full(3, np.nan)})).text
    assert page_of(Batch({"x": np.full((2, 9, 9), "a"), "y": np.array(["b", "c"])})).images == []
    assert page_of(Batch({"x": np.zeros((2, 9, 9, 0))})).images == []
    assert "all True" in page_of(Batch({"x": np.ones((2, 9), bool)})).text


def test_the_range_of_a_large_field_is_that_of_all_its_rows(monkeypatch):
    values = np.zeros((1000, 300), np.float32)
    values[999, 299], values[500, 0] = 7, -2
    assert "-2 to 7" in page_of(Batch({"x": values})).text
    monkeypatch.setattr("bitesize.pictures.batch_html._MEASURED", 12_000)
    assert "0 to 0 (first 10 rows)" in page_of(Batch({"x": values})).text


def test_tensors_of_pytorch_are_shown():
    torch = pytest.importorskip("torch")
    with loader(IMAGES, NAMES, transforms=[bs.Scale(1 / 255)]) as batches:
        page = page_of(next(iter(bs.to_torch(batches))))
    assert "(4, 3, 20, 24)" in page.text
    assert [(image["width"], image["height"]) for image in page.images] == [("72", "60")] * 4
    assert "bfloat16" in page_of(Batch({"x": torch.ones((2, 9, 9), dtype=torch.bfloat16)})).text


def test_the_text_of_a_batch_is_what_it_was():
    with loader(IMAGES, NAMES) as batches:
        batch = next(iter(batches))
        assert repr(batch) == "Batch({x: (4, 20, 24, 3) uint8, y: (4,) int64}, epoch=0, position=0)"
