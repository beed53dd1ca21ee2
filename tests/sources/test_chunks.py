"""Chunked files, read chunk by chunk beside their libraries: the same values, in any codec, and never more than a chunk."""

import threading
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.properties import examples

import bitesize as bs
from bitesize.errors import BadFile
from bitesize.sources.chunks import inflate, unshuffle


def _read(source, rows):
    out = {name: np.empty((len(rows), *what.shape), what.dtype) for name, what in source.spec.items()}
    source.read(np.asarray(rows, np.int64), out)
    return out["x"]


LAYOUTS = st.tuples(
    st.integers(1, 40), st.integers(1, 7), st.integers(1, 5), st.integers(1, 12), st.integers(1, 8), st.integers(1, 6)
)


@examples(40)
@given(LAYOUTS, st.sampled_from(["u1", "<i4", ">f4", "<f2", "?", "<c8"]), st.sampled_from([None, "gzip", "lzf"]), st.booleans(),
       st.booleans())  # fmt: skip
def test_hdf5_of_any_layout_is_read_as_h5py_reads_it(tmp_path_factory, layout, dtype, compression, shuffle, partly):
    h5py = pytest.importorskip("h5py")
    n, h, w, *chunks = layout
    chunks = tuple(min(c, s) for c, s in zip(chunks, (n, h, w), strict=True))
    x = (np.random.default_rng(0).random((n, h, w)) * 100).astype(dtype)
    path = tmp_path_factory.mktemp("h5") / "a.h5"
    with h5py.File(path, "w") as file:
        fill = None if dtype in ("?", "<c8") else 1
        made = file.create_dataset(
            "x", x.shape, dtype, chunks=chunks, compression=compression, shuffle=shuffle, fillvalue=fill
        )
        made[: n // 2 if partly else n] = x[: n // 2 if partly else n]  # chunks that nobody wrote have the fill value
        expected = made[:]
    source = bs.open(path)
    rows = np.random.default_rng(1).integers(0, n, 15)
    assert _read(source, rows).tobytes() == expected[rows].astype(expected.dtype.newbyteorder("=")).tobytes()
    assert _read(source, range(n)).tobytes() == expected.astype(expected.dtype.newbyteorder("=")).tobytes()
    source.close()


@examples(60)
@given(LAYOUTS, st.sampled_from(["u1", "<i4", ">f4", "<f2", "<c8"]), st.sampled_from([2, 3]),
       st.sampled_from(["none", "zstd", "gzip", "blosc", "lz4", "zlib", "several", "sharded"]), st.booleans())  # fmt: skip
def test_zarr_of_any_layout_and_codec_is_read_as_zarr_reads_it(tmp_path_factory, layout, dtype, version, codec, partly):
    zarr, numcodecs = pytest.importorskip("zarr"), pytest.importorskip("numcodecs")
    n, h, w, *chunks = layout
    chunks = tuple(min(c, s) for c, s in zip(chunks, (n, h, w), strict=True))
    x = (np.random.default_rng(0).random((n, h, w)) * 100).astype(dtype)
    options = {}
    if version == 2:
        known = {"zstd": numcodecs.Zstd(), "gzip": numcodecs.GZip(), "blosc": numcodecs.Blosc(), "lz4": numcodecs.LZ4(),
                 "zlib": numcodecs.Zlib()}  # fmt: skip
        options["compressors"] = known.get(codec)
    else:
        from zarr.codecs import BloscCodec, BytesCodec, Crc32cCodec, GzipCodec, ZstdCodec

        known = {"zstd": ZstdCodec(), "gzip": GzipCodec(), "blosc": BloscCodec(), "several": (ZstdCodec(), Crc32cCodec())}
        options["compressors"] = known.get(codec)
        if dtype == ">f4":
            options["serializer"] = BytesCodec(endian="big")
        if codec == "sharded":
            options |= {"shards": tuple(2 * c for c in chunks), "compressors": ZstdCodec()}
    path = tmp_path_factory.mktemp("zarr") / "a.zarr"
    array = zarr.create_array(path, shape=x.shape, dtype=dtype, chunks=chunks, zarr_format=version, fill_value=1, **options)
    array[: n // 2 if partly else n] = x[: n // 2 if partly else n]
    expected = np.asarray(array[:])
    source = bs.open(path)
    rows = np.random.default_rng(1).integers(0, n, 15)
    native = expected.astype(expected.dtype.newbyteorder("="))
    assert _read(source, rows).tobytes() == native[rows].tobytes()
    assert _read(source, range(n)).tobytes() == native.tobytes()


def _bomb(n):
    return zlib.compress(bytes(n), 9)


def test_a_chunk_of_hdf5_that_becomes_more_than_a_chunk_is_stopped_there(tmp_path):
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "a.h5", "w") as file:
        made = file.create_dataset("x", (8, 1000), "u1", chunks=(4, 1000), compression="gzip")
        made[...] = np.random.default_rng(0).integers(0, 4, (8, 1000))
        made.id.write_direct_chunk((4, 0), _bomb(3_500_000))
    source = bs.open(tmp_path / "a.h5")
    with bs.Loader(source, batch_size=1, memory="2 MiB", threads=1, shuffle=False, on_error="skip", max_bad=1.0) as loader:
        assert [batch.mask.tolist() for batch in loader] == [[True]] * 4 + [[False]] * 4
        assert "a chunk decompresses to more than the 4,000 bytes" in loader.bad[0].reason
        assert "(1, 0) of 'x'" in loader.bad[0].reason
    source.close()


@pytest.mark.parametrize("codec", ["gzip", "zstd", "blosc"])
@pytest.mark.parametrize("how", ["larger", "smaller", "damaged", "empty"])
def test_a_chunk_of_zarr_that_is_not_what_it_must_be_is_a_bad_row(tmp_path, codec, how):
    zarr, numcodecs = pytest.importorskip("zarr"), pytest.importorskip("numcodecs")
    from zarr.codecs import BloscCodec, GzipCodec, ZstdCodec

    x = np.random.default_rng(0).integers(0, 4, (8, 1000)).astype("u1")
    of = {
        "gzip": (GzipCodec(), numcodecs.GZip()),
        "zstd": (ZstdCodec(), numcodecs.Zstd()),
        "blosc": (BloscCodec(), numcodecs.Blosc()),
    }
    zarr.create_array(tmp_path / "a.zarr", data=x, chunks=(4, 1000), compressors=of[codec][0])
    path = tmp_path / "a.zarr" / "c" / "1" / "0"
    good = path.read_bytes()
    made = {"larger": 5_000_000, "smaller": 100}
    path.write_bytes(
        of[codec][1].encode(bytes(made[how])) if how in made else good[:20] + b"junk" * 9 if how == "damaged" else b""
    )
    with bs.Loader(bs.open(tmp_path / "a.zarr"), batch_size=1, memory="2 MiB", threads=1, shuffle=False, on_error="skip", max_bad=1.0) as loader:  # fmt: skip
        rows = [(batch.mask.tolist(), batch["x"].copy()) for batch in loader]
        assert [mask for mask, _ in rows] == [[True]] * 4 + [[False]] * 4
        assert not rows[-1][1].any()
        assert all("1/0" in bad.reason.replace("\\", "/") for bad in loader.bad)
    np.testing.assert_array_equal(np.concatenate([row for _, row in rows[:4]]), x[:4])


def test_a_zarr_that_is_gone_is_no_array_of_fill_values(tmp_path):
    import shutil

    zarr = pytest.importorskip("zarr")
    zarr.create_array(tmp_path / "a.zarr", data=np.ones((8, 10)), chunks=(4, 10))
    source = bs.open(tmp_path / "a.zarr")
    shutil.rmtree(tmp_path / "a.zarr")
    with pytest.raises(bs.BadRows, match="no longer exists"):
        _read(source, [0])


def _inflated(data, nbytes):
    out = np.empty(nbytes, np.uint8)
    inflate(np.frombuffer(data, np.uint8), out, zlib.MAX_WBITS)
    return out.tobytes()


def test_what_is_inflated_ends_where_it_must():
    assert _inflated(_bomb(1000), 1000) == bytes(1000)
    noise = np.random.default_rng(0).bytes(200_000)
    assert _inflated(zlib.compress(noise), 200_000) == noise
    for data, nbytes, message in (
        (_bomb(1001), 1000, "more"),
        (_bomb(50_000_000), 1000, "more"),
        (_bomb(999), 1000, "fewer"),
        (_bomb(1000)[:-3], 1000, "fewer"),
        (b"", 9, "fewer"),
        (b"no", 9, "damaged"),
    ):
        with pytest.raises(BadFile, match=message):
            _inflated(data, nbytes)


@given(st.binary(max_size=70), st.integers(1, 9))
def test_bytes_are_unshuffled(data, itemsize):
    values = np.frombuffer(data, np.uint8)
    count = len(values) // itemsize
    shuffled = np.concatenate(
        [values[: count * itemsize].reshape(count, itemsize).T.reshape(-1), values[count * itemsize :]]
    )
    out = np.empty(len(data), np.uint8)
    unshuffle(shuffled, itemsize, out)
    assert out.tobytes() == data


@pytest.mark.parametrize("kind", ["hdf5", "zarr"])
def test_several_threads_read_the_same_chunks(tmp_path, kind):
    x = np.random.default_rng(0).random((60, 7))
    if kind == "hdf5":
        h5py = pytest.importorskip("h5py")
        with h5py.File(tmp_path / "a.h5", "w") as file:
            file.create_dataset("x", data=x, chunks=(8, 4), compression="gzip", shuffle=True)
        source = bs.open(tmp_path / "a.h5")
    else:
        zarr = pytest.importorskip("zarr")
        zarr.create_array(tmp_path / "a.zarr", data=x, chunks=(8, 4))
        source = bs.open(tmp_path / "a.zarr")
    wrong = []

    def work(seed):
        random = np.random.default_rng(seed)
        for _ in range(60):
            rows = random.integers(0, 60, 9)
            if not np.array_equal(_read(source, rows), x[rows]):
                wrong.append(rows)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    source.close()
