"""Pairs that are mixed: shares, labels, and what they depend on."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.conftest import noise
from tests.properties import examples

import bitesize as bs
from bitesize.kernels.mix import blend, blend_reference, exchange, exchange_reference

N, CLASSES = 24, 5
X = np.stack([noise(16, 20, seed=i) for i in range(N)])
Y = np.arange(N) % CLASSES


def epoch(*transforms, x=X, y=Y, batch_size=8, ranks=1, **options):
    """Give one epoch of all ranks together: x, y and rows, in the global order."""
    loaders = [
        bs.Loader(bs.open(x, y), batch_size=batch_size, transforms=list(transforms), memory="32 MiB", seed=3,
                  shard=bs.Shard(rank, ranks), **options)
        for rank in range(ranks)
    ]  # fmt: skip
    steps = [[(batch["x"].copy(), batch["y"].copy(), batch.rows.copy()) for batch in loader] for loader in loaders]
    for loader in loaders:
        loader.close()
    flat = [part for step in zip(*steps, strict=True) for part in step]
    return tuple(np.concatenate(parts) for parts in zip(*flat, strict=True))


@pytest.mark.parametrize("dtype", ["float32", "uint8", "float16", "bfloat16"])
@pytest.mark.parametrize("layout", ["HWC", "CHW"])
def test_mixup_is_the_mean_of_a_pair_with_the_share_of_its_labels(dtype, layout):
    x, y, rows = epoch(bs.MixUp(1.0), dtype=dtype, layout=layout)
    assert y.dtype == np.float32
    assert y.shape == (N, CLASSES)
    np.testing.assert_allclose(y.sum(axis=1), 1, rtol=1e-6)
    original = X.transpose(0, 3, 1, 2) if layout == "CHW" else X
    seen = []
    for i in range(0, N, 2):
        a, b = original[rows[i]].astype(float), original[rows[i + 1]].astype(float)
        share = np.linalg.lstsq((a - b).reshape(-1, 1), (x[i].astype(float) - b).reshape(-1), rcond=None)[0][0]
        seen.append(share)
        tolerance = {"float32": 1e-3, "uint8": 0.6, "float16": 0.3, "bfloat16": 1.2}[dtype]
        np.testing.assert_allclose(x[i].astype(float), share * a + (1 - share) * b, atol=tolerance)
        np.testing.assert_allclose(x[i + 1].astype(float), share * b + (1 - share) * a, atol=tolerance)
        expected = np.zeros(CLASSES)
        expected[Y[rows[i]]] += share
        expected[Y[rows[i + 1]]] += 1 - share
        np.testing.assert_allclose(y[i], expected, atol=0.02)
    assert np.std(seen) > 0.1


@pytest.mark.parametrize("layout", ["HWC", "CHW"])
def test_cutmix_exchanges_a_rectangle_and_counts_its_area(layout):
    x, y, rows = epoch(bs.CutMix(), layout=layout)
    x = x.transpose(0, 2, 3, 1) if layout == "CHW" else x
    areas = []
    for i in range(0, N, 2):
        a, b = X[rows[i]], X[rows[i + 1]]
        from_b = (x[i] != a).any(axis=-1)
        if from_b.any():
            top, bottom = np.flatnonzero(from_b.any(axis=1))[[0, -1]]
            left, right = np.flatnonzero(from_b.any(axis=0))[[0, -1]]
            box = np.s_[top : bottom + 1, left : right + 1]
            assert np.array_equal(x[i][box], b[box])
            assert np.array_equal(x[i + 1][box], a[box])
            area = (bottom + 1 - top) * (right + 1 - left) / (16 * 20)
        else:
            area = 0.0
        areas.append(area)
        outside = ~from_b
        assert np.array_equal(x[i][outside], a[outside])
        expected = np.zeros(CLASSES)
        expected[Y[rows[i]]] += 1 - area
        expected[Y[rows[i + 1]]] += area
        np.testing.assert_allclose(y[i], expected, atol=0.01)  # pixels that happen to be equal hide a part of the area
    assert np.std(areas) > 0.1


@pytest.mark.parametrize("mixes", [[bs.MixUp(0.4)], [bs.CutMix()], [bs.MixUp(0.4), bs.CutMix()]], ids=str)
def test_the_result_depends_on_neither_batch_size_nor_rank_nor_threads(mixes):
    steps = [bs.Flip(), bs.Scale(1 / 255), *mixes]
    expected = epoch(*steps)
    for batch_size, ranks, threads in ((24, 1, 4), (2, 1, 1), (12, 3, 2), (8, 4, 3)):
        found = epoch(*steps, batch_size=batch_size, ranks=ranks, threads=threads)
        for mine, theirs in zip(found, expected, strict=True):
            assert np.array_equal(mine, theirs)
    again = epoch(*steps, x=X[::-1].copy())
    assert not np.array_equal(again[0], expected[0])


def test_every_epoch_mixes_differently():
    with bs.Loader(bs.open(X, Y), batch_size=N, transforms=[bs.MixUp(1.0)], memory="32 MiB") as loader:
        shares = [np.sort(batch["y"].max(axis=1)) for _ in range(2) for batch in loader]
    assert not np.array_equal(*shares)


def test_an_odd_last_row_and_rows_beside_bad_ones_stay_alone(tmp_path):
    x, y, _ = epoch(bs.MixUp(1.0), x=X[:7], y=Y[:7], batch_size=4, shuffle=False, dtype="float32")
    np.testing.assert_allclose(x[6], X[6])
    assert y[6].tolist() == np.eye(CLASSES)[Y[6]].tolist()
    for i in range(6):
        np.save(tmp_path / f"{i}.npy", X[i].astype(np.float32))
    (tmp_path / "2.npy").write_bytes(b"no array")
    with bs.Loader(
        bs.open(tmp_path, labels=[0, 1, 2, 0, 1, 2]), batch_size=6, transforms=[bs.MixUp(1.0)], memory="32 MiB", shuffle=False,
        on_error="skip", max_bad=0.5,
    ) as loader:  # fmt: skip
        batch = next(iter(loader))
    assert batch.mask.tolist() == [True, True, False, True, True, True]
    np.testing.assert_allclose(batch["x"][3], X[3])
    assert batch["y"][3].tolist() == [1, 0, 0]
    assert not batch["x"][2].any()
    assert np.abs(batch["x"][4] - X[4]).max() > 0


def test_targets_are_mixed_as_numbers():
    targets = np.arange(N, dtype=np.float32)
    _, y, rows = epoch(bs.MixUp(1.0), y=targets)
    for i in range(0, N, 2):
        assert abs(y[i] + y[i + 1] - rows[i] - rows[i + 1]) < 1e-4


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"batch_size": 7}, "multiple of 2"),
        ({"batch_size": 6, "shard": bs.Shard(0, 2)}, "multiple of 4"),
        ({"transforms": [bs.MixUp(), bs.Flip()]}, "cannot follow"),
        ({"source": bs.open(X, np.zeros((N, 16, 20), np.uint8))}, "masks"),
        ({"source": bs.open(X, np.arange(N) - 3)}, "class numbers that start at 0"),
        ({"source": bs.open(np.zeros((N, 3), np.float32), Y), "transforms": [bs.CutMix()]}, "needs images"),
        ({"source": bs.open(X.astype(np.int64), Y)}, "cannot hold every int64"),
    ],
    ids=range(7),
)
def test_what_cannot_be_mixed_is_refused_before_work_starts(options, problem):
    given_options = {"batch_size": 8, "transforms": [bs.MixUp()], "source": bs.open(X, Y)} | options
    with pytest.raises(bs.BadSetting, match=problem):
        bs.Loader(given_options.pop("source"), memory="32 MiB", **given_options)


@examples(50)
@given(st.integers(0, 2**32), st.floats(0, 1), st.sampled_from(["f4", "u1", "i2", "f8"]))
def test_kernels_are_their_references(seed, share, dtype):
    random = np.random.default_rng(seed)
    a, b = ((random.random((4, 5, 3)) * 200).astype(dtype) for _ in range(2))
    for kernel, reference in (
        (lambda p, q: blend(p.reshape(-1), q.reshape(-1), share, dtype[0] != "f"),
         lambda p, q: blend_reference(p, q, share, dtype[0] != "f")),
        (exchange, exchange_reference),
    ):  # fmt: skip
        mine, theirs = (a.copy(), b.copy()), (a.copy(), b.copy())
        kernel(*mine)
        reference(*theirs)
        for m, t in zip(mine, theirs, strict=True):
            np.testing.assert_allclose(m, t, rtol=1e-5, atol=1.0 if dtype[0] != "f" else 1e-3)
