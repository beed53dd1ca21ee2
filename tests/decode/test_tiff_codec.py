"""TIFF by tifffile: values equal those of tifffile bit for bit, and damaged files are refused before memory is taken."""

import io
import struct

import numpy as np
import PIL
import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.version import Version

import bitesize as bs
from bitesize.decode.decode import decode, decode_nbytes, pixels_nbytes
from bitesize.decode.header import read_info
from bitesize.errors import BadFile, BitesizeError

tifffile = pytest.importorskip("tifffile")
pytest.importorskip("imagecodecs")
LAYOUTS = {
    "strips": {"rowsperstrip": 5},
    "one strip": {},
    "tiles": {"tile": (16, 32)},
    "planes": {"planarconfig": "separate"},
    "planes of tiles": {"planarconfig": "separate", "tile": (16, 32)},
    "deflate": {"compression": "zlib"},
    "deflate with predictor": {"compression": "zlib", "predictor": True},
    "zstd": {"compression": "zstd", "rowsperstrip": 7},
    "LZW in tiles": {"compression": "lzw", "tile": (32, 16)},
}


def unchanged(data):
    data = memoryview(data)
    info = read_info(data)
    return decode(data, info, "unchanged", 8, np.empty(pixels_nbytes(info, "unchanged", 8), np.uint8))


def values_of(dtype, channels, height=37, width=53):
    random = np.random.default_rng(channels)
    shape = (height, width, channels)
    if np.dtype(dtype).kind == "f":
        return random.normal(0, 1000, shape).astype(dtype)
    limits = np.iinfo(dtype)
    return random.integers(limits.min, limits.max, shape, dtype, endpoint=True)


def written(values, layout, **container):
    options = dict(LAYOUTS[layout])
    if values.shape[2] == 1:
        options.pop("planarconfig", None)
        shown = values[..., 0]
    else:
        options.setdefault("planarconfig", "contig")
        shown = np.moveaxis(values, 2, 0) if options["planarconfig"] == "separate" else values
    file = io.BytesIO()
    with tifffile.TiffWriter(file, **container) as writer:
        writer.write(np.ascontiguousarray(shown), photometric="minisblack", **options)
    return file.getvalue()


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("channels", [1, 2, 3, 4, 5, 10])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float32"])
def test_values_are_those_that_tifffile_reads(dtype, channels, layout):
    values = values_of(dtype, channels)
    for container in ({}, {"bigtiff": True}, {"byteorder": ">"}):
        data = written(values, layout, **container)
        assert tifffile.imread(io.BytesIO(data)).size == values.size
        if layout == "zstd" and channels == 1 and Version(PIL.__version__) < Version("11.2"):
            pytest.skip("the Pillow of this version cannot read Zstandard")
        got = unchanged(data)
        assert got.dtype == values.dtype
        assert (got == values).all()


@pytest.mark.parametrize(
    ("dtype", "read"),
    [("int8", "int8"), ("uint32", "uint32"), ("int32", "int32"), ("float64", "float64"), ("float16", "float32")],
)
def test_other_types_are_kept_and_half_floats_become_float32(dtype, read):
    values = values_of(dtype, 2)
    got = unchanged(written(values, "strips"))
    assert got.dtype == read
    assert (got == values).all()


@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 6), st.sampled_from([*LAYOUTS]), st.booleans())
def test_any_size_and_layout_is_read(height, width, channels, layout, big):
    values = values_of("uint16", channels, height, width)
    assert (unchanged(written(values, layout, bigtiff=big)) == values).all()


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_modes_of_8_bits_still_convert_what_only_tifffile_reads(channels):
    values = values_of("uint16", channels)
    data = memoryview(written(values, "planes" if channels > 1 else "strips"))
    info = read_info(data)
    got = decode(data, info, "RGBA", 8, np.empty(pixels_nbytes(info, "RGBA", 8), np.uint8))
    reduced = (values.astype(np.uint32) + 128) // 257
    assert (got[..., : min(channels, 4)] == reduced[..., :4]).all()


def test_a_file_cut_short_is_damaged():
    data = written(values_of("uint16", 5), "strips")
    for size in range(0, len(data), 997):
        with pytest.raises(BitesizeError):
            unchanged(data[:size])


def test_pixels_that_a_file_cannot_have_are_refused_by_its_header():
    data = bytearray(written(values_of("uint16", 5), "one strip"))
    page = tifffile.TiffFile(io.BytesIO(bytes(data))).pages[0]
    struct.pack_into("<I", data, page.tags["ImageWidth"].offset + 8, 2**20)
    with pytest.raises(BadFile, match=r"pixels of 5 bands need .* bytes, but the file has"):
        read_info(memoryview(bytes(data)))


def test_the_charge_covers_one_tile_and_not_the_image():
    values = values_of("uint16", 5, 512, 512)
    data = memoryview(written(values, "tiles"))
    info = read_info(data)
    pixels = pixels_nbytes(info, "unchanged", 8)
    assert decode_nbytes(info, "unchanged", 8, len(data)) < pixels + (2 << 20)


def test_a_tile_whose_image_is_larger_than_the_tile_is_refused():
    large = io.BytesIO()
    tifffile.imwrite(large, values_of("uint8", 3, 64, 64), photometric="rgb", compression="jpeg", tile=(64, 64))
    data = bytearray(large.getvalue())
    page = tifffile.TiffFile(io.BytesIO(bytes(data))).pages[0]
    at = bytes(data).index(b"\xff\xc0", page.dataoffsets[0])
    struct.pack_into(">HH", data, at + 5, 60_000, 60_000)
    info = read_info(memoryview(bytes(data)))._replace(codec="TIFF", overhead=1 << 20)
    with pytest.raises(BadFile, match="has an image of 60000 x 60000"):
        decode(memoryview(bytes(data)), info, "unchanged", 8, np.empty(pixels_nbytes(info, "unchanged", 8), np.uint8))


def test_a_missing_package_is_named_with_its_extra(tmp_path, monkeypatch):
    (tmp_path / "x.tif").write_bytes(written(values_of("uint16", 5), "strips"))
    monkeypatch.setattr("bitesize.decode.formats.is_installed", lambda name: name != "tifffile")
    source = bs.open(tmp_path / "x.tif")
    with (
        bs.Loader(source, batch_size=1, memory="64 MiB") as loader,
        pytest.raises(bs.MissingPackage, match=r"bitesize\[tiff\]"),
    ):
        next(iter(loader))
