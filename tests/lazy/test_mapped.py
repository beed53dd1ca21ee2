"""Views of memory-mapped files are read from the file: pages read through the mapping would count as ours."""

import os
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from tests.properties import examples

import bitesize as bs
from bitesize.lazy.disk import OnDisk
from bitesize.lazy.mapped import Strided
from bitesize.lazy.parts import InMemory, node_of

windows = np.lib.stride_tricks.sliding_window_view


def mapped(folder, array, order="C", mode="r"):
    np.save(Path(folder) / "a.npy", np.asarray(array, order=order))
    return np.load(Path(folder) / "a.npy", mmap_mode=mode)


VIEWS = {
    "windows": lambda x: windows(x, 3, axis=0),
    "windows of both": lambda x: windows(x, (2, 2), axis=(0, -1)),
    "steps": lambda x: x[::2, ..., 1:],
    "backwards": lambda x: x[::-1, ..., ::-2],
    "turned": lambda x: x.T,
    "plain": lambda x: np.asarray(x)[1:],
    "one column": lambda x: x[..., 1],
    "repeated": lambda x: np.broadcast_to(x, (3, *x.shape)),
    "other type": lambda x: x.view("u1")[:, ..., ::3],
    "windows of windows": lambda x: windows(windows(x, 2, axis=0)[::2], 2, axis=-1),
}


@pytest.mark.parametrize("view", VIEWS.values(), ids=VIEWS)
@examples(40)
@given(data=st.data())
def test_a_view_of_any_kind_is_read_from_the_file(view, data):
    shape = data.draw(hnp.array_shapes(min_dims=2, max_dims=3, min_side=4, max_side=9))
    dtype, order = data.draw(st.sampled_from(["<f4", ">i2", "<c8", "u1"])), data.draw(st.sampled_from("CF"))
    order = "C" if view is VIEWS["other type"] else order
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        x = view(mapped(folder, np.random.default_rng(0).integers(0, 100, shape).astype(dtype), order))
        assert isinstance(node_of(x), Strided | OnDisk)
        lazy, expected = bs.concatenate([x]), np.array(x)
        assert lazy.dtype == expected.dtype.newbyteorder("=")
        assert np.array_equal(np.asarray(lazy), expected)
        for _ in range(3):
            index = data.draw(hnp.basic_indices(expected.shape, allow_newaxis=True, allow_ellipsis=True))
            assert np.array_equal(lazy[index], expected[index])
            points = data.draw(hnp.integer_array_indices(expected.shape))
            assert np.array_equal(lazy[points], expected[points])
        del x


def test_large_views_are_read_in_pieces(tmp_path):
    whole = np.random.default_rng(0).integers(0, 1000, (3000, 900), np.int32)
    x = mapped(tmp_path, whole)
    random = np.random.default_rng(1)
    for view in (windows(x, 200, axis=0), x.T, x[::-7, ::3], x[::50, 5:7], windows(x, (5, 5))[::9]):
        lazy, expected = bs.concatenate([view]), view
        for index in (
            slice(0, 3),
            slice(None, None, max(1, len(view) // 5)),
            random.integers(0, len(view), 9),
            (0, ..., -1),
        ):
            assert np.array_equal(lazy[index], expected[index])
    assert np.array_equal(bs.concatenate([x.T])[:], whole.T)


@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="no /proc here")
def test_windows_leave_no_mapped_pages_behind(tmp_path):
    np.lib.format.open_memmap(tmp_path / "big.npy", "w+", np.float32, (400_000, 50))[:] = 1
    view = windows(np.load(tmp_path / "big.npy", mmap_mode="r"), 100, axis=0)

    def mapped_kib():
        return next(int(line.split()[1]) for line in Path("/proc/self/status").read_text().splitlines() if "RssFile" in line)

    lazy = bs.concatenate([view])
    rows = np.random.default_rng(0).integers(0, len(view), 2000)
    lazy[rows[:2]]  # loads the code that does it
    before = mapped_kib()
    for i in range(0, len(rows), 50):
        assert lazy[rows[i : i + 50]].min() == 1
    assert lazy.slice(0, 2000).mean() == 1
    assert np.flip(lazy).slice(0, 2000).max() == 1
    assert mapped_kib() - before < 2048
    assert view[rows].min() == 1
    assert mapped_kib() - before > 20_000  # what it would be through the mapping


def test_what_is_in_memory_only_is_read_there(tmp_path):
    whole = np.arange(20.0).reshape(4, 5)
    private = mapped(tmp_path, whole, mode="c")
    private[0, 0] = 7
    assert bs.concatenate([private[:, ::2]])[0, 0] == 7
    for array in (private[::2], np.array(mapped(tmp_path, whole)), mapped(tmp_path, whole) + 1, windows(whole, 2, axis=0)):
        assert isinstance(node_of(array), InMemory)


def test_what_is_written_to_a_view_is_read(tmp_path):
    x = mapped(tmp_path, np.zeros((6, 4)), mode="r+")
    lazy = bs.concatenate([windows(x, 2, axis=0)])
    x[3] = 5
    x.flush()
    assert lazy.max() == 5
    assert np.array_equal(lazy[2], windows(x, 2, axis=0)[2])


def test_a_file_that_is_replaced_is_noticed(tmp_path):
    lazy = bs.concatenate([mapped(tmp_path, np.zeros((6, 4)))[::2]])
    replacement = tmp_path / "b.npy"
    np.save(replacement, np.ones((60, 4)))
    try:
        os.replace(replacement, tmp_path / "a.npy")
    except PermissionError:
        pytest.skip("a mapped file cannot be replaced here")
    with pytest.raises(bs.FileChanged, match="has changed"):
        lazy[:]


def test_a_view_is_not_overwritten_by_what_is_made_of_it(tmp_path):
    x = mapped(tmp_path, np.zeros((6, 4)))
    with pytest.raises(bs.BadSetting, match="is one of the parts"):
        bs.concatenate([windows(x, 2, axis=0)]).save(tmp_path / "a.npy")


def test_rows_that_lie_scattered_are_refused_for_training(tmp_path):
    with (tmp_path / "huge.npy").open("wb") as file:  # sparse: takes no disk
        np.lib.format.write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": (1000, 100_000)})
        file.truncate(file.tell() + 4 * 10**8)
    x = np.load(tmp_path / "huge.npy", mmap_mode="r")
    with pytest.raises(bs.BadFile, match="rows are not contiguous in the file of this memmap"):
        bs.open(bs.concatenate([x.T]))
    assert len(bs.open(bs.concatenate([windows(x, 5, axis=0)]))) == 996
