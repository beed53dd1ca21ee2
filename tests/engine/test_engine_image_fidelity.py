"""What decoding at a fraction of the size costs, on real photographs; and that nothing of one image gets into another."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.conftest import noise, write_jpeg

import bitesize as bs

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data" / "catsdogs"


def _all(source, size, **options):
    with bs.Loader(
        source,
        batch_size=len(source),
        transforms=[bs.Resize(size)],
        memory="1 GiB",
        shuffle=False,
        dtype="float32",
        **options,
    ) as loader:
        return next(iter(loader))["x"].copy()


@pytest.mark.skipif(not SHARED.is_dir(), reason="needs the real photographs")
@pytest.mark.parametrize("size", [24, 32, 48, 64, 96, 128, 224])
def test_decoding_at_a_fraction_of_the_size_is_not_visible(size):
    """On average at most 1.4 levels of 255 apart, and at most 8 in any one image."""
    source = bs.open(SHARED)
    source = source.subset(np.arange(0, len(source), 4))
    apart = np.abs(_all(source, size) - _all(source, size, fast_decode=False)).mean(axis=(1, 2, 3))
    assert apart.mean() <= 1.4
    assert apart.max() <= 8
    assert (apart.max() > 0) == (size <= 128)  # it is done at all, where images are larger than three times that


@pytest.mark.skipif(not SHARED.is_dir(), reason="needs the real photographs")
@pytest.mark.parametrize("size", [40, 224])
def test_without_it_real_photographs_are_resized_as_pillow_does(size):
    source = bs.open(SHARED).subset(np.arange(0, 1000, 25))
    out = _all(source, size, fast_decode=False)
    for i in range(len(source)):
        with Image.open(source.describe(i)) as image:
            expected = np.asarray(image.convert("RGB").resize((size, size), Image.Resampling.BILINEAR)).astype(int)
        # Decoders may differ by a level or two in single pixels, and Pillow rounds between the two directions.
        assert np.abs(out[i] - expected).mean() < 0.6
        assert np.abs(out[i] - expected).max() <= 4


@pytest.mark.parametrize("spoil", ["cut off", "noise in the middle", "only a header"])
def test_a_damaged_image_leaves_no_trace_in_the_batch(tmp_path, spoil):
    """Scratch and slots are used again and again: what an earlier image left there must never be seen."""
    for i in range(12):
        path = write_jpeg(
            tmp_path / f"{i:02}.jpg", np.full((200, 300, 3), 255, np.uint8) if i % 2 == 0 else noise(200, 300, seed=i)
        )
        if i % 2:
            data = path.read_bytes()
            if spoil == "cut off":
                data = data[: len(data) * i // 14]
            elif spoil == "only a header":
                data = data[:700]
            else:
                data = data[: len(data) // 2] + b"\xff\xd9" + data[len(data) // 2 :]
            path.write_bytes(data)
    with bs.Loader(
        bs.open(tmp_path), batch_size=4, transforms=[bs.Resize(64)], memory="32 MiB", shuffle=False, on_error="skip", max_bad=1.0,
        threads=1,
    ) as loader:  # fmt: skip
        for _ in range(2):
            for batch in loader:
                assert batch.mask.tolist() == [True, False, True, False]
                assert (batch["x"][::2] == 255).all()
                assert not batch["x"][1::2].any()


def test_scratch_of_a_twelve_megapixel_photograph_stays_small(tmp_path):
    """Baseline JPEGs are decoded at a fraction of their size, so a thread needs less than 16 MiB."""
    for i in range(2):
        write_jpeg(tmp_path / f"{i}.jpg", noise(3000, 4000, seed=i))
    with bs.Loader(
        bs.open(tmp_path), batch_size=2, transforms=[bs.Resize(224)], memory="64 MiB", threads=1, shuffle=False
    ) as loader:
        fixed = loader.budget.in_use
        next(iter(loader))
        assert loader.budget.peak - fixed < 16 << 20
