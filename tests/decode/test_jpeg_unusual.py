"""JPEGs that libjpeg-turbo's interface does not take are decoded by Pillow, or named as not supported: never damaged."""

import io

import numpy as np
import pytest
from PIL import Image
from tests.decode.jpegs import baseline, lossless

import bitesize as bs
from bitesize.decode.decode import decode_nbytes
from bitesize.decode.header import read_info
from bitesize.errors import BadFile, UnsupportedFile

UNUSUAL = [
    [(4, 2), (1, 1), (1, 1)],  # 4:1:0
    [(2, 4), (1, 1), (1, 1)],
    [(3, 1), (1, 1), (1, 1)],
    [(1, 4), (1, 1), (1, 1)],
    [(2, 2), (2, 1), (2, 1)],
    [(2, 1), (2, 1), (2, 1)],
    [(2, 2), (1, 1), (2, 1)],
    [(1, 1), (2, 2), (2, 2)],
]


def _open(tmp_path, data, **options):
    (tmp_path / "x.jpg").write_bytes(data)
    with bs.Loader(bs.open(tmp_path / "x.jpg", **options), batch_size=1, memory="32 MiB") as loader:
        return next(iter(loader))["x"][0].copy()


@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA"])
@pytest.mark.parametrize("factors", [*UNUSUAL, [(2, 2), (1, 1), (1, 1)], [(1, 1)]], ids=str)
def test_any_subsampling_is_decoded_as_pillow_does(tmp_path, factors, mode):
    data = baseline(factors)
    image = Image.open(io.BytesIO(data))
    if mode == "L":
        image.draft("L", image.size)
    expected = np.asarray(image.convert(mode)).astype(int)
    got = _open(tmp_path, data, mode=mode)
    assert np.abs(got - expected.reshape(got.shape)).max() <= 1
    assert len(np.unique(got)) > 5


@pytest.mark.parametrize("factors", UNUSUAL, ids=str)
@pytest.mark.parametrize("part", [0.5, 0.8])
def test_one_that_is_cut_off_is_damaged(tmp_path, factors, part):
    data = baseline(factors, (6, 6))
    start = data.index(b"\xff\xda")
    with pytest.raises(BadFile, match="damaged JPEG"):
        _open(tmp_path, data[: start + int(part * (len(data) - start))])


def test_its_memory_is_charged_by_its_header():
    usual, unusual = (
        read_info(memoryview(baseline(factors, (40, 40)))) for factors in ([(2, 2), (1, 1), (1, 1)], UNUSUAL[0])
    )
    assert not usual.by_pillow
    assert unusual.by_pillow
    pixels = unusual.width * unusual.height
    assert decode_nbytes(unusual, "RGB", 8, 1000) >= pixels * (3 + 4 + 3) + 1000


@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_lossless_gray_of_8_bits_is_decoded(tmp_path, mode):
    values = np.random.default_rng(0).integers(0, 256, (13, 21))
    assert (_open(tmp_path, lossless(values, 8), mode=mode) == values[..., None]).all()


@pytest.mark.parametrize("bits", [12, 16])
def test_lossless_of_more_bits_is_not_supported(tmp_path, bits):
    values = np.random.default_rng(0).integers(0, 1 << bits, (13, 21))
    with pytest.raises(UnsupportedFile, match=rf"x\.jpg.*a lossless JPEG of {bits} bits a value is not supported: convert"):
        _open(tmp_path, lossless(values, bits))


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda data: data.replace(b"\xff\xc0\x00\x11\x08", b"\xff\xc1\x00\x11\x0c"), "a JPEG of 12 bits a value"),
        (lambda data: data.replace(b"\xff\xc0", b"\xff\xc5"), "hierarchical JPEG"),
        (lambda data: data.replace(b"\xff\xc0", b"\xff\xde"), "hierarchical JPEG"),
        (lambda data: data.replace(b"\xff\xc0", b"\xff\xf7"), "JPEG-LS"),
    ],
)
def test_what_nothing_decodes_is_not_supported(tmp_path, change, text):
    with pytest.raises(UnsupportedFile, match=f"{text} is not supported"):
        _open(tmp_path, change(baseline([(1, 1)] * 3)))


def test_two_components_are_not_supported(tmp_path):
    with pytest.raises(UnsupportedFile, match="a JPEG of 2 components is not supported"):
        _open(tmp_path, baseline([(1, 1)] * 2))


def test_check_does_not_call_it_damaged(tmp_path):
    values = np.random.default_rng(0).integers(0, 4096, (13, 21))
    (tmp_path / "x.jpg").write_bytes(lossless(values, 12))
    found = bs.check(bs.open(tmp_path / "x.jpg"), memory="32 MiB")
    assert len(found.bad) == 1
    assert not found.damaged
