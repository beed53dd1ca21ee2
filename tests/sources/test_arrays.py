"""Rows of large arrays: from one file, from many, from what is calculated."""

import os
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.files.door import choose_door
from tests.lazy.making import KINDS, make_part
from tests.properties import examples

import bitesize as bs
from bitesize.sources import arrays

KINDS_WITH_ROWS = [kind for kind in KINDS if "fortran" not in kind and "compressed" not in kind]


@pytest.fixture(params=["compiled", "preadv", "seek and read"], autouse=True)
def door(request, monkeypatch):
    """Everything here runs in three ways: by compiled code, with preadv from Python, and as on Windows."""
    choose_door(request.param, monkeypatch)


def rows_of(source, rows, **fields):
    out = {name: np.empty((len(rows), *field.shape), field.dtype) for name, field in source.spec.items()}
    source.read(np.array(rows, np.int64), out)
    return out["x"]


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    whole = np.random.default_rng(0).integers(0, 9999, (7 * len(KINDS_WITH_ROWS), 4, 5, 3), np.uint16)
    folder = tmp_path_factory.mktemp("parts")
    pieces = np.split(whole, len(KINDS_WITH_ROWS))
    made = [make_part(kind, folder, i, piece) for i, (kind, piece) in enumerate(zip(KINDS_WITH_ROWS, pieces, strict=True))]
    files = [folder / f"file{i}.npy" for i in range(len(pieces))]
    for path, piece in zip(files, pieces, strict=True):
        np.save(path, piece)
    return whole, made, files


@examples(40)
@given(data=st.data())
def test_rows_are_gathered_in_any_order(parts, data):
    whole, made, files = parts
    rows = data.draw(st.lists(st.integers(0, len(whole) - 1), min_size=1, max_size=40))
    first, last = sorted(data.draw(st.tuples(st.integers(0, 20), st.integers(21, len(whole)))))
    inside = [first + row % (last - first) for row in rows]
    for given_parts in (made, files):
        lazy = bs.concatenate(given_parts)
        assert np.array_equal(rows_of(bs.open(lazy), rows), whole[rows])
        cut = lazy.slice(first, last)
        assert np.array_equal(rows_of(bs.open(cut), np.array(inside) - first), whole[inside])
        assert np.array_equal(rows_of(bs.open(lazy * 2.5 + 1), rows), whole[rows] * 2.5 + 1)
        assert np.array_equal(rows_of(bs.open(lazy.reshape(len(whole), -1)), rows), whole.reshape(len(whole), -1)[rows])
    stacked = bs.stack(files)
    some = [row % len(files) for row in rows]
    assert np.array_equal(rows_of(bs.open(stacked), some), whole.reshape(stacked.shape)[some])


@pytest.mark.parametrize("lazily", [lambda x: x, lambda x: x.astype(np.float32) / np.float32(255), lambda x: x.slice(3, 60)])
@pytest.mark.parametrize("threads", [1, 3])
def test_a_lazy_array_is_loaded_as_the_array_would_be(parts, lazily, threads):
    whole, _, files = parts
    lazy = lazily(bs.concatenate(files))
    labels = np.arange(len(lazy)) % 3
    whole = np.asarray(lazy)
    for transforms in ((), (bs.Scale(0.5),), (bs.Flip(), bs.Resize(5))):
        loaders = [
            bs.Loader(bs.open(what, labels), batch_size=8, seed=3, threads=threads, transforms=transforms, memory="256 MiB")
            for what in (lazy, whole)
        ]
        for ours, expected in zip(*loaders, strict=True):
            assert np.array_equal(ours.rows, expected.rows)
            np.testing.assert_array_equal(ours["x"], expected["x"])
            np.testing.assert_array_equal(ours["y"], expected["y"])
        for loader in loaders:
            loader.close()


def test_rows_of_many_files_are_found_for_compiled_readers(parts, monkeypatch):
    _, _, files = parts
    source = bs.open(bs.concatenate(files))
    found = source.locate(np.array([0, 8, 1, 9]))
    assert found.paths == [os.fsencode(path) for path in files]
    assert found.which.tolist() == [0, 1, 0, 1]
    monkeypatch.setattr(arrays, "_FEW", 3)  # of many files only those that are needed are named
    found = bs.open(bs.concatenate(files)).locate(np.array([0, 8, 1, 9]))
    assert found.paths == [os.fsencode(path) for path in files[:2]]
    assert found.which.tolist() == [0, 1, 0, 1]
    assert pickle.loads(pickle.dumps(source)).fingerprint() == source.fingerprint()
    assert bs.open(bs.concatenate(files) + 1).locate(np.array([0])) is None


def test_rows_that_would_take_reading_everything_are_refused(tmp_path, parts):
    whole, _, _ = parts
    part = make_part("fortran", tmp_path, 0, whole)
    with pytest.raises(bs.BadFile, match=r"save\("):
        bs.open(bs.concatenate([part]))
    path = bs.concatenate([part]).save(tmp_path / "ordered.npy")
    assert np.array_equal(rows_of(bs.open(path), [5, 3]), whole[[5, 3]])


def test_a_file_that_shrinks_while_it_is_read_is_an_error(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((100, 10)))
    source = bs.open(tmp_path / "a.npy")
    os.truncate(tmp_path / "a.npy", 1000)
    with pytest.raises(bs.BadFile, match=r"a\.npy ends after"):
        rows_of(source, [50])
    os.remove(tmp_path / "a.npy")
    with pytest.raises(bs.FileChanged, match="no longer exists"):
        rows_of(source, [1])


def test_rows_in_memory_are_located_in_the_array_itself():
    x = np.arange(24.0).reshape(4, 3, 2)
    source = bs.open(x)
    rows = np.array([3, 0, 3])
    located = source.locate(rows)
    assert np.shares_memory(located.array, x)
    assert located.array[located.offsets].tolist() == x[rows].reshape(3, -1).tolist()
    assert not located.array.flags.writeable
    assert x.flags.writeable
    assert len(pickle.dumps(bs.open(np.zeros(100_000)))) < 1_000_000  # one copy of 800,000 bytes
    for other in (x[::2], x.T.astype(">f8"), np.zeros((4, 0))):
        assert bs.open(other).locate(rows[:1] * 0) is None


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", ["u1", "i2", "f2", "f4", "f8", "i8", "?"])
@pytest.mark.parametrize("shape", [(), (7,), (6, 5, 3), (40, 50, 3)])
def test_rows_in_memory_are_cast_as_numpy_casts_them(shape, dtype, order):
    x = np.asarray(np.random.default_rng(0).integers(0, 100, (90, *shape)).astype(dtype), order=order)
    with bs.Loader(bs.open(x), batch_size=20, memory="64 MiB", dtype="float32", threads=2) as loader:
        for _ in range(2):
            for batch in loader:
                assert np.array_equal(batch["x"], x[batch.rows].astype(np.float32))


@pytest.mark.parametrize("array", [np.asfortranarray(np.ones((10, 4))), np.ones((0, 4))], ids=["Fortran order", "no rows"])
def test_a_file_whose_rows_cannot_be_read_is_named(tmp_path, array):
    np.save(tmp_path / "x.npy", array)
    with pytest.raises((bs.BadFile, bs.BadSetting), match=r"x\.npy"):
        bs.open(tmp_path / "x.npy")
