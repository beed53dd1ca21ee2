"""What attacks on lazy arrays found."""

import multiprocessing
import os
import threading
from decimal import Decimal

import numpy as np
import pytest
from tests.lazy.making import make_part

import bitesize as bs


def test_an_ellipsis_between_arrays_parts_them_even_if_it_stands_for_nothing():
    whole = np.arange(3 * 3 * 4).reshape(3, 3, 4)
    lazy, i = bs.concatenate([whole]), np.array([0, 1, 2])
    for index in ((slice(None), i, ..., i), (i, ..., i, slice(None)), (i, i, ...), (..., i, i), (0, ..., i, i)):
        assert np.array_equal(lazy[index], whole[index])


def test_tuples_ranges_and_lazy_arrays_are_indices_and_floats_are_not():
    whole = np.arange(20).reshape(5, 4)
    lazy = bs.concatenate([whole])
    assert np.array_equal(lazy[range(3)], whole[range(3)])
    assert np.array_equal(lazy[(0, 1),], whole[(0, 1),])
    assert np.array_equal(lazy[lazy > 5], whole[whole > 5])
    assert lazy[[]].shape == (0, 4)
    with pytest.raises(IndexError, match="integer"):
        lazy[np.zeros(0)]


@pytest.mark.parametrize("kind", ["array", "npy"])
def test_arrays_without_axes_are_read(tmp_path, kind):
    zero = bs.concatenate([make_part(kind, tmp_path, 0, np.array([3.0]))]).reshape(())
    assert zero[()] == 3
    assert isinstance(zero[()], np.float64)
    assert isinstance(zero[...], np.ndarray)
    assert (np.asarray(zero + 1), zero.T[()], (zero * 2).sum(), float((zero - 1).mean())) == (4, 3, 6, 2)
    assert np.array_equal(np.expand_dims(zero, 0)[:], [3])


def test_a_mean_of_infinities_is_numpys():
    for extra in ([np.inf], [-np.inf], [np.inf, -np.inf]):
        whole = np.r_[extra, np.zeros(600_000)]
        with np.errstate(invalid="ignore"):
            assert np.array_equal(bs.concatenate([whole]).mean(), whole.mean(), equal_nan=True)


def test_text_is_as_wide_as_it_must_be():
    numbers = np.array([123, 456])
    for dtype in (str, "S", "U5"):
        got = bs.concatenate([numbers]).astype(dtype)
        assert got.dtype == numbers.astype(dtype).dtype
        assert np.array_equal(got[:], numbers.astype(dtype))
    for dtype in ("M8", "i4,f4", "(2,)i4", "V", object):
        with pytest.raises(bs.BadSetting):
            bs.concatenate([numbers]).astype(dtype)


def test_threads_that_save_to_one_name_leave_one_whole_file(tmp_path):
    lazies = [bs.concatenate([np.full((30_000 + i * 5000, 4), float(i))]) for i in range(4)]
    for _ in range(5):
        threads = [threading.Thread(target=lazy.save, args=(tmp_path / "t.npy",)) for lazy in lazies]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        found = np.load(tmp_path / "t.npy")
        number = int(found[0, 0])
        assert np.array_equal(found, np.asarray(lazies[number]))
    assert os.listdir(tmp_path) == ["t.npy"]


def _sum_from(lazy, start):
    return int(lazy[start : start + 500].sum())


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="no fork here")
def test_forked_processes_have_their_own_place_in_an_archive(tmp_path):
    whole = np.random.default_rng(0).integers(0, 1000, (20_000, 20))
    lazy = bs.concatenate([make_part("npz-compressed", tmp_path, 0, whole)])
    lazy[0]  # opens it here first
    starts = [0, 15_000, 4000, 9000] * 4
    with multiprocessing.get_context("fork").Pool(4) as pool:
        sums = pool.starmap(_sum_from, [(lazy, start) for start in starts])
    assert sums == [int(whole[start : start + 500].sum()) for start in starts]


def test_many_archives_do_not_use_up_descriptors(tmp_path):
    parts = [make_part("npz-compressed", tmp_path, i, np.full((3, 2), i)) for i in range(80)]
    lazy = bs.concatenate(parts)
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/proc/self/fd")) + 24, before[1]))
    try:
        assert lazy.sum() == 6 * sum(range(80))
        assert lazy[3 * 7 : 3 * 7 + 1].tolist() == [[7, 7]]
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


@pytest.mark.parametrize("kind", ["npy", "npz", "npz-compressed"])
def test_a_part_that_is_replaced_is_not_read_as_what_it_was(tmp_path, kind):
    lazy = bs.concatenate([make_part(kind, tmp_path, 0, np.arange(10))])
    make_part(kind, tmp_path, 0, np.arange(40, dtype="f4"))
    with pytest.raises(bs.FileChanged, match="has changed"):
        lazy[:]
    for path in tmp_path.iterdir():
        path.unlink()
    with pytest.raises(bs.FileChanged):
        lazy[:]


def test_a_part_is_known_through_a_link(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    np.save(tmp_path / "real" / "a.npy", np.arange(3))
    with pytest.raises(bs.BadSetting, match="is one of the parts"):
        (bs.concatenate([tmp_path / "real" / "a.npy"]) + 1).save(tmp_path / "link" / "a.npy")


def test_much_built_step_by_step_is_saved_in_little_memory(tmp_path):
    joined = bs.concatenate([np.zeros(3)])
    for _ in range(1200):
        joined = bs.concatenate([joined, np.ones(3)])
    assert joined.sum() == 3600
    calculated = joined
    for _ in range(20):
        calculated = (calculated + 1) * 2
    assert np.load(calculated.save(tmp_path / "z.npy")).shape == (3603,)


def test_a_name_that_looks_like_a_pattern_is_a_name_first(tmp_path):
    np.save(tmp_path / "b1.npy", [7, 7])
    np.save(tmp_path / "b[1].npy", [1, 2, 3])
    assert bs.concatenate(str(tmp_path / "b[1].npy"))[:].tolist() == [1, 2, 3]


def test_what_cannot_be_compared_is_unequal():
    lazy = bs.concatenate([np.arange(3)])
    words = np.array(["a", "b", "c"])
    assert not np.array_equal(lazy, words)
    assert (lazy != words)[:].tolist() == [True] * 3


def test_objects_never_come_out_of_arithmetic():
    with pytest.raises((bs.NotLazy, TypeError)):
        bs.concatenate([np.arange(3)]) + Decimal(3)
    with pytest.raises(bs.NotLazy, match="Python objects"):
        np.frompyfunc(lambda x: x + 1, 1, 1)(bs.concatenate([np.arange(3)]))


def test_arguments_are_checked_as_numpy_does():
    lazy = bs.concatenate([np.zeros((3, 4))])
    assert np.expand_dims(lazy, np.int64(1)).shape == (3, 1, 4)
    assert lazy.reshape(np.array([4, 3])).shape == (4, 3)
    with pytest.raises(ValueError, match="repeated"):
        np.expand_dims(lazy, (0, 0))
    with pytest.raises(TypeError):
        lazy.reshape(3.7, 4)


def test_damaged_archives_are_typed_errors(tmp_path):
    path = make_part("npz-compressed", tmp_path, 0, np.random.default_rng(0).random(20_000))
    file = tmp_path / path.partition("::")[0].rpartition("/")[2]
    data = bytearray(file.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 40] = bytes(40)
    file.write_bytes(data)
    with pytest.raises(bs.BadFile):
        bs.concatenate([path])[:]


def test_odd_targets_of_save_are_refused_or_work(tmp_path):
    (tmp_path / "d.npy").mkdir()
    lazy = bs.concatenate([np.arange(3)])
    with pytest.raises(bs.BadSetting, match="is a folder"):
        lazy.save(tmp_path / "d.npy")
    long = tmp_path / ("n" * 240 + ".npy")
    assert np.load(lazy.save(long)).tolist() == [0, 1, 2]


def test_blocks_are_never_tiny(tmp_path):
    written = []
    lazy = bs.concatenate([np.random.default_rng(0).random(300_000)]) + 1
    lazy.save(tmp_path / "z.npy", memory=12 << 20, progress=lambda done, total: written.append(done))
    assert len(written) <= 40
    with pytest.raises(bs.DoesNotFit, match="Raise memory to"):
        lazy.save(tmp_path / "z.npy", memory=(8 << 20) + 8)
