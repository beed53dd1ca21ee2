"""Labels in files of named arrays: of shape (n, 1), of Python objects, text; and sparse matrices."""

import numpy as np
import pytest

import bitesize as bs
from bitesize.testing import check_source

X, Y = np.random.default_rng(0).random((20, 5)), np.arange(20) % 3


def npz(folder, **arrays):
    np.savez(folder / "a.npz", **arrays)
    return folder / "a.npz"


def hdf5(folder, **arrays):
    h5py = pytest.importorskip("h5py")
    with h5py.File(folder / "a.h5", "w") as file:
        for name, array in arrays.items():
            text = array.dtype.kind == "U"
            file.create_dataset(
                name, data=array.astype(object) if text else array, dtype=h5py.string_dtype() if text else None
            )
    return folder / "a.h5"


def zarr(folder, **arrays):
    group = pytest.importorskip("zarr").open_group(folder / "a.zarr", mode="w")
    for name, array in arrays.items():
        group.create_array(name, data=array)
    return folder / "a.zarr"


@pytest.mark.parametrize("write", [npz, hdf5, zarr])
@pytest.mark.parametrize("dtype", ["i8", "u1", "f4"])
def test_a_label_of_one_value_a_row_has_no_axis_for_it(tmp_path, write, dtype):
    y = Y[:, None].astype(dtype)
    source = bs.open(write(tmp_path, x=X, y=y))
    assert source.spec["y"].shape == ()
    assert source.column("y").tolist() == Y.tolist()
    assert (source.labels is None) == (dtype == "f4")
    assert [choice.chosen for choice in source.choices] == ["labels: 'y', stored as (20, 1), is read as (20,)"]
    check_source(source)


def test_only_labels_lose_their_axis(tmp_path):
    source = bs.open(npz(tmp_path, x=X[:, :1], other=Y[:, None], y=Y))
    assert (source.spec["x"].shape, source.spec["other"].shape) == ((1,), (1,))
    assert not any("stored as" in choice.chosen for choice in source.choices)
    assert bs.open(tmp_path / "a.npz", labels="other").spec["other"].shape == ()


@pytest.mark.parametrize("write", [npz, hdf5])
def test_text_of_one_value_a_row_is_a_class(tmp_path, write):
    source = bs.open(write(tmp_path, x=X, y=np.array(["a", "b", "c"])[Y][:, None]))
    assert (source.classes, source.labels.tolist()) == (("a", "b", "c"), Y.tolist())


def test_labels_that_are_a_pickle_are_named_where_labels_are_asked_for(tmp_path):
    path = npz(tmp_path, x=X, y=np.array(["a", None] * 10, object))
    source = bs.open(path)
    assert source.labels is None
    assert [name.partition(",")[0] for name in source.left_out] == ["y: an array of Python objects (a pickle)"]
    assert "no labels (left out: y: an array of Python objects (a pickle)" in source.choices[0].chosen
    with pytest.raises(bs.BadSetting, match=r"'y' of .* save it as text, y\.astype\(str\)"):
        bs.open(path, labels="y")


def test_an_array_of_an_archive_is_named_behind_its_path(tmp_path):
    path = npz(tmp_path, images=X, y=Y)
    assert list(bs.open(f"{path}::images").spec) == ["x"]
    assert bs.open(f"{path}::images", labels=Y).labels.tolist() == Y.tolist()
    with pytest.raises(bs.NotFound, match="has no 'z': it has images, y"):
        bs.open(f"{path}::z")


def test_arrays_of_different_lengths_are_named_with_those_that_fit(tmp_path):
    with pytest.raises(bs.BadFile, match=r"x: \(20, 5\), y: \(20,\), z: \(7,\)\).* such as fields=\['x', 'y'\]"):
        bs.open(npz(tmp_path, x=X, y=Y, z=np.zeros(7)))


# --- sparse matrices --------------------------------------------------------------------------------------------------


def test_rows_of_a_sparse_matrix_come_out_dense(tmp_path):
    sp = pytest.importorskip("scipy.sparse")
    matrix = sp.random(20, 50, 0.1, "csr", random_state=0)
    sp.save_npz(tmp_path / "m.npz", matrix)
    for what in (tmp_path / "m.npz", matrix, matrix.tocsc(), sp.coo_array(matrix)):
        source = bs.open(what, labels=Y)
        with bs.Loader(source, batch_size=6, memory="64 MiB", shuffle=False) as loader:
            assert np.array_equal(np.concatenate([batch["x"].copy() for batch in loader]), matrix.toarray())
        assert source.nbytes >= matrix.data.nbytes  # it is charged
        check_source(source)


def test_other_formats_of_sparse_archives_are_refused_by_name(tmp_path):
    sp = pytest.importorskip("scipy.sparse")
    for name in ("csc", "coo", "dia", "bsr"):
        sp.save_npz(tmp_path / "m.npz", sp.random(20, 50, 0.1, name, random_state=0))
        with pytest.raises(bs.BadSetting, match=rf"of the format '{name}': save it as rows, .*m\.tocsr\(\)"):
            bs.open(tmp_path / "m.npz")


@pytest.mark.parametrize(
    "damage",
    [
        {"indices": np.array([0, 7])},
        {"indptr": np.array([0, 5, 2])},
        {"indptr": np.array([1, 1, 2])},
        {"shape": np.array([5, 3])},
    ],
)
def test_a_damaged_sparse_archive_is_noticed(tmp_path, damage):
    arrays = {"data": np.ones(2), "indices": np.array([0, 2]), "indptr": np.array([0, 1, 2]), "shape": np.array([2, 3])}
    np.savez(tmp_path / "m.npz", format=np.array(b"csr"), **{**arrays, **damage})
    with pytest.raises(bs.BadFile, match="damaged"):
        bs.open(tmp_path / "m.npz")
