"""Feather and Parquet are opened by what they say of themselves: what a column is, is the same as when it is read whole."""

import os

import numpy as np
import pytest

import bitesize as bs
from bitesize.errors import BadRows
from bitesize.files.arrow import batch, blocks
from bitesize.sources.arrow_layout import columns_of

pa = pytest.importorskip("pyarrow")
feather, pq = pytest.importorskip("pyarrow.feather"), pytest.importorskip("pyarrow.parquet")

JPEG = b"\xff\xd8\xff" + bytes(40)


def _table(rows=11):
    """Return columns of many types."""
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(np.arange(6.0 * rows)), 6)
    return pa.table({
        "number": np.arange(rows),
        "flag": pa.array([i % 3 == 0 for i in range(rows)]),
        "missing": pa.array([None if i % 2 else 1.5 for i in range(rows)]),
        "nothing": pa.nulls(rows),
        "day": pa.array(np.arange(rows, dtype=np.int32), pa.date32()),
        "price": pa.array(range(rows), pa.decimal128(9, 2)),
        "vector": vectors,
        "list": pa.array([[1.0, 2.0]] * rows),
        "large": pa.array([[1, 2, 3]] * rows, pa.large_list(pa.int16())),
        "nested": pa.array([[[1, 2], [3, 4], [5, 6]]] * rows, pa.list_(pa.list_(pa.int8()))),
        "mixed": pa.array([[[1, 2, 3, 4]] * 2] * rows, pa.list_(pa.list_(pa.int8(), 4))),
        "tags": pa.array([["a", "b"]] * rows),
        "image": pa.array([JPEG] * rows, pa.binary()),
        "bytes": pa.array([b"none"] * rows, pa.large_binary()),
        "stored": pa.array([{"path": "a.jpg", "bytes": JPEG}] * rows),
        "other": pa.array([{"u": 1, "v": [1]}] * rows),
        "path": pa.array(["a.jpg"] * rows, pa.large_string()),
        "text": pa.array([f"row {i}" for i in range(rows)]),
        "kind": pa.array(["u", "v"] * (rows // 2) + ["u"]).dictionary_encode(),
        "map": pa.array([[("k", 1)]] * rows, pa.map_(pa.string(), pa.int32())),
        "last": np.arange(rows) * 2.5,
    })  # fmt: skip


def _views(rows=11):
    """Return columns whose buffers lie otherwise than of other types."""
    ends = pa.array([4, rows], pa.int32())
    return pa.table({
        "view": pa.array(["a longer text than one that a view holds itself"] * rows, pa.string_view()),
        "short": pa.array([b"x"] * rows, pa.binary_view()),
        "union": pa.UnionArray.from_sparse(pa.array([0, 1] * (rows // 2) + [0], pa.int8()),
                                           [pa.array(range(rows)), pa.array(np.arange(1.0 * rows))]),
        "repeated": pa.RunEndEncodedArray.from_arrays(ends, pa.array([1.0, 2.0])),
        "last": np.arange(rows) * 2.5,
    })  # fmt: skip


def _write(table, path, compression="uncompressed", rows=None):
    options = pa.ipc.IpcWriteOptions(compression=None if compression == "uncompressed" else compression)
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, table.schema, options=options) as writer:
        writer.write_table(table, max_chunksize=rows)


def _messages(path):
    fd, size = os.open(path, os.O_RDONLY), path.stat().st_size
    try:
        return [batch(fd, block, size, b"a") for block in blocks(fd, size, b"a").batches]
    finally:
        os.close(fd)


@pytest.mark.parametrize("compression", ["uncompressed", "lz4", "zstd"])
@pytest.mark.parametrize("make", [_table, _views])
def test_what_messages_say_of_batches_is_what_arrow_reads(tmp_path, compression, make):
    table = make()
    _write(table, tmp_path / "a.arrow", compression, 4)
    with pa.OSFile(str(tmp_path / "a.arrow")) as file:
        reader = pa.ipc.open_file(file)
        read = [reader.get_batch(i) for i in range(reader.num_record_batches)]
    found = _messages(tmp_path / "a.arrow")
    assert [each.rows for each in found] == [each.num_rows for each in read]
    for own, theirs in zip(found, read, strict=True):
        columns = columns_of(table.schema, own, "a")
        assert [column.missing for column in columns][-3:] == [theirs.column(i).null_count for i in range(-3, 0)]
        assert columns[-1].buffers[-1] == len(own.buffers) - 1  # none is left
        try:
            nbytes = theirs.nbytes
        except pa.ArrowTypeError:  # Arrow 17 does not count those of views
            nbytes = 0
        assert own.nbytes - own.stored >= nbytes - 600  # a dictionary lies apart


@pytest.mark.parametrize("compression", ["uncompressed", "lz4", "zstd"])
def test_columns_of_a_file_are_what_they_are_in_memory(tmp_path, compression):
    table = _table().drop_columns(["path"])  # a path beside a file is one; in memory it is not
    _write(table, tmp_path / "a.feather", compression, 4)
    memory, source = bs.open(table), bs.open(tmp_path / "a.feather")
    assert source.spec == memory.spec
    assert {"image", "stored", "vector", "list", "large", "nested", "mixed"} <= set(source.spec)
    assert source.spec["mixed"].shape == (2, 4)
    assert source.left_out == memory.left_out
    pq.write_table(table, tmp_path / "a.parquet", row_group_size=4, compression="zstd")
    assert bs.open(tmp_path / "a.parquet").spec == memory.spec


@pytest.mark.parametrize("suffix", ["feather", "parquet"])
def test_text_that_names_images_is_seen_by_its_first_row(tmp_path, suffix):
    table = _table().select(["number", "path"])
    if suffix == "feather":
        _write(table, tmp_path / "a.feather", "lz4")
    else:
        pq.write_table(table, tmp_path / "a.parquet")
    assert bs.open(tmp_path / f"a.{suffix}").spec["path"].kind == "image"


@pytest.mark.parametrize("compression", ["snappy", "gzip", "zstd", "brotli", "lz4", "none"])
@pytest.mark.parametrize("version", ["1.0", "2.0"])
@pytest.mark.parametrize("dictionary", [False, True])
@pytest.mark.parametrize("nullable", [False, True])
@pytest.mark.parametrize("first", [JPEG, b"no image"])
def test_the_first_value_of_large_pages_is_found(tmp_path, compression, version, dictionary, nullable, first):
    random = np.random.default_rng(0)
    values = [first + random.bytes(5000) if i % 2 else first + bytes(5000) + bytes([i % 250]) for i in range(1000)]
    field = pa.field("x", pa.binary(), nullable=nullable)
    table = pa.Table.from_arrays(
        [pa.array(values, pa.binary()), pa.array(range(1000))], schema=pa.schema([field, ("y", pa.int64())])
    )
    pq.write_table(
        table, tmp_path / "a.parquet", compression=compression, data_page_version=version, use_dictionary=dictionary
    )
    source = bs.open(tmp_path / "a.parquet")
    assert ("x" in source.spec) == (first == JPEG)


def _damage(data, random):
    bad = bytearray(data)
    for place in random.integers(0, len(data), random.integers(1, 4)):
        bad[place] = random.integers(256)
    return bad


@pytest.mark.parametrize("compression", ["uncompressed", "lz4", "zstd"])
def test_a_damaged_file_is_a_right_row_or_an_error_of_ours(tmp_path, compression):
    table = _table().select(["number", "vector", "list", "nested", "kind", "last"])
    path, random, outcomes = tmp_path / "a.feather", np.random.default_rng(2), set()
    _write(table, path, compression, 4)
    good = path.read_bytes()
    for _ in range(200):
        path.write_bytes(_damage(good, random))
        try:
            source = bs.open(path)
            if sum(len(source) * what.nbytes for what in source.spec.values()) > 1 << 20:
                outcomes.add("large")  # which a budget refuses
                continue
            out = {name: np.empty((len(source), *what.shape), what.dtype) for name, what in source.spec.items()}
            source.read(np.arange(len(source)), out)
            outcomes.add("read")
        except bs.BitesizeError:
            outcomes.add("refused")
    assert outcomes >= {"read", "refused"}


def test_a_buffer_that_says_it_becomes_gigabytes_is_planned_for_before_it_is_read(tmp_path):
    _write(pa.table({"x": np.zeros(5000), "y": np.arange(5000)}), tmp_path / "a.feather", "zstd")
    data = (tmp_path / "a.feather").read_bytes()
    size = (40_000).to_bytes(8, "little")
    assert data.count(size) == 2  # at the beginning of the two buffers
    at = data.rindex(size)
    (tmp_path / "a.feather").write_bytes(data[:at] + (1 << 38).to_bytes(8, "little") + data[at + 8 :])
    source = bs.open(tmp_path / "a.feather")
    assert source.nbytes > 1 << 38
    with pytest.raises(bs.DoesNotFit):
        bs.Loader(source, batch_size=10, memory="64 MiB")


def test_a_column_with_fewer_bytes_than_its_rows_is_refused_at_opening(tmp_path):
    _write(pa.table({"x": np.zeros(5000)}), tmp_path / "a.feather")
    data = (tmp_path / "a.feather").read_bytes()
    rows = (5000).to_bytes(8, "little")
    (tmp_path / "a.feather").write_bytes(data.replace(rows, (5001).to_bytes(8, "little")))
    with pytest.raises(bs.BadFile, match="fewer bytes than its rows need"):
        bs.open(tmp_path / "a.feather")


def test_a_row_group_that_is_damaged_is_found_when_its_rows_are_read(tmp_path):
    pq.write_table(pa.table({"x": np.arange(1000.0)}), tmp_path / "a.parquet", use_dictionary=False, compression="none",
                   write_page_checksum=True)  # fmt: skip
    data = bytearray((tmp_path / "a.parquet").read_bytes())
    data[4:40] = bytes(36)  # the header of the page
    (tmp_path / "a.parquet").write_bytes(data)
    source = bs.open(tmp_path / "a.parquet")
    with pytest.raises(BadRows, match=r"a\.parquet"):
        source.read(np.arange(2), {"x": np.empty((2, *source.spec["x"].shape))})


def test_text_that_pandas_holds_as_objects_is_counted_as_what_it_becomes_in_arrow():
    pandas = pytest.importorskip("pandas")
    texts = ["a long name of a class, " * 30 + str(i % 3) for i in range(1000)]
    plain = bs.open(pandas.DataFrame({"x": np.arange(1000.0)})).nbytes
    assert bs.open(pandas.DataFrame({"x": np.arange(1000.0), "label": texts})).nbytes > plain + 500_000
