"""Real photographs, where there are some: no false alarm, the pixels that Pillow makes, and no truncation that goes unnoticed."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.conftest import noise

from bitesize.decode.decode import decode, pixels_nbytes
from bitesize.decode.header import read_info
from bitesize.errors import BadFile

PHOTOGRAPHS = sorted((Path(__file__).parents[3] / "shared" / "data" / "catsdogs").glob("*/*.jpg"))


def _drawn(i: int) -> bytes:
    """A photograph's stand-in: a smooth picture with some noise, saved as cameras and web sites do."""
    y, x = np.mgrid[0 : 90 + i % 50, 0 : 120 + i % 37]
    smooth = np.stack([x + i, y * 2, (x + y) // 2], -1) % 256
    picture = Image.fromarray(((smooth * 3 + noise(*x.shape, seed=i)) // 4).astype(np.uint8))
    stream = io.BytesIO()
    picture.save(stream, "JPEG", quality=60 + i % 40, progressive=i % 5 == 0, subsampling=i % 3, optimize=i % 2 == 0)
    return stream.getvalue()


def _files(count: int) -> list[bytes]:
    return [path.read_bytes() for path in PHOTOGRAPHS[:count]] or [_drawn(i) for i in range(count)]


def _decoded(data: bytes) -> np.ndarray:
    view = memoryview(data)
    info = read_info(view)
    return decode(view, info, "RGB", 8, np.empty(pixels_nbytes(info, "RGB", 8), np.uint8))


def test_photographs_come_out_as_pillow_decodes_them():
    files = _files(1000 if PHOTOGRAPHS else 100)
    for i, data in enumerate(files):
        expected = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
        found = _decoded(data)
        assert found.shape == expected.shape, i
        assert _apart(found, expected) <= 2, i


def _apart(a: np.ndarray, b: np.ndarray) -> int:
    return int((np.maximum(a, b) - np.minimum(a, b)).max())


def test_three_hundred_photographs_cut_at_random_places_are_all_noticed():
    random = np.random.default_rng(0)
    files = _files(300)
    assert len(files) == 300
    for i, data in enumerate(files):
        end = data.rindex(b"\xff\xd9")  # what some programs leave behind the end is not missed
        at = int(random.integers(1, end))
        with pytest.raises(BadFile):
            _decoded(data[:at])
        with pytest.raises(BadFile):  # with an end that hides the cut from a careless reader
            _decoded(data[: max(at, 2)] + b"\xff\xd9")
        assert _decoded(data[: end + 2]).size, i


def test_junk_before_another_marker_does_not_hide_a_truncation():
    """Of warnings only that of bytes before the end is let pass: another one may stand before that of a file cut off."""
    for data in _files(40):
        at = next(at for at in range(2, len(data)) if data[at] == 0xFF and data[at + 1] in (0xDB, 0xC4))
        junk = data[:at] + b"junk" + data[at:]
        end = data.rindex(b"\xff\xd9")
        with pytest.raises(BadFile):
            _decoded(junk[: end * 2 // 3])
        with pytest.raises(BadFile):
            _decoded(junk[: end * 2 // 3] + b"junk\xff\xd9")
