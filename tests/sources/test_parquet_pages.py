"""Parquet that becomes more than it says: pages and dictionaries are compared with the metadata before anything is allocated."""

import subprocess
import sys

import numpy as np
import pytest

import bitesize as bs
from bitesize.errors import BadRows
from bitesize.files.parquet import pages

pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")


def _read(source, rows):
    out = {name: np.empty((len(rows), *what.shape), what.dtype) for name, what in source.spec.items()}
    source.read(np.asarray(rows, np.int64), out)
    return out


def _zigzag(number):
    """Give a number as it is written in the metadata."""
    value, data = number << 1, bytearray()
    while value >= 128:
        data.append(value & 127 | 128)
        value >>= 7
    return bytes([*data, value])


@pytest.mark.parametrize("compression", ["snappy", "gzip", "zstd", "lz4", "brotli", "none"])
@pytest.mark.parametrize("version", ["1.0", "2.0"])
def test_the_pages_of_any_file_of_arrow_are_found(tmp_path, compression, version):
    random = np.random.default_rng(0)
    table = pa.table({
        "number": random.integers(0, 5, 20_000),
        "text": ["abc" * (i % 7) for i in range(20_000)],
        "bytes": [random.bytes(100) for _ in range(20_000)],
        "list": pa.FixedSizeListArray.from_arrays(pa.array(random.random(40_000)), 2),
        "none": pa.array([None, 1.0] * 10_000),
    })  # fmt: skip
    path = tmp_path / "a.parquet"
    pq.write_table(table, path, row_group_size=7000, compression=compression, data_page_version=version, data_page_size=5000,
                   write_page_checksum=True)  # fmt: skip
    with pq.ParquetFile(path) as file, open(path, "rb") as raw:
        for group in (file.metadata.row_group(i) for i in range(file.num_row_groups)):
            for column in (group.column(k) for k in range(group.num_columns)):
                start = column.dictionary_page_offset if column.has_dictionary_page else column.data_page_offset
                found = list(pages(raw.fileno(), start, column.total_compressed_size, b"a.parquet"))
                assert sum(page.values for page in found) == column.num_values
                assert 0 <= column.total_uncompressed_size - sum(page.nbytes for page in found) < 400 * len(found)  # headers
                assert sum(page.dictionary for page in found) == column.has_dictionary_page


def test_a_page_that_becomes_more_than_the_metadata_tells_is_refused(tmp_path):
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"x": np.zeros(1_234_567)}), path, compression="gzip", use_dictionary=False)
    with pq.ParquetFile(path) as file:
        told = file.metadata.row_group(0).column(0).total_uncompressed_size
    data = path.read_bytes()
    assert data.count(_zigzag(told)) >= 1
    path.write_bytes(data.replace(_zigzag(told), _zigzag(told // 4 + 1)))  # of as many bytes
    with pytest.raises(BadRows, match="decompress to more than the"):
        _read(bs.open(path), [0])


def test_a_page_that_lies_about_its_own_size_is_refused(tmp_path):
    path = tmp_path / "a.parquet"
    pq.write_table(
        pa.table({"x": np.arange(1000.0)}), path, compression="none", use_dictionary=False, write_statistics=False
    )
    data = path.read_bytes()
    with open(path, "rb") as raw:
        page = next(pages(raw.fileno(), 4, len(data) - 4, b"a.parquet"))
    told = _zigzag(page.nbytes)
    at = data.index(told)  # in the header of the page, which comes first
    path.write_bytes(data[:at] + _zigzag(8_180) + data[at + len(told) :])
    with pytest.raises(bs.BadFile, match="decompress to more than the"):
        _read(bs.open(path), [0])


_BOMB = """
import resource, sys
import bitesize as bs
def reached(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
import pyarrow.parquet
before = reached()
try:
    bs.open(sys.argv[1])
except bs.BadFile as error:
    assert "decompresses to more than" in str(error), error
else:
    raise AssertionError("it was read")
print(reached() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="in KiB on Linux")
def test_a_dictionary_whose_entries_become_gigabytes_is_stopped(tmp_path):
    """A text of a megabyte, which four thousand rows name: 4 GB, in a file of a few kilobytes."""
    path = tmp_path / "a.parquet"
    text = pa.DictionaryArray.from_arrays(np.zeros(4000, np.int32), ["a" * 1_000_000])
    pq.write_table(pa.table({"x": np.zeros(4000), "label": text}), path, compression="gzip", store_schema=False)
    assert path.stat().st_size < 100_000
    done = subprocess.run([sys.executable, "-c", _BOMB, str(path)], capture_output=True, text=True, check=True, timeout=60)
    assert int(done.stdout) < 50_000


@pytest.mark.parametrize("compression", ["snappy", "lz4", "none"])
def test_texts_that_repeat_are_read_all_the_same(tmp_path, compression):
    path = tmp_path / "a.parquet"
    labels = [("a long name of a class, " * 30 if i % 10 == 0 else "short")[: 500 + i % 3] for i in range(5000)]
    pq.write_table(pa.table({"x": np.arange(5000.0), "label": labels}), path, compression=compression)
    source = bs.open(path)
    assert [source.classes[k] for k in _read(source, range(5000))["label"]] == labels
    categories = pa.array(labels).dictionary_encode()
    pq.write_table(pa.table({"x": np.arange(5000.0), "label": categories}), path, compression=compression)
    source = bs.open(path)
    assert [source.classes[k] for k in _read(source, range(5000))["label"]] == labels


def test_constant_values_count_as_what_they_become(tmp_path):
    path = tmp_path / "a.parquet"
    x = pa.FixedSizeListArray.from_arrays(pa.array(np.zeros(4_000_000, np.float32)), 4000)
    pq.write_table(pa.table({"x": x}), path)
    assert path.stat().st_size < 100_000
    source = bs.open(path)
    assert source.nbytes > 16_000_000
    assert not _read(source, range(1000))["x"].any()
