"""Files that hold something else than their first rows or their neighbors promise: an error, and never other values."""

import contextlib
import io
import os
import tarfile

import numpy as np
import pytest

import bitesize as bs


def _rows(source, **settings):
    with bs.Loader(source, **{"batch_size": 8, "shuffle": False, "memory": "32 MiB", **settings}) as loader:
        return np.concatenate([batch["x"][batch.mask] for batch in loader]), [bad.row for bad in loader.bad]


# --- Parquet ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("second", [np.arange(5) + 0.5, np.arange(5, dtype=np.int32), ["a"] * 5])
def test_parquet_files_of_other_types_are_refused(tmp_path, second):
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    pq.write_table(pa.table({"x": np.arange(5)}), tmp_path / "a.parquet")
    pq.write_table(pa.table({"x": second}), tmp_path / "b.parquet")
    with pytest.raises(bs.BadFile, match=r"b\.parquet has the columns x \(.*, and .*a\.parquet x \(int64\)"):
        bs.open(tmp_path)


def test_ways_to_store_the_same_text_go_together(tmp_path):
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    for name, kind in (("a", pa.string()), ("b", pa.large_string()), ("c", pa.dictionary(pa.int32(), pa.string()))):
        pq.write_table(pa.table({"x": np.arange(2.0), "y": pa.array(["u", "v"], kind)}), tmp_path / f"{name}.parquet")
    assert bs.open(tmp_path).labels.tolist() == [0, 1, 0, 1, 0, 1]


@pytest.mark.parametrize("batch_size", [1, 3, 8])
@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize("large", [False, True])
def test_lists_of_other_lengths_are_bad_rows_whatever_their_sum(tmp_path, batch_size, nested, large):
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    kind = pa.large_list if large else pa.list_
    if nested:
        rows = [[[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]] for _ in range(8)]
        rows[2], rows[5] = [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], [[1.0], [2.0, 3.0, 4.0], [5.0, 6.0]]
        table = pa.table({"x": pa.array(rows, kind(kind(pa.float32())))})
    else:
        rows = [[float(row)] * 4 for row in range(8)]
        rows[2], rows[5] = [9.0] * 3, [8.0] * 5
        table = pa.table({"x": pa.array(rows, kind(pa.float32()))})
    pq.write_table(table, tmp_path / "a.parquet")
    x, bad = _rows(bs.open(tmp_path / "a.parquet"), batch_size=batch_size, on_error="skip", max_bad=0.5)
    assert bad == [2, 5]
    assert x.tolist() == [row for i, row in enumerate(rows) if i not in (2, 5)]


@pytest.mark.parametrize("nothing", ["file", "row group"])
def test_parts_without_rows_are_passed_over(tmp_path, nothing):
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    table = pa.table({"x": np.arange(4.0), "y": list("abab")})
    with pq.ParquetWriter(tmp_path / "b.parquet", table.schema) as writer:
        for part in (table.slice(0, 0), table) if nothing == "row group" else (table,):
            writer.write_table(part)
    if nothing == "file":
        pq.write_table(table.slice(0, 0), tmp_path / "a.parquet")
    source = bs.open(tmp_path)
    assert source.labels.tolist() == [0, 1, 0, 1]
    assert _rows(source)[0].tolist() == [[0], [1], [2], [3]]


@pytest.mark.parametrize("suffix", ["parquet", "feather"])
def test_a_file_that_is_replaced_is_noticed(tmp_path, suffix):
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    import pyarrow.feather as feather

    path = tmp_path / f"a.{suffix}"

    def write(sign):
        table = pa.table({"x": sign * np.arange(1.0, 401.0), "y": ["pos" if sign > 0 else "neg"] * 400})
        if suffix == "parquet":
            pq.write_table(table, tmp_path / "new", row_group_size=50)
        else:
            feather.write_feather(table, tmp_path / "new", chunksize=50)
        os.utime(tmp_path / "new", (1e9 + sign, 1e9 + sign))
        os.replace(tmp_path / "new", path)

    write(1)
    source = bs.open(path)
    with (
        bs.Loader(source, batch_size=10, shuffle=False, memory="32 MiB", threads=1) as loader,
        pytest.raises(bs.FileChanged, match="has changed since"),
    ):
        for i, batch in enumerate(loader):
            assert (batch["x"] > 0).all()
            if i == 0:
                write(-1)


def test_what_is_no_text_or_has_no_value_is_an_error_of_ours(tmp_path):
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    pq.write_table(pa.table({"x": [1.0, 2.0], "label": pa.array([1, None])}), tmp_path / "a.parquet")
    with pytest.raises(bs.BadFile, match=r"'label' of .*a.parquet has no value in row 1"):
        _ = bs.open(tmp_path / "a.parquet").labels
    text = pa.StringArray.from_buffers(2, pa.py_buffer(np.array([0, 1, 2], np.int32)), pa.py_buffer(b"a\xff"))
    pq.write_table(pa.table({"x": [1.0, 2.0], "label": text}), tmp_path / "b.parquet")
    with pytest.raises(bs.BadFile, match=r"b\.parquet"):
        bs.open(tmp_path / "b.parquet")
    pq.write_table(pa.Table.from_arrays([pa.array([1.0]), pa.array([2.0])], ["x", "x"]), tmp_path / "c.parquet")
    with pytest.raises(bs.BadFile, match="several columns named 'x'"):
        bs.open(tmp_path / "c.parquet")


def test_tensors_keep_their_shape_and_turned_ones_are_left_out(tmp_path):
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    x = np.arange(24.0).reshape(4, 2, 3)
    turned = pa.ExtensionArray.from_storage(
        pa.fixed_shape_tensor(pa.float64(), [2, 3], permutation=[1, 0]), pa.FixedSizeListArray.from_arrays(x.ravel(), 6)
    )
    pq.write_table(pa.table({"x": pa.FixedShapeTensorArray.from_numpy_ndarray(x), "turned": turned}), tmp_path / "a.parquet")
    source = bs.open(tmp_path / "a.parquet")
    assert list(source.spec) == ["x"]
    assert "another order" in next(iter(source.left_out))
    assert np.array_equal(_rows(source)[0], x)


# --- HDF5, Zarr, npz ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stored", [{}, {"compression": "lzf", "chunks": (100, 64)}, {"compression": "gzip"},
                                    {"fletcher32": True}])  # fmt: skip
@pytest.mark.parametrize("shuffle", [False, True])
def test_an_hdf5_file_that_shrinks_is_an_error_and_never_zeros(tmp_path, stored, shuffle):
    h5py = pytest.importorskip("h5py")
    x = np.random.default_rng(0).normal(size=(4000, 64)).astype(np.float32) + 10
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("x", data=x, **stored)
    source = bs.open(tmp_path / "a.h5")
    # Shuffled, what is still to come may be in memory already: then all rows are right.
    noticed = contextlib.suppress(bs.BitesizeError) if shuffle else pytest.raises(bs.BitesizeError, match=r"a\.h5")
    with bs.Loader(source, batch_size=16, shuffle=shuffle, memory="32 MiB", threads=1) as loader, noticed:
        for i, batch in enumerate(loader):
            assert np.array_equal(batch["x"], x[batch.rows])
            if i == 3:
                os.truncate(tmp_path / "a.h5", os.path.getsize(tmp_path / "a.h5") // 2)
    source.close()


@pytest.mark.parametrize("kind", ["hdf5", "zarr 2", "zarr 3", "parquet", "feather"])
def test_any_damage_is_a_right_row_or_an_error_of_ours(tmp_path, kind):
    x = np.random.default_rng(0).normal(size=(60, 3))
    if kind == "hdf5":
        h5py = pytest.importorskip("h5py")
        with h5py.File(tmp_path / "a.h5", "w") as file:
            file.create_group("more")["deep"] = np.arange(3)
            file.create_dataset("x", data=x, chunks=(20, 3), compression="gzip")
        target = data = tmp_path / "a.h5"
    elif kind == "feather":
        pa, feather = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.feather")
        table = pa.table({"x": pa.FixedSizeListArray.from_arrays(x.ravel(), 3), "y": ["a", "b"] * 30})
        feather.write_feather(table, tmp_path / "a.feather", chunksize=20)
        target = data = tmp_path / "a.feather"
    elif kind == "parquet":
        pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
        table = pa.table({"x": pa.FixedSizeListArray.from_arrays(x.ravel(), 3), "y": ["a", "b"] * 30})
        pq.write_table(table, tmp_path / "a.parquet", row_group_size=20)
        target = data = tmp_path / "a.parquet"
    else:
        zarr = pytest.importorskip("zarr")
        group = zarr.open_group(tmp_path / "a.zarr", mode="w", zarr_format=int(kind[-1]))
        group.create_array("x", shape=x.shape, dtype=x.dtype, chunks=(20, 3))[:] = x
        data = tmp_path / "a.zarr"
        target = data / "x" / ("zarr.json" if kind[-1] == "3" else ".zarray")
    good, random = target.read_bytes(), np.random.default_rng(1)
    outcomes = set()
    for _ in range(150):
        bad = bytearray(good)
        for place in random.integers(0, len(good), random.integers(1, 4)):
            bad[place] = random.integers(256)
        target.write_bytes(bad)
        try:
            source = bs.open(data)
            out = {name: np.empty((len(source), *what.shape), what.dtype) for name, what in source.spec.items()}
            source.read(np.arange(len(source)), out)
            outcomes.add("read")
            source.close()
        except bs.BitesizeError:
            outcomes.add("refused")
    assert "refused" in outcomes  # some versions of Zarr take no change at all


def test_members_that_can_be_no_field_do_not_spoil_an_archive(tmp_path):
    odd = {"turned": np.asfortranarray(np.ones((3, 2))), "meta": np.array([{}] * 3, object)}
    np.savez(tmp_path / "a.npz", x=np.arange(6.0).reshape(3, 2), **odd)
    source = bs.open(tmp_path / "a.npz")
    assert list(source.spec) == ["x"]
    assert len(source.left_out) == 2
    with pytest.raises(bs.BadSetting, match=r"'turned' of .* cannot be a field: .*Fortran"):
        bs.open(tmp_path / "a.npz", fields={"x": "turned"})
    for name in "bc":
        (tmp_path / "rows" / name).mkdir(parents=True)
        np.savez(tmp_path / "rows" / name / "0.npz", x=np.arange(2.0), meta=odd["meta"])
    assert len(bs.open(tmp_path / "rows")) == 2


# --- tar --------------------------------------------------------------------------------------------------------------


def _tar(path, members):
    with tarfile.open(path, "w") as tar:
        for name, data in members:
            info = tarfile.TarInfo(name)
            if isinstance(data, str):
                info.type, info.linkname = tarfile.LNKTYPE, data
                tar.addfile(info)
            else:
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))


def _npy(value):
    stream = io.BytesIO()
    np.save(stream, np.full(3, float(value)))
    return stream.getvalue()


def test_hard_links_are_the_members_that_they_name(tmp_path):
    _tar(tmp_path / "a.tar", [("0.npy", _npy(0)), ("0.cls", b"0"), ("1.npy", "0.npy"), ("1.cls", b"1")])
    source = bs.open(tmp_path / "a.tar")
    assert source.labels.tolist() == [0, 1]
    assert _rows(source)[0].tolist() == [[0.0] * 3] * 2


def test_a_key_that_comes_again_is_another_sample(tmp_path):
    _tar(tmp_path / "a.tar", [("0.npy", _npy(0)), ("0.cls", b"0"), ("1.npy", _npy(1)), ("1.cls", b"1"), ("0.npy", _npy(2)),
                              ("0.cls", b"2")])  # fmt: skip
    source = bs.open(tmp_path / "a.tar")
    assert source.labels.tolist() == [0, 1, 2]
    assert _rows(source)[0][:, 0].tolist() == [0, 1, 2]


def test_tar_files_that_were_written_into_one_are_refused(tmp_path):
    for i in range(2):
        _tar(tmp_path / f"{i}.tar", [("0.npy", _npy(i))])
    (tmp_path / "a.tar").write_bytes((tmp_path / "0.tar").read_bytes() + (tmp_path / "1.tar").read_bytes())
    with pytest.raises(bs.BadFile, match="several concatenated tar files"):
        bs.open(tmp_path / "a.tar")


@pytest.mark.parametrize("label", ["\u00b2", "--2", "7" * 5000])
def test_labels_that_are_no_numbers_are_names(tmp_path, label):
    _tar(tmp_path / "a.tar", [("0.npy", _npy(0)), ("0.cls", label.encode())])
    assert bs.open(tmp_path / "a.tar").classes == (label,)


# --- tables -----------------------------------------------------------------------------------------------------------


def test_tables_of_other_separators_are_read_and_those_without_labels_refused(tmp_path):
    for i in range(2):
        np.save(tmp_path / f"{i}.npy", np.zeros(2))
    table = tmp_path / "table.csv"
    table.write_text("path;label\n0.npy;a\n1.npy;b\n", encoding="utf-8")
    assert bs.open(table).classes == ("a", "b")
    assert "columns are separated by ';'" in map(str, bs.open(table).choices)
    table.write_text("path,label\n0.npy,a\n1.npy,\n", encoding="utf-8")
    with pytest.raises(bs.BadFile, match=r"1 row of .* has no 'label': 1\.npy"):
        bs.open(table)
    table.write_text("path, label\n0.npy, a\n1.npy, b\n", encoding="utf-8")
    assert bs.open(table).classes == ("a", "b")
