"""Raw pixels take the place of encoded images: viewed without a copy, and never trusted."""

from __future__ import annotations

import struct
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from tests.conftest import noise
from tests.properties import examples

import bitesize as bs
from bitesize.decode.decode import decode, decode_nbytes, pixels_nbytes
from bitesize.decode.header import read_info
from bitesize.decode.mask import decode_mask, mask_dtype
from bitesize.decode.raw import HEADER_NBYTES, raw_header
from bitesize.errors import BadFile, UnsupportedFile
from bitesize.sources import Source
from bitesize.spec import Encoded, Field


def raw(pixels: np.ndarray) -> bytearray:
    return bytearray(raw_header(pixels.shape, pixels.dtype) + pixels.tobytes())


def decoded(data, mode, start=0):
    """Decode data that begins at any address."""
    place = np.zeros(len(data) + start, np.uint8)
    place[start:] = np.frombuffer(data, np.uint8)
    view = memoryview(place[start:])
    info = read_info(view)
    return decode(view, info, mode, 8, np.empty(pixels_nbytes(info, mode, 8), np.uint8)), place, info


@pytest.mark.parametrize(("mode", "channels"), [("RGB", 3), ("L", 1), ("RGBA", 4)])
def test_pixels_of_the_mode_are_a_view_of_the_data_and_need_no_memory(mode, channels):
    pixels = noise(7, 5)[..., :1].repeat(channels, axis=2)
    out, place, info = decoded(raw(pixels), mode, start=3)
    np.testing.assert_array_equal(out, pixels)
    assert np.shares_memory(out, place)
    assert (info.width, info.height, info.channels, info.orientation) == (5, 7, channels, 1)
    assert decode_nbytes(info, mode, 8, len(place)) == pixels_nbytes(info, mode, 8) == 0


@pytest.mark.parametrize("start", [0, 1])
def test_pixels_of_16_bits_keep_their_values_at_any_address(start):
    pixels = np.arange(0, 65_536, 1000, np.uint16).reshape(6, 11, 1)
    out, _, info = decoded(raw(pixels), "I;16", start)
    np.testing.assert_array_equal(out, pixels)
    assert out.flags.aligned
    assert decode_nbytes(info, "I;16", 8, 1000) == pixels.nbytes


@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA"])
@pytest.mark.parametrize("stored", ["RGB", "L", "RGBA", "I;16"])
def test_pixels_of_another_mode_are_converted_as_those_of_a_png(tmp_path, mode, stored):
    if stored == "I;16":
        image = Image.fromarray(np.arange(0, 65_536, 1000, np.uint16).reshape(6, 11))
    else:
        image = Image.fromarray(noise(6, 11)).convert(stored)
    image.save(tmp_path / "image.png")
    expected, *_ = decoded((tmp_path / "image.png").read_bytes(), mode)
    pixels = np.asarray(image)
    out, *_ = decoded(raw(pixels if pixels.ndim == 3 else pixels[..., None]), mode)
    np.testing.assert_array_equal(out, expected)


def test_masks_keep_their_numbers():
    for dtype in (np.uint8, np.uint16):
        numbers = np.arange(30, dtype=dtype).reshape(5, 6, 1)
        view = memoryview(raw(numbers))
        info = read_info(view)
        assert mask_dtype(view, info) == dtype
        out = decode_mask(view, info, np.dtype(np.uint16), np.empty(60, np.uint8))
        np.testing.assert_array_equal(out, numbers)


def test_a_mask_needs_one_channel_and_numbers_of_its_dtype():
    view = memoryview(raw(noise(4, 4)))
    with pytest.raises(BadFile, match="3 channels"):
        decode_mask(view, read_info(view), np.dtype(np.uint8), np.empty(16, np.uint8))
    view = memoryview(raw(np.full((2, 2, 1), 300, np.uint16)))
    with pytest.raises(BadFile, match="300"):
        decode_mask(view, read_info(view), np.dtype(np.uint8), np.empty(4, np.uint8))


@pytest.mark.parametrize("shape", [(2, 2, 5), (2, 2, 2)])
def test_pixels_that_are_no_image_are_unsupported(shape):
    with pytest.raises(UnsupportedFile, match="channels"):
        decoded(raw(np.zeros(shape, np.uint16)), "RGB")


def _damaged() -> dict[str, bytes]:
    good = bytes(raw(noise(3, 4)))
    header = struct.Struct("<4sHHII")
    return {
        "empty": b"BSPX",
        "short header": good[:15],
        "no pixels": good[:16],
        "one byte less": good[:-1],
        "one byte more": good + b"x",
        "no channels": header.pack(b"BSPX", 1, 0, 3, 4),
        "no height": header.pack(b"BSPX", 1, 3, 0, 4),
        "unknown dtype": header.pack(b"BSPX", 9, 3, 3, 4) + good[16:],
        "huge": header.pack(b"BSPX", 1, 65_535, 2**32 - 1, 2**32 - 1) + good[16:],
    }


@pytest.mark.parametrize("name", _damaged())
def test_a_header_that_the_data_contradicts_is_refused_before_memory_is_needed(name):
    tracemalloc.start()
    try:
        with pytest.raises(BadFile, match="damaged raw pixels"):
            read_info(memoryview(_damaged()[name]))
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


def test_data_that_was_replaced_after_its_header_was_read_is_refused():
    data = raw(noise(3, 4))
    info = read_info(memoryview(data))
    data[8:16] = struct.pack("<II", 4, 3)
    with pytest.raises(BadFile, match="changed"):
        decode(memoryview(data), info, "RGB", 8, np.empty(0, np.uint8))


@examples(1000)
@given(st.binary(max_size=40))
def test_any_bytes_after_the_magic_are_an_image_or_a_bad_file(rest):
    data = memoryview(bytearray(b"BSPX" + rest))
    try:
        info = read_info(data)
        decode(data, info, "RGB", 8, np.empty(pixels_nbytes(info, "RGB", 8), np.uint8))
    except BadFile:
        return
    assert len(data) == HEADER_NBYTES + info.width * info.height * info.channels * info.bits // 8


class Pixels(Source):
    """Images of varying shape, and their masks."""

    def __init__(self, images, masks):
        self.images, self.masks = images, masks

    spec = {"x": Encoded(mode="RGB"), "mask": Encoded("mask", "L"), "number": Field((), np.int64)}

    def __len__(self):
        return len(self.images)

    def _identity(self):
        return b"pixels"

    def read(self, rows, into):
        for i, row in enumerate(rows.tolist()):
            for name, data in (("x", self.images[row]), ("mask", self.masks[row])):
                into[name].put(i, len(data))[:] = data
            into["number"][i] = row


@pytest.mark.parametrize(
    "transforms", [[bs.Resize(24)], [bs.RandomResizedCrop(24), bs.Flip()], [bs.Rotate(20), bs.Resize(24)]]
)
def test_the_renderer_gives_the_same_batches_from_raw_pixels_as_from_png(tmp_path, transforms):
    sizes = [(30, 40), (25, 61), (24, 24)]
    images = [noise(h, w) for h, w in sizes]
    masks = [noise(h, w)[..., :1] for h, w in sizes]

    def png(pixels):
        Image.fromarray(pixels.squeeze()).save(tmp_path / "image.png")
        return (tmp_path / "image.png").read_bytes()

    batches = []
    for store in (raw, png):
        source = Pixels([store(image) for image in images], [store(mask) for mask in masks])
        with bs.Loader(source, batch_size=3, memory="64 MiB", shuffle=False, transforms=transforms) as loader:
            batches.append({name: np.array(value) for name, value in next(iter(loader)).items()})
    for name in ("x", "mask", "number"):
        np.testing.assert_array_equal(batches[0][name], batches[1][name])
