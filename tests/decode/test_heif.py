"""HEIC and AVIF are images like others: rotated once, with all bits of their values."""

import io
import sys

import numpy as np
import pytest
from PIL import Image, features

import bitesize as bs
from bitesize.decode import formats
from bitesize.decode.decode import decode, pixels_nbytes
from bitesize.decode.header import read_info, sniff
from bitesize.decode.iso_media import avif_bits
from bitesize.errors import BadFile, MissingPackage, UnsupportedFile

Y, X = np.mgrid[0:40, 0:56]
PICTURE = Image.fromarray(np.stack([X * 4, Y * 6, (X + Y) * 2], -1).astype(np.uint8))
needs_avif = pytest.mark.skipif(not features.check("avif"), reason="this Pillow does not decode AVIF")


def decoded(data, mode="unchanged"):
    view = memoryview(data)
    info = read_info(view)
    return decode(view, info, mode, 8, np.empty(pixels_nbytes(info, mode, 8), np.uint8))


def heic(picture=PICTURE, **settings):
    pillow_heif = pytest.importorskip("pillow_heif")
    stream = io.BytesIO()
    pillow_heif.from_pillow(picture).save(stream, quality=-1, **settings)
    return stream.getvalue()


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L"])
def test_heic_is_decoded_as_pillow_heif_does(mode):
    import pillow_heif

    data = heic(PICTURE.convert(mode))
    file = pillow_heif.open_heif(io.BytesIO(data))  # which owns the memory of the array
    assert np.array_equal(decoded(data).squeeze(), np.asarray(file))
    assert decoded(data, "RGB").shape == (40, 56, 3)


@pytest.mark.parametrize("mode", ["I;16", "RGB;16"])
def test_heic_of_10_bits_keeps_them(mode):
    pillow_heif = pytest.importorskip("pillow_heif")
    values = (X * 1000 + Y * 13).astype(np.uint16)
    values = values if mode == "I;16" else np.stack([values, values, values], -1)
    stream = io.BytesIO()
    pillow_heif.from_bytes(mode=mode, size=(56, 40), data=values.tobytes()).save(stream, quality=-1)
    found = decoded(stream.getvalue())
    assert found.dtype == np.uint16
    assert np.abs(found.squeeze().astype(int) - values).max() < 64  # ten of sixteen bits
    assert len(np.unique(found)) > 256
    assert decoded(stream.getvalue(), "L").dtype == np.uint8


def test_the_exif_orientation_of_heic_is_not_applied_to_upright_pixels(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    picture = PICTURE.copy()
    picture.info["exif"] = exif.tobytes()
    (tmp_path / "a.heic").write_bytes(heic(picture))
    pillow_heif = pytest.importorskip("pillow_heif")
    row = bs.open(tmp_path / "a.heic")[0]["x"]
    assert row.shape[:2] == pillow_heif.open_heif(tmp_path / "a.heic").size[::-1]


@needs_avif
@pytest.mark.parametrize("orientation", range(1, 9))
def test_avif_is_rotated_once(tmp_path, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    PICTURE.save(tmp_path / "a.avif", exif=exif, quality=100)
    from PIL import ImageOps

    with Image.open(tmp_path / "a.avif") as image:
        upright = np.asarray(ImageOps.exif_transpose(image))
        stored = np.asarray(image)
    assert np.array_equal(bs.open(tmp_path / "a.avif")[0]["x"], upright)
    assert np.array_equal(bs.open(tmp_path / "a.avif", orient=False)[0]["x"], stored)


@needs_avif
def test_avif_of_10_bits_is_not_narrowed_silently():
    stream = io.BytesIO()
    PICTURE.save(stream, "AVIF", quality=100)
    data = bytearray(stream.getvalue())
    info = read_info(memoryview(data))
    assert info.bits == 8
    data[data.index(b"av1C") + 6] |= 0x40  # what libavif writes for 10 bits
    assert avif_bits(memoryview(data)) == 10
    with pytest.raises(UnsupportedFile, match="10 bits, of which Pillow decodes only 8"):
        decode(memoryview(stream.getvalue()), info._replace(bits=10), "unchanged", 8, np.empty(1 << 16, np.uint8))


def test_an_avif_that_pillow_does_not_decode_names_the_pillow_that_does(monkeypatch):
    monkeypatch.setattr(features, "check", lambda name: False)
    with pytest.raises(MissingPackage, match=r"Pillow that decodes them, 11\.3 or later"):
        read_info(memoryview(b"\0\0\0\x1cftypavif" + bytes(99)))


def test_a_missing_package_names_the_extra(tmp_path, monkeypatch):
    (tmp_path / "a.heic").write_bytes(b"\0\0\0\x18ftypheic" + bytes(99))
    monkeypatch.setattr(formats, "is_installed", lambda name: False)
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(MissingPackage, match=r'pip install "bitesize\[heic\]"'):
        bs.open(tmp_path / "a.heic")[0]


def test_a_general_brand_is_recognized_by_those_that_follow():
    assert sniff(b"\0\0\0\x1cftypmif1\0\0\0\0mif1avifmiaf") == "AVIF"
    assert sniff(b"\0\0\0\x1cftypmif1\0\0\0\0mif1heicmiaf") == "HEIC"


def test_damaged_heic_is_refused():
    data = heic()
    for end in range(20, len(data), len(data) // 40):
        with pytest.raises(BadFile):
            decoded(data[:end])
