"""Zarr of any version from 3.1.3 on: chunks are read here, and to no more than a chunk; what is not is said."""

import subprocess
import sys
import warnings

import numpy as np
import pytest

import bitesize as bs
from bitesize.testing import check_source

zarr = pytest.importorskip("zarr")
numcodecs = pytest.importorskip("numcodecs")

X = np.arange(24 * 50, dtype=np.float32).reshape(24, 50)


def stored(folder, codec, version=3, **settings):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of codecs that the specification does not have
        group = zarr.open_group(folder / "a.zarr", mode="w", zarr_format=version)
        group.create_array("x", data=X, chunks=(5, 20), compressors=codec, **settings)
    return folder / "a.zarr"


def of_format_3(name):
    from zarr.codecs import BloscCodec, GzipCodec, ZstdCodec

    ordinary = {
        "plain": None,
        "zstd": ZstdCodec(),
        "gzip": GzipCodec(),
        "blosc": BloscCodec(),
        "checked": ZstdCodec(checksum=True),
    }
    return ordinary[name]


def of_numcodecs(name):
    module = pytest.importorskip("zarr.codecs.numcodecs")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return getattr(module, name)()


def values(source):
    with bs.Loader(source, batch_size=6, memory="64 MiB", shuffle=False) as loader:
        return np.concatenate([batch["x"].copy() for batch in loader])


@pytest.mark.parametrize("codec", ["plain", "zstd", "gzip", "blosc", "checked"])
def test_chunks_of_the_ordinary_codecs_are_read_here(tmp_path, codec):
    source = bs.open(stored(tmp_path, of_format_3(codec)))
    assert source.choices == ()
    assert np.array_equal(values(source), X)
    check_source(source)


@pytest.mark.filterwarnings("ignore:Numcodecs codecs are not in the Zarr")
@pytest.mark.parametrize("codec", ["LZ4", "Zlib", "Zstd", "GZip", "Blosc"])
def test_so_are_those_of_numcodecs(tmp_path, codec):
    source = bs.open(stored(tmp_path, of_numcodecs(codec)))
    assert source.choices == ()
    assert np.array_equal(values(source), X)


@pytest.mark.parametrize("codec", [None, "LZ4", "Zlib", "Zstd", "GZip", "Blosc"])
def test_so_are_those_of_format_2(tmp_path, codec):
    source = bs.open(stored(tmp_path, codec and getattr(numcodecs, codec)(), version=2))
    assert source.choices == ()
    assert np.array_equal(values(source), X)


def test_values_of_another_byte_order_are_too(tmp_path):
    source = bs.open(stored(tmp_path, None, serializer=zarr.codecs.BytesCodec(endian="big")))
    assert source.choices == ()
    assert np.array_equal(values(source), X)


@pytest.mark.parametrize("codec", ["plain", "zstd", "gzip", "blosc"])
@pytest.mark.parametrize("place", ["start", "end"])
def test_chunks_in_shards_are_read_here(tmp_path, codec, place):
    shards = {"shape": (10, 40), "index_location": place}
    source = bs.open(stored(tmp_path, of_format_3(codec), shards=shards))
    assert source.choices == ()
    assert np.array_equal(values(source), X)
    check_source(source)


def test_chunks_that_a_shard_does_not_have_are_of_the_fill_value(tmp_path):
    array = zarr.create_array(tmp_path / "a.zarr", shape=(24, 50), dtype="f4", chunks=(5, 20), shards=(10, 40), fill_value=7)
    array[2:4] = X[2:4]
    assert np.array_equal(values(bs.open(tmp_path / "a.zarr")), array[:])


def test_a_damaged_index_of_a_shard_is_noticed(tmp_path):
    path = stored(tmp_path, of_format_3("plain"), shards=(10, 40))
    shard = path / "x" / "c" / "0" / "0"
    data = bytearray(shard.read_bytes())
    data[-30] ^= 1
    shard.write_bytes(data)
    with pytest.raises(bs.BadFile, match="the checksum of its chunk index differs"):
        values(bs.open(path))
    shard.write_bytes(data[:50])
    with pytest.raises(bs.BadFile, match="fewer than its chunk index"):
        values(bs.open(path))


def test_a_chunk_in_a_shard_becomes_no_more_than_it_has(tmp_path):
    path = stored(tmp_path, of_format_3("zstd"), shards={"shape": (5, 20), "index_location": "start"})
    shard = path / "x" / "c" / "0" / "0"
    bomb = numcodecs.Zstd().encode(bytes(50_000_000))
    index = np.array([20, len(bomb)], "<u8").tobytes()
    shard.write_bytes(bytes(numcodecs.get_codec({"id": "crc32c"}).encode(index)) + bomb)
    with pytest.raises(bs.BadFile, match=r"the chunk \(0, 0\): a chunk declares 50,000,000 bytes, but 400 are expected"):
        values(bs.open(path))


def by_zarr(folder, kind):
    if kind == "bz2":
        return stored(folder, of_numcodecs("BZ2"))
    if kind == "transpose":
        return stored(folder, of_format_3("zstd"), filters=[zarr.codecs.TransposeCodec(order=(1, 0))])
    if kind == "delta":
        return stored(folder, numcodecs.Zstd(), version=2, filters=[numcodecs.Delta("f4")])
    if kind == "sharding_indexed":
        inner = [zarr.codecs.TransposeCodec(order=(1, 0))]
        return stored(folder, of_format_3("zstd"), filters=inner, shards=(10, 40))
    assert kind == "order F"
    return stored(folder, numcodecs.Zstd(), version=2, order="F")


@pytest.mark.filterwarnings("ignore:Numcodecs codecs are not in the Zarr")
@pytest.mark.parametrize("kind", ["bz2", "transpose", "delta", "order F", "sharding_indexed"])
def test_where_zarr_reads_chunks_itself_the_source_says_so(tmp_path, kind):
    source = bs.open(by_zarr(tmp_path, kind))
    assert [choice.chosen for choice in source.choices] == [
        next(
            choice.chosen
            for choice in source.choices
            if "memory use has no limit: codecs " in choice.chosen and kind in choice.chosen
        )
    ]
    assert np.array_equal(values(source), X)


@pytest.mark.parametrize("kind", ["transpose", "delta", "order F"])
def test_even_then_a_chunk_may_not_declare_more_than_it_has(tmp_path, kind):
    path = by_zarr(tmp_path, kind)
    chunk = next(each for each in sorted(path.rglob("*")) if each.is_file() and each.name in ("0", "0.0"))
    chunk.write_bytes(numcodecs.Zstd().encode(bytes(50_000_000)))
    with pytest.raises(bs.BadFile, match=r"declares 50,000,000 bytes, but a chunk has at most"):
        values(bs.open(path))


def test_a_frame_of_zstandard_need_not_declare_its_size(tmp_path):
    path = stored(tmp_path, of_format_3("zstd"))
    ends = path / "x" / "c" / "0" / "0"
    # One raw block of 400 bytes, in a frame whose header has no size.
    ends.write_bytes(b"\x28\xb5\x2f\xfd\x00\x58" + ((400 << 3) | 1).to_bytes(3, "little") + X[:5, :20].tobytes())
    if tuple(map(int, numcodecs.__version__.split(".")[:2])) >= (0, 15):
        assert np.array_equal(values(bs.open(path)), X)
    # 655 MB of one byte, in 20 kB.
    block = ((131_072 << 3) | 2).to_bytes(3, "little") + b"\x01"
    last = ((131_072 << 3) | 3).to_bytes(3, "little") + b"\x01"
    ends.write_bytes(b"\x28\xb5\x2f\xfd\x00\x58" + block * 50 + last)
    with pytest.raises(bs.BadFile, match="a chunk is damaged"):
        values(bs.open(path))


GROWTH = """
import sys
import bitesize as bs
import zarr, psutil
source = bs.open(sys.argv[1])
assert not source.choices, source.choices
me = psutil.Process()
before = peak = me.memory_info().rss
with bs.Loader(source, batch_size=1, memory="2 MiB", threads=1, shuffle=False, on_error="skip", max_bad=1.0) as loader:
    for batch in loader:
        peak = max(peak, me.memory_info().rss)
    bad = [row.reason for row in loader.bad]
print(max(peak, me.memory_info().rss) - before >> 20, len(bad), bad[0])
"""


def test_a_chunk_that_would_become_600_mb_takes_no_memory(tmp_path):
    data = np.random.default_rng(0).random((8, 1000)).astype(np.float32)
    zarr.create_array(tmp_path / "a.zarr", data=data, chunks=(4, 1000), compressors=zarr.codecs.ZstdCodec())
    (tmp_path / "a.zarr" / "c" / "1" / "0").write_bytes(numcodecs.Zstd().encode(bytes(600_000_000)))
    done = subprocess.run([sys.executable, "-c", GROWTH, tmp_path / "a.zarr"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    grown, bad, reason = done.stdout.split(maxsplit=2)
    assert int(bad) == 4
    assert "declares 600,000,000 bytes" in reason
    assert int(grown) < 100


def test_chunks_of_different_sizes_are_refused_by_name(tmp_path):
    try:
        with zarr.config.set({"array.rectilinear_chunks": True}):
            array = zarr.create_array(tmp_path / "a.zarr", shape=(6,), dtype="i4", chunks=[[2, 4]])
            array[:] = np.arange(6)
            about = array.metadata.to_dict()["chunk_grid"]["name"]
    except Exception:
        pytest.skip("this version of Zarr has none")
    assert about != "regular"
    with zarr.config.set({"array.rectilinear_chunks": True}), pytest.raises(bs.BadFile, match="chunks of different sizes"):
        bs.open(tmp_path / "a.zarr")
