"""TIFF: pages, bands, types and orientation."""

import io
import logging
import struct

import numpy as np
import pytest
from PIL import Image
from tests.conftest import noise

import bitesize as bs
from bitesize.decode.tiff import pages
from bitesize.errors import BadFile, UnsupportedFile


def _load(source):
    with bs.Loader(source, batch_size=1, memory="64 MiB") as loader:
        return next(iter(loader))["x"][0].copy()


def tiff_of(values: np.ndarray, *, sample_format: int = 1) -> bytes:
    """Write a TIFF of any number of bands and any type, uncompressed, shape (height, width, bands)."""
    height, width, bands = values.shape
    bits = values.dtype.itemsize * 8
    start = 8 + 2 + 12 * 11 + 4
    extra = struct.pack(f"<{bands}H", *[bits] * bands) + struct.pack(f"<{bands}H", *[sample_format] * bands)
    short, long = 3, 4

    def entry(tag: int, kind: int, *numbers: int) -> bytes:
        if len(numbers) > 2 or (kind == long and len(numbers) > 1):
            raise ValueError("such values stand elsewhere")
        return struct.pack("<HHI", tag, kind, len(numbers)) + struct.pack(
            "<" + ("HH" if kind == short else "I"), *(numbers + (0,) * (2 - len(numbers)) if kind == short else numbers)
        )

    def far(tag: int, count: int, at: int) -> bytes:
        return struct.pack("<HHII", tag, short, count, at) if count > 2 else b""

    tags = [
        entry(256, short, width),
        entry(257, short, height),
        far(258, bands, start) or entry(258, short, *[bits] * bands),
        entry(259, short, 1),
        entry(262, short, 1),
        entry(273, long, start + len(extra)),
        entry(277, short, bands),
        entry(278, short, height),
        entry(279, long, values.nbytes),
        entry(284, short, 1),
        far(339, bands, start + 2 * bands) or entry(339, short, *[sample_format] * bands),
    ]
    return struct.pack("<2sHIH", b"II", 42, 8, len(tags)) + b"".join(tags) + bytes(4) + extra + values.tobytes()


def stack(path, count=4, **options):
    images = [Image.new("L", (8, 8), 50 * i) for i in range(count)]
    images[0].save(path, "TIFF", save_all=True, append_images=images[1:], **options)
    return path


@pytest.mark.parametrize("bands", [5, 8])
def test_more_bands_than_4_are_kept_unless_a_mode_is_asked_for(tmp_path, bands):
    values = np.arange(8 * 8 * bands, dtype=np.uint8).reshape(8, 8, bands)
    (tmp_path / "bands.tif").write_bytes(tiff_of(values))
    source = bs.open(tmp_path / "bands.tif")
    assert (_load(source) == values).all()
    assert str(source.choices[0]) == f"images are unchanged: {bands} channels of uint8"
    with pytest.raises(
        UnsupportedFile, match=rf'bands\.tif.*mode="RGB" is not for images of {bands} channels.*mode="unchanged" keeps'
    ):
        _load(bs.open(tmp_path / "bands.tif", mode="RGB"))


@pytest.mark.parametrize(
    ("values", "kind", "text"),
    [
        (np.zeros((8, 8, 1), np.float64), 3, "floating-point pixels"),
        (np.zeros((8, 8, 3), np.float32), 3, "floating-point pixels"),
        (np.full((8, 8, 1), -5, np.int16), 2, "16-bit values from -5 to -5"),
        (np.full((8, 8, 1), 70_000, np.int32), 2, "32-bit values from 70000"),
        (np.zeros((8, 8, 1), np.float32), 3, "floating-point pixels"),
    ],
)
def test_values_that_cannot_be_brought_to_8_bits_are_kept_unless_a_mode_is_asked_for(tmp_path, values, kind, text):
    (tmp_path / "x.tif").write_bytes(tiff_of(values, sample_format=kind))
    kept = _load(bs.open(tmp_path / "x.tif"))
    assert kept.dtype == values.dtype
    assert (kept == values).all()
    with pytest.raises(UnsupportedFile, match=f'{text}.*mode="unchanged" keeps them'):
        _load(bs.open(tmp_path / "x.tif", mode="RGB"))


def test_complex_numbers_are_named(tmp_path):
    (tmp_path / "x.tif").write_bytes(tiff_of(np.zeros((8, 8, 1), np.complex64), sample_format=6))
    with pytest.raises(UnsupportedFile, match=r"1 band of 64 bits .complex numbers. is not supported"):
        _load(bs.open(tmp_path / "x.tif"))


@pytest.mark.parametrize("data", [b"II*\0", b"II*\0\x08\0\0\0", b"II*\0" + bytes(40), b"P5 no numbers", b"GIF89a", b"BM"])
def test_no_message_shows_an_object(tmp_path, data):
    (tmp_path / "x.tif").write_bytes(data)
    with pytest.raises(BadFile) as error:
        _load(bs.open(tmp_path / "x.tif"))
    assert " object at 0x" not in str(error.value)


class TestPages:
    @pytest.mark.parametrize("options", [{}, {"compression": "tiff_lzw"}, {"big_tiff": True}], ids=str)
    def test_they_are_counted_in_bytes_and_in_files(self, tmp_path, options):
        path = stack(tmp_path / "stack.tif", **options)
        assert pages(path) == pages(path.read_bytes()) == 4

    def test_thumbnails_are_none(self, tmp_path):
        data = bytearray(stack(tmp_path / "stack.tif", 2).read_bytes())
        # The second directory begins where the first says; its first tag becomes NewSubfileType 1: a smaller copy.
        first = struct.unpack_from("<I", data, 4)[0]
        count = struct.unpack_from("<H", data, first)[0]
        second = struct.unpack_from("<I", data, first + 2 + 12 * count)[0]
        data[second + 2 : second + 14] = struct.pack("<HHII", 254, 4, 1, 1)
        assert pages(bytes(data)) == 1

    def test_a_chain_without_end_ends(self, tmp_path):
        data = bytearray(stack(tmp_path / "stack.tif", 2).read_bytes())
        first = struct.unpack_from("<I", data, 4)[0]
        count = struct.unpack_from("<H", data, first)[0]
        second = struct.unpack_from("<I", data, first + 2 + 12 * count)[0]
        count = struct.unpack_from("<H", data, second)[0]
        struct.pack_into("<I", data, second + 2 + 12 * count, first)
        assert pages(bytes(data)) == 2

    def test_opening_says_that_the_first_is_taken(self, tmp_path):
        stack(tmp_path / "a.tif")
        Image.new("L", (8, 8)).save(tmp_path / "b.tif")
        source = bs.open(tmp_path)
        assert dict(source.left_out) == {"pages after the first of TIFF files (a.tif has 4)": 1}
        assert bs.open(tmp_path / "b.tif").left_out == {}

    def test_decoding_says_it_once_a_source(self, tmp_path, caplog):
        for name in "abc":
            stack(tmp_path / f"{name}.tif")
        source = bs.open(tmp_path)
        with caplog.at_level(logging.WARNING, "bitesize"):
            for _ in range(2):
                with bs.Loader(source, batch_size=3, memory="32 MiB", shuffle=False) as loader:
                    assert (next(iter(loader))["x"] == 0).all()  # the first page
        said = [record.getMessage() for record in caplog.records if "pages" in record.getMessage()]
        assert len(said) == 1
        assert "only the first of 4 pages of a TIFF is used" in said[0]


@pytest.mark.parametrize("compression", [None, "tiff_lzw"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orient_decides_whether_a_tiff_is_turned(tmp_path, orientation, compression):
    pixels = noise(6, 9)
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(pixels).save(tmp_path / "x.tif", compression=compression, exif=exif)
    assert (_load(bs.open(tmp_path / "x.tif", orient=False)) == pixels).all()
    transposed = {5, 6, 7, 8}
    upright = _load(bs.open(tmp_path / "x.tif"))
    assert upright.shape == ((9, 6, 3) if orientation in transposed else (6, 9, 3))
    undone = {
        2: lambda p: p[:, ::-1],
        3: lambda p: p[::-1, ::-1],
        4: lambda p: p[::-1],
        5: lambda p: p.transpose(1, 0, 2),
        6: lambda p: np.rot90(p, -1),
        7: lambda p: p[::-1, ::-1].transpose(1, 0, 2),
        8: np.rot90,
    }
    assert (upright == undone.get(orientation, np.asarray)(pixels)).all()


def test_a_stack_in_bigtiff_is_read(tmp_path):
    image = Image.fromarray(noise(8, 9))
    stream = io.BytesIO()
    image.save(stream, "TIFF", big_tiff=True)
    (tmp_path / "x.tif").write_bytes(stream.getvalue())
    assert (_load(bs.open(tmp_path / "x.tif")) == np.asarray(image)).all()
