"""The registry of decoders that are packages of their own."""

import numpy as np
import pytest

from bitesize.decode import formats
from bitesize.decode.decode import decode, decode_nbytes, pixels_nbytes
from bitesize.decode.formats import CODECS, Codec, Format, decoder
from bitesize.decode.header import read_info
from bitesize.decode.info import ImageInfo
from bitesize.errors import BadFile, MissingPackage


def read_header(data):
    return ImageInfo("NOTES", 4, 2, 1, bits=16, overhead=1000, dtype=np.dtype(np.uint16), codec="NOTES", codec_only=True)


def decode_into(data, info, out):
    if len(data) < 20:
        raise ValueError("too short")
    out[...] = 257 * 7


@pytest.fixture
def notes(monkeypatch):
    """Register this module as a format."""
    monkeypatch.setitem(formats.FORMATS, "NOTES", Format(((4, b"note"),), (".note",)))
    monkeypatch.setitem(formats.CODECS, "NOTES", Codec(__name__, (), ""))
    return memoryview(b"\0\0\0\0note" + bytes(20))


def test_a_format_is_one_module_with_two_functions(notes):
    info = read_info(notes)
    assert info.kind == "NOTES"
    for mode, value in (("unchanged", 1799), ("I;16", 1799), ("L", 7), ("RGB", 7)):
        got = decode(notes, info, mode, 8, np.empty(pixels_nbytes(info, mode, 8), np.uint8))
        assert (got == value).all()
        assert decode_nbytes(info, mode, 8, len(notes)) >= got.nbytes + 1000


def test_other_errors_of_a_decoder_are_those_of_a_damaged_file(notes):
    info = read_info(notes)
    with pytest.raises(BadFile, match="damaged NOTES: too short"):
        decode(notes[:10], info, "unchanged", 8, np.empty(pixels_nbytes(info, "unchanged", 8), np.uint8))


def test_a_missing_package_is_named_with_the_extra(monkeypatch):
    monkeypatch.setitem(formats.CODECS, "NOTES", Codec(__name__, ("no_such_package",), "notes"))
    with pytest.raises(MissingPackage, match=r'NOTES needs no_such_package: pip install "bitesize\[notes\]"'):
        decoder("NOTES")


def test_every_module_has_both_functions():
    for name in CODECS:
        pytest.importorskip("imagecodecs")
        module = decoder(name)
        assert callable(module.read_header)
        assert callable(module.decode_into)
