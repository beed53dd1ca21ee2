"""Damaged, replaced and hostile TIFFs: typed errors, with the file and the tile, and no large allocations."""

import os
import struct
import sys
import tracemalloc
import zlib

import numpy as np
import pytest

import bitesize as bs
from bitesize.sources.sinks import new_buffers
from bitesize.testing import check_bad_rows

tifffile = pytest.importorskip("tifffile")
imagecodecs = pytest.importorskip("imagecodecs")

IMAGE = np.random.default_rng(0).integers(0, 256, (256, 256, 3), np.uint8)
OFFSETS, SIZES = 324, 325


@pytest.fixture
def path(tmp_path):
    """16 tiles of 64 x 64 pixels; a patch is a tile."""
    tifffile.imwrite(tmp_path / "a.tif", IMAGE, tile=(64, 64), compression="zlib")
    return tmp_path / "a.tif"


def change_index(path, tag, tile, value):
    """Change one offset or size of the index of tiles."""
    with tifffile.TiffFile(path) as file:
        entry = file.pages[0].tags[tag]
        kind = {3: "<H", 4: "<I", 16: "<Q"}[int(entry.dtype)]
        at = entry.valueoffset + tile * struct.calcsize(kind)
    with open(path, "rb+") as file:
        file.seek(at)
        file.write(struct.pack(kind, value))


def append_tile(path, tile, data):
    """Replace the bytes of a tile."""
    at = path.stat().st_size
    with open(path, "ab") as file:
        file.write(data)
    change_index(path, OFFSETS, tile, at)
    change_index(path, SIZES, tile, len(data))


def in_order(path):
    return bs.patches(path, 64)


def row_of_tile(source, tile):
    first = f"({tile // 4 * 64}, {tile % 4 * 64})"
    return next(row for row in range(len(source)) if source.describe(row).endswith(first))


def error_of(source, tile):
    with pytest.raises(bs.BadRows) as caught:
        source.read(np.arange(len(source)), new_buffers(source.spec, len(source)))
    assert list(caught.value.causes) == [row_of_tile(source, tile)]
    return caught.value.causes[row_of_tile(source, tile)]


def peak_of(work):
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    "damage",
    [
        lambda p: append_tile(p, 5, b"no deflate"),
        lambda p: append_tile(p, 5, zlib.compress(bytes(100))),
        lambda p: change_index(p, OFFSETS, 5, 1 << 30),
        lambda p: change_index(p, SIZES, 5, 1 << 30),
        lambda p: append_tile(p, 5, zlib.compress(bytes(200 << 20))),
    ],
    ids=["not compressed", "too short", "beyond the file", "a size of 1 GiB", "decompresses to 200 MiB"],
)
def test_a_damaged_tile_fails_its_rows_with_its_number(damage, path):
    damage(path)
    source = in_order(path)
    found = []
    assert peak_of(lambda: found.append(error_of(source, 5))) < 8 << 20
    assert isinstance(found[0], bs.BadFile)
    assert "a.tif: tile 5" in str(found[0])
    check_bad_rows(source, [row_of_tile(source, 5)])


def test_a_jpeg_that_is_larger_than_its_tile_is_not_decoded(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", IMAGE, tile=(64, 64), compression="jpeg")
    append_tile(tmp_path / "a.tif", 5, imagecodecs.jpeg_encode(np.zeros((4000, 4000, 3), np.uint8)))
    error = error_of(in_order(tmp_path / "a.tif"), 5)
    assert isinstance(error, bs.BadFile)
    assert "tile 5" in str(error)


def test_tiles_that_were_never_written_have_the_fill_value(path):
    change_index(path, OFFSETS, 5, 0)
    change_index(path, SIZES, 5, 0)
    source = in_order(path)
    into = new_buffers(source.spec, len(source))
    source.read(np.arange(len(source)), into)
    assert not into["x"][row_of_tile(source, 5)].any()
    assert into["x"][row_of_tile(source, 6)].any()


def test_a_file_that_is_replaced_while_it_is_read_is_noticed(path):
    source = in_order(path)
    other = IMAGE[::-1]
    tifffile.imwrite(path.with_name("b.tif"), other, tile=(64, 64), compression="zlib")
    os.replace(path.with_name("b.tif"), path)
    os.utime(path, ns=(1, 1))
    with pytest.raises(bs.BadRows) as caught:
        source.read(np.arange(4), new_buffers(source.spec, 4))
    assert all(isinstance(error, bs.FileChanged) for error in caught.value.causes.values())
    with pytest.raises(bs.FileChanged):
        source.check_unchanged()


@pytest.mark.parametrize("length", [9, 100, 5_000])
def test_a_truncated_file_is_refused_or_has_bad_rows(length, path, tmp_path):
    (tmp_path / "t.tif").write_bytes(path.read_bytes()[:length])
    with pytest.raises((bs.BadFile, bs.BadRows, bs.BadSetting)):
        source = bs.patches(tmp_path / "t.tif", 64)
        source.read(np.arange(len(source)), new_buffers(source.spec, len(source)))


def test_an_index_of_another_number_of_tiles_is_refused(path):
    with tifffile.TiffFile(path) as file:
        at = file.pages[0].tags["ImageLength"].valueoffset
    with open(path, "rb+") as file:
        file.seek(at)
        file.write(struct.pack("<H", 60_000))
    with pytest.raises(bs.BadFile, match=r"16 tiles; 3,752 are expected"):
        bs.patches(path, 64)


def test_a_tag_that_claims_a_gigabyte_is_refused(path):
    with tifffile.TiffFile(path) as file:
        entry = file.pages[0].tags[SIZES]
        at = entry.offset
    with open(path, "rb+") as file:
        file.truncate(2 << 30)  # sparse: the values would be in the file
        file.seek(at + 4)
        file.write(struct.pack("<I", 200 << 20))

    def refused():
        with pytest.raises(bs.BadFile):
            bs.patches(path, 64)

    assert peak_of(refused) < 8 << 20


def test_other_compressions_are_named(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", IMAGE[..., 0].astype(np.float32), tile=(64, 64), compression="lerc")
    with pytest.raises(bs.UnsupportedFile, match="bounded memory"):
        bs.patches(tmp_path / "a.tif", 64)


def test_without_tifffile_the_extra_is_named(path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tifffile", None)
    with pytest.raises(bs.MissingPackage, match=r'pip install "bitesize\[tiff\]"'):
        bs.patches(path, 64)
