"""A lazy array gives what the array in its place would give."""

import pickle
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from tests.lazy.making import KINDS, make_part
from tests.properties import examples

import bitesize as bs

DTYPES = ["u1", "<i4", "<f4", "<f8", "?", "<c8", "<U3", "<f2", "<M8[s]"]


def filled(random, shape, dtype):
    values = random.integers(0, 2**31, shape)
    return (values % 2**7).astype("U3" if dtype == "<U3" else dtype)


@st.composite
def joined(draw):
    """Kinds of parts, their arrays, and the axis they are joined along."""
    ndim = draw(st.integers(1, 4))
    axis = draw(st.integers(0, ndim - 1))
    shape = draw(st.lists(st.integers(1, 6), min_size=ndim, max_size=ndim))
    dtype = draw(st.sampled_from(DTYPES))
    random = np.random.default_rng(draw(st.integers(0, 99)))
    count = draw(st.integers(1, 4))
    arrays = []
    for _ in range(count):
        shape[axis] = draw(st.integers(0, 6))
        arrays.append(filled(random, shape, dtype))
    return draw(st.lists(st.sampled_from(KINDS), min_size=count, max_size=count)), arrays, axis


@examples(150)
@given(joined(), st.data())
def test_any_index_gives_what_numpy_gives(what, data):
    kinds, arrays, axis = what
    with tempfile.TemporaryDirectory() as folder:
        parts = [make_part(kind, Path(folder), i, array) for i, (kind, array) in enumerate(zip(kinds, arrays, strict=True))]
        expected = np.concatenate(arrays, axis)
        lazy = bs.concatenate(parts, axis)
        assert (lazy.shape, lazy.dtype, lazy.ndim, lazy.nbytes) == (
            expected.shape,
            expected.dtype,
            expected.ndim,
            expected.nbytes,
        )
        assert np.array_equal(np.asarray(lazy), expected)
        for _ in range(4):
            check(lazy, expected, data.draw(hnp.basic_indices(expected.shape, allow_newaxis=True, allow_ellipsis=True)))
            if all(expected.shape):
                check(lazy, expected, data.draw(hnp.integer_array_indices(expected.shape)))
                check(lazy, expected, data.draw(st.lists(st.integers(0, len(expected) - 1), max_size=6)))
        mask = np.random.default_rng(0).random(expected.shape[: data.draw(st.integers(1, expected.ndim))]) < 0.5
        check(lazy, expected, mask)


def check(lazy, expected, index):
    got, wanted = lazy[index], expected[index]
    assert np.array_equal(got, wanted)
    assert got.dtype == wanted.dtype
    assert np.shape(got) == np.shape(wanted)
    assert isinstance(got, np.ndarray) == isinstance(wanted, np.ndarray)


@pytest.mark.parametrize(
    "index",
    [
        (slice(None), [0, 2], slice(None), [1, 0]),
        ([0, 2], slice(None), [1, 0]),
        (0, slice(None), [1, 0]),
        (slice(None), 1, [1, 0], slice(1, 3)),
        ([[0, 1], [2, 0]], slice(None, None, -1), [[1], [0]]),
        ([0, 1], None, [1, 2]),
        (None, [0, 1], slice(None), 2),
        (..., [-1, 0]),
        np.ix_([2, 0], [1, 1, 0], [3]),
        ([], slice(1)),
        (np.array([True, False, True, True, False]), 0),
        (2, slice(None), np.array([True, False, True, False, True]), 1),
        (slice(4, 1, -2), ..., slice(None, None, -3)),
    ],
    ids=range(13),
)
@pytest.mark.parametrize("kind", ["npy", "fortran", "npz-compressed", "array"])
def test_mixed_indices_put_axes_where_numpy_does(tmp_path, kind, index):
    whole = np.arange(5 * 4 * 5 * 3).reshape(5, 4, 5, 3)
    lazy = bs.concatenate([make_part(kind, tmp_path, 0, whole[:2]), make_part(kind, tmp_path, 1, whole[2:])])
    assert np.array_equal(lazy[index], whole[index])


@pytest.mark.parametrize(
    "index", [9, -6, (0, 4), ([0, 5],), (0, 0, 0), np.zeros(4, bool), (..., ...), 1.5, "x", 1 << 64, -(1 << 63), ([0, 1], [0, 1, 2])], ids=range(12)
)  # fmt: skip
def test_a_wrong_index_is_numpys_error(tmp_path, index):
    whole = np.zeros((5, 4))
    lazy = bs.concatenate([make_part("npy", tmp_path, 0, whole)])
    with pytest.raises(IndexError):
        whole[index]
    with pytest.raises(IndexError):
        lazy[index]


def test_only_what_is_asked_for_is_read(tmp_path, monkeypatch):
    import bitesize.lazy.disk as disk

    read, bytes_read = disk.read_into, []
    monkeypatch.setattr(disk, "read_into", lambda fd, views, at, path: (bytes_read.append(sum(v.nbytes for v in views)), read(fd, views, at, path)))  # fmt: skip
    rows = np.random.default_rng(0).integers(0, 255, (1000, 50_000), np.uint8)
    np.save(tmp_path / "a.npy", rows)
    lazy = bs.concatenate([tmp_path / "a.npy"] * 3)
    assert np.array_equal(lazy[[2500, 3, 1200]], rows[[500, 3, 200]])
    assert sum(bytes_read) == 150_000
    bytes_read.clear()
    assert np.array_equal(lazy[1999:2001, 40_000:], np.stack([rows[999, 40_000:], rows[0, 40_000:]]))
    assert sum(bytes_read) <= 2 * 50_000


@pytest.mark.slow
def test_large_selections_of_every_layout_are_read_in_pieces(tmp_path):
    # Larger than the scratch of one step, so blocks, spans and gaps all occur.
    random = np.random.default_rng(1)
    whole = random.integers(0, 1000, (600, 40, 700), np.int32)
    for kind in ("npy", "fortran", "npz-compressed"):
        lazy = bs.concatenate([make_part(kind, tmp_path, 0, whole[:250]), make_part(kind, tmp_path, 1, whole[250:])])
        for index in (
            random.permutation(600)[:80],
            (slice(None), 3),
            (slice(None, None, 7), slice(None), slice(5, 600, 11)),
            (slice(100, 400), slice(None), [3, 690, 4]),
        ):
            assert np.array_equal(lazy[index], whole[index])
        turned = lazy.transpose(2, 0, 1)
        assert np.array_equal(turned[10:30], whole.transpose(2, 0, 1)[10:30])
        assert np.array_equal(lazy.reshape(600, -1)[::50, ::1000], whole.reshape(600, -1)[::50, ::1000])
        assert np.array_equal((lazy + np.int32(1))[5:300:3], whole[5:300:3] + 1)


def test_rows_and_chunks_come_in_order(tmp_path):
    whole = np.arange(700_000).reshape(7000, 100)
    lazy = bs.concatenate([make_part("npy", tmp_path, 0, whole[:4000]), whole[4000:]])
    assert np.array_equal(np.array(list(lazy)), whole)
    blocks = list(lazy.chunks("1 MiB"))
    assert max(block.nbytes for block in blocks) <= 1 << 20
    assert np.array_equal(np.concatenate(blocks), whole)
    assert len(next(lazy.chunks(1))) == 1


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_read_by_many_threads_and_by_another_process(tmp_path, kind):
    whole = np.random.default_rng(0).random((60, 30, 8))
    lazy = bs.concatenate([make_part(kind, tmp_path, i, part) for i, part in enumerate(np.split(whole, 3))])
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda i: lazy[i % 60], range(600)))
    assert all(np.array_equal(row, whole[i % 60]) for i, row in enumerate(found))
    assert np.array_equal(pickle.loads(pickle.dumps(lazy))[7:50:3], whole[7:50:3])
