"""Statistics of a source: exact, by any number of threads, within the budget."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from tests.properties import examples

import bitesize as bs
from bitesize.kernels.moments import merge, moments, moments_reference
from bitesize.scan.moments import bite_rows
from bitesize.scan.rows import spans
from bitesize.scan.statistics import Total, measured


@examples(60)
@given(
    st.sampled_from(["u1", "i2", "i8", "f4", "f8", "?"]), st.integers(1, 60), st.integers(1, 4), st.integers(0, 99), st.booleans()
)  # fmt: skip
def test_the_kernel_is_its_reference_and_parts_merge_to_the_whole(dtype, pixels, channels, seed, odd):
    random = np.random.default_rng(seed)
    values = random.normal(60, 20, (pixels, channels)).astype(dtype)
    if odd and dtype.startswith("f"):
        values[random.random(values.shape) < 0.2] = np.nan
    expected, got = np.empty((channels, 6)), np.empty((channels, 6))
    moments_reference(values, expected)
    moments(values, got)
    np.testing.assert_allclose(got, expected, rtol=1e-12, atol=1e-9)
    total, part = np.zeros((channels, 6)), np.empty((channels, 6))
    total[:, 3], total[:, 4] = np.inf, -np.inf
    for piece in np.array_split(values, 3):
        moments(piece, part)
        merge(total, part)
    np.testing.assert_allclose(total, expected, rtol=1e-10, atol=1e-7)


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize(
    ("make", "channels"),
    [
        (lambda r: r.integers(0, 256, (500, 12, 10, 3), np.uint8), 3),
        (lambda r: r.normal(1e6, 1e-2, (300, 7, 5, 1)), 1),
        (lambda r: r.random((4000, 33)).astype(np.float32), 1),
        (lambda r: r.random((400, 6, 5, 4)).astype(np.float16), 4),
    ],
    ids=range(4),
)
def test_arrays_are_measured_exactly(tmp_path, make, channels, threads):
    x = make(np.random.default_rng(0))
    np.save(tmp_path / "x.npy", x)
    budget = bs.Budget("32 MiB")
    source = bs.open(tmp_path / "x.npy", np.arange(len(x)) % 7)
    found = bs.statistics(source, budget, threads=threads)
    values = x.reshape(-1, channels).astype(np.float64)
    np.testing.assert_allclose(found.mean, values.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(found.std, values.std(axis=0), rtol=1e-6)
    assert found.least == tuple(values.min(axis=0))
    assert found.greatest == tuple(values.max(axis=0))
    assert found.classes == {str(i): int((np.arange(len(x)) % 7 == i).sum()) for i in range(7)}
    assert (found.rows, found.bad, found.not_finite, budget.granted) == (len(x), 0, 0, 0)
    assert found == bs.statistics(source, "32 MiB", threads=5)


def test_images_are_measured_as_they_are_stored(photos):
    source = bs.open(photos)
    budget = bs.Budget("24 MiB")
    found = bs.statistics(source, budget)
    paths = [source.describe(i) for i in range(len(source))]
    pixels = np.concatenate([np.asarray(Image.open(path).convert("RGB")).reshape(-1, 3) for path in paths]).astype(float)
    np.testing.assert_allclose(found.mean, pixels.mean(axis=0), atol=0.05)  # decoders differ by a level here and there
    np.testing.assert_allclose(found.std, pixels.std(axis=0), atol=0.05)
    mean, _ = found.normalization
    np.testing.assert_allclose(mean, pixels.mean(axis=0) / 255, atol=1e-3)
    assert sum(found.classes.values()) == len(source)
    assert 0 < budget.peak <= budget.total
    assert budget.granted == 0
    assert len(bs.statistics(source.subset([0])).mean) == 3
    assert len(bs.statistics(bs.open(photos, mode="L")).mean) == 1


def test_normalize_with_the_data_measures_it_first(photos):
    source = bs.open(photos)
    mean, std = bs.statistics(source).normalization
    transforms = [bs.Resize(64), bs.Normalize("data")]
    with bs.Loader(source, batch_size=len(source), memory="128 MiB", transforms=transforms) as loader:
        assert loader.transforms[1] == bs.Normalize(mean, std)
        values = next(iter(loader))["x"].astype(np.float64)
    assert abs(values.mean()) < 0.1
    assert 0.7 < values.std() < 1.1  # resizing takes a little of the spread
    with pytest.raises(bs.BadSetting, match="no numbers until"):
        bs.Normalize("data").check(3)


def test_what_cannot_be_read_is_raised_or_counted(tmp_path):
    for i in range(20):
        Image.fromarray(np.full((8, 8, 3), i, np.uint8)).save(tmp_path / f"{i:02d}.png")
    (tmp_path / "05.png").write_bytes(b"junk")
    with pytest.raises(bs.BadFile, match=r"05\.png.*row 5"):
        bs.statistics(bs.open(tmp_path))
    found = bs.statistics(bs.open(tmp_path), on_error="skip")
    assert (found.rows, found.bad, found.greatest) == (19, 1, (19.0, 19.0, 19.0))
    for path in tmp_path.iterdir():
        path.write_bytes(b"junk")
    with pytest.raises(bs.BadFile, match="none of 20 rows"):
        bs.statistics(bs.open(tmp_path), on_error="skip")


def test_values_that_are_not_finite_are_counted_and_left_out():
    found = bs.statistics(bs.open(np.array([[1.0, np.nan], [3.0, np.inf]])))
    assert (found.mean, found.least, found.greatest, found.not_finite) == ((2.0,), (1.0,), (3.0,), 2)


def test_an_image_that_cannot_be_decoded_within_the_budget_is_refused(tmp_path):
    Image.fromarray(np.zeros((2000, 2000, 3), np.uint8)).save(tmp_path / "a.png")
    with pytest.raises(bs.DoesNotFit, match=r"a\.png needs"):
        bs.statistics(bs.open(tmp_path), "8 MiB")


def test_what_has_no_numbers_is_refused():
    with pytest.raises(bs.BadSetting, match="statistics need numbers in the field x"):
        bs.statistics(bs.open(np.zeros((3, 2), "M8[s]")))


def test_large_images_among_small_ones_never_hang(tmp_path):
    # The largest needs nearly the whole pool, while the other threads have some of it and nothing left to do.
    for i in range(40):
        side = 3000 if i in (3, 39) else 700 + 40 * (i % 7)
        Image.fromarray(np.full((side, side, 3), i, np.uint8)).save(tmp_path / f"{i:02d}.png", compress_level=1)
    budget = bs.Budget("100 MiB")
    found = bs.statistics(bs.open(tmp_path), budget, threads=4)
    assert (found.rows, found.greatest, budget.granted) == (40, (39.0,) * 3, 0)
    assert budget.peak <= budget.total


def test_large_values_with_a_small_spread_keep_their_digits():
    values = 1e14 + np.random.default_rng(0).integers(0, 100, 200_000)
    found = bs.statistics(bs.open(values))
    assert abs(found.mean[0] - values.mean()) < 0.1
    np.testing.assert_allclose(found.std[0], (values - 1e14).std(), rtol=1e-6)
    longdouble = bs.statistics(bs.open(np.ones((5, 2), "g")))
    assert longdouble.mean == (1.0,)


def test_an_image_that_does_not_fit_is_no_bad_file(tmp_path):
    Image.fromarray(np.zeros((2000, 2000, 3), np.uint8)).save(tmp_path / "a.png")
    Image.fromarray(np.zeros((20, 20, 3), np.uint8)).save(tmp_path / "b.png")
    with pytest.raises(bs.DoesNotFit, match=r"a\.png needs"):
        bs.statistics(bs.open(tmp_path), "8 MiB", on_error="skip")
    with pytest.raises(bs.BadSetting, match="threads"):
        bs.statistics(bs.open(tmp_path), threads=-1)
    with pytest.raises(bs.BadSetting, match="finite"):
        bs.statistics(bs.open(np.full((3, 2), np.nan)))


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float16", "float32"])
@pytest.mark.parametrize(
    ("shape", "channels", "why"),
    [
        *(((9, 8, count), count, "") for count in (1, 2, 3, 4, 5, 6, 7, 9, 10)),
        ((9, 8, 8), 1, "not clear"),
        ((1, 9, 9), 1, ""),
        ((3, 9, 9), 1, "come first"),
        ((4, 9, 9), 1, "come first"),
        ((3, 16, 9), 1, "come first"),
        ((5, 9, 9), 1, "not clear"),
    ],
)
def test_rows_of_three_axes_have_figures_for_each_channel_or_the_reason_why_not(shape, channels, why, dtype, caplog):
    most = 60_000 if dtype == "uint16" else 200  # less of 65,535 would be noted
    x = np.random.default_rng(0).integers(0, most, (20, *shape)).astype(dtype)
    source = bs.open(x)
    found = bs.statistics(source, "64 MiB")
    assert found.mean == pytest.approx(x.astype(np.float64).reshape(-1, channels).mean(0))
    assert why in found.note
    assert bool(found.note) == bool(why)
    notes = [text for heading, text in source.explain().lines() if heading == "note"]
    assert len(notes) == bool(why)
    with bs.Loader(source, batch_size=20, transforms=[bs.Normalize("data")], memory="64 MiB", shuffle=False) as loader:
        first = next(iter(loader))["x"].reshape(-1, channels)
    colors = 3 if channels == 4 else channels  # a fourth channel is alpha, which keeps its values
    assert first[:, :colors].mean(0) == pytest.approx(np.zeros(colors), abs=0.02)
    assert ("has one mean" in caplog.text) == bool(why)


def test_spans_are_measured_as_all_rows_to_the_last_bit(tmp_path):
    x = np.random.default_rng(0).normal(1e6, 3, (5000, 400)).astype(np.float32)
    np.save(tmp_path / "x.npy", x)
    source, budget = bs.open(tmp_path / "x.npy"), bs.Budget("32 MiB")
    rows = bite_rows(source)
    assert rows < len(source)
    total = Total(source, "raise")
    for span in spans(len(source), rows, rows):
        for part in measured(source, span, budget):
            total.add(part)
    assert total.statistics() == bs.statistics(source)
    assert budget.in_use == 0
