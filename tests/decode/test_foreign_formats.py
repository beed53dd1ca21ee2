"""Formats beside the usual ones: read where Pillow reads them safely, else named with the way on."""

import io

import numpy as np
import pytest
from PIL import Image, features
from tests.conftest import noise

import bitesize as bs
from bitesize.decode.header import foreign_format, read_info
from bitesize.errors import BadFile, UnsupportedFile

needs_jpeg2000 = pytest.mark.skipif(not features.check("jpg_2000"), reason="this Pillow is built without OpenJPEG")


def _load(source):
    with bs.Loader(source, batch_size=1, memory="64 MiB") as loader:
        return next(iter(loader))["x"][0].copy()


FOREIGN = {
    "JPEG XL": b"\xff\x0a",
    "a camera's RAW": b"II*\0\x10\0\0\0CR\x02\0",
    "SVG": b'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg">',
    "PDF": b"%PDF-1.7\n",
    "Photoshop": b"8BPS\0\x01",
    "OpenEXR": b"v/1\x01",
    "NIfTI": bytes(344) + b"n+1\0",
    "a video": b"\0\0\0\x18ftypmp42",
}


@pytest.mark.parametrize("name", FOREIGN)
def test_a_format_that_is_not_decoded_is_named_whatever_the_file_is_called(tmp_path, name):
    (tmp_path / "x.jpg").write_bytes(FOREIGN[name] + bytes(99))
    with pytest.raises(UnsupportedFile, match=rf"x\.jpg.*the file is {name}, which is not supported: \w+"):
        _load(bs.open(tmp_path / "x.jpg"))
    found = bs.check(bs.open(tmp_path / "x.jpg"), memory="32 MiB")
    assert name in found.bad[0].reason
    assert not found.damaged


@pytest.mark.parametrize(
    ("file", "name"),
    [("IMG_1.JXL", "JPEG XL"), ("a.nef", "a camera's RAW"), ("x.mat", "MATLAB"), ("clip.mp4", "a video")],
)
def test_a_suffix_names_a_format_too(file, name):
    assert foreign_format(b"", file).name == name


@pytest.mark.parametrize("file", ["x.jpg", "x.tif", "notes.txt", "x.gz", ""])
def test_other_files_are_no_foreign_format(file):
    assert foreign_format(b"", file) is None


@needs_jpeg2000
@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA"])
def test_jpeg_2000_is_decoded(tmp_path, mode):
    image = Image.fromarray(noise(33, 47)).convert(mode)
    image.save(tmp_path / "x.jp2")
    source = bs.open(tmp_path / "x.jp2", mode=mode)
    assert (_load(source) == np.asarray(image).reshape(33, 47, -1)).all()


@needs_jpeg2000
def test_a_jpeg_2000_whose_codestream_is_of_another_size_is_damaged(tmp_path):
    stream = io.BytesIO()
    Image.fromarray(noise(33, 47)).save(stream, "JPEG2000")
    data = bytearray(stream.getvalue())
    at = data.index(b"\xff\x4f\xff\x51")
    data[at + 8 : at + 12] = (60_000).to_bytes(4, "big")
    (tmp_path / "x.jp2").write_bytes(data)
    with pytest.raises(BadFile, match="its codestream 60000 x 33"):
        _load(bs.open(tmp_path / "x.jp2"))


@needs_jpeg2000
def test_tiles_of_a_jpeg_2000_are_charged():
    stream = io.BytesIO()
    Image.fromarray(noise(64, 64)).save(stream, "JPEG2000", tile_size=(8, 8))
    assert read_info(memoryview(stream.getvalue())).overhead >= 64 * 4096


@pytest.mark.parametrize(("mode", "suffix"), [("RGB", ".ppm"), ("L", ".pgm"), ("1", ".pbm")])
def test_pnm_is_decoded(tmp_path, mode, suffix):
    image = Image.fromarray(noise(33, 47)).convert(mode)
    image.save(tmp_path / f"x{suffix}")
    assert (_load(bs.open(tmp_path / f"x{suffix}")) == np.asarray(image.convert("RGB"))).all()


def test_pnm_in_text_is_decoded(tmp_path):
    (tmp_path / "x.pgm").write_text("P2\n# a comment\n3 2\n255\n0 1 2\n100 200 255\n")
    assert _load(bs.open(tmp_path / "x.pgm", mode="L"))[..., 0].tolist() == [[0, 1, 2], [100, 200, 255]]


def test_a_pnm_of_12_bits_keeps_its_values(tmp_path):
    values = np.arange(0, 4095, 13, dtype=">u2").reshape(7, 45)
    (tmp_path / "x.pgm").write_bytes(b"P5 # twelve\n45 7\n4095\n" + values.tobytes())
    assert (_load(bs.open(tmp_path / "x.pgm", mode="I;16"))[..., 0] == values).all()
    assert _load(bs.open(tmp_path / "x.pgm", mode="L")).max() == round(4082 / 4095 * 255)  # its range is known
