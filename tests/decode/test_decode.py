"""Every kind of image comes out right, or not at all."""

import io

import numpy as np
import pytest
from PIL import Image
from tests.conftest import noise, write_jpeg

import bitesize as bs
from bitesize.decode.decode import choose_eighths, decode, decode_nbytes, decoded_size, pixels_nbytes
from bitesize.decode.header import MAX_SCANS, read_info
from bitesize.errors import BadFile


def _decode(data: bytes, mode="RGB", eighths=8):
    view = memoryview(data)
    info = read_info(view)
    buffer = np.full(pixels_nbytes(info, mode, eighths), 77, np.uint8)
    return decode(view, info, mode, eighths, buffer)


def _encode(image: Image.Image, kind: str, **options) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


RGB = Image.fromarray(noise(33, 47))


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "GIF", "WEBP", "JPEG"])
def test_each_kind_is_told_by_its_bytes_and_decoded(kind):
    data = _encode(RGB, kind)
    assert read_info(memoryview(data)).kind == kind
    expected = np.asarray(Image.open(io.BytesIO(data)).convert("RGB")).astype(int)
    assert np.abs(_decode(data) - expected).max() <= 1


@pytest.mark.parametrize("mode", ["L", "P", "1", "LA", "RGBA", "CMYK", "I;16"])
def test_every_pillow_mode_comes_out_as_rgb(mode):
    if mode == "I;16":
        image = Image.fromarray((np.arange(33 * 47) * 42).reshape(33, 47).astype(np.uint16))
    else:
        image = RGB.convert(mode)
    data = _encode(image, "TIFF" if mode == "CMYK" else "PNG")
    pixels = _decode(data)
    assert pixels.shape == (33, 47, 3)
    if mode == "I;16":  # scaled, not clipped
        expected = np.round((np.arange(33 * 47) * 42).reshape(33, 47) / 257)
        assert np.abs(pixels[..., 0] - expected).max() <= 1
    else:
        assert np.abs(pixels - np.asarray(image.convert("RGB")).astype(int)).max() <= 1


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF"])
def test_transparency_is_laid_over_white(kind):
    image = Image.new("RGBA", (4, 4), (10, 20, 30, 0))
    image.putpixel((1, 1), (10, 20, 30, 255))
    options = {"lossless": True} if kind == "WEBP" else {}
    pixels = _decode(_encode(image, kind, **options))
    assert pixels[0, 0].tolist() == [255, 255, 255]
    assert pixels[1, 1].tolist() == [10, 20, 30]


def test_a_palettes_transparent_color_is_white_too():
    image = Image.new("P", (4, 4), 0)
    image.putpalette([9, 9, 9, 200, 100, 50])
    image.putpixel((0, 0), 1)
    pixels = _decode(_encode(image, "GIF", transparency=0))
    assert pixels[0, 0].tolist() == [200, 100, 50]
    assert pixels[3, 3].tolist() == [255, 255, 255]


def test_rgba_keeps_its_alpha_and_gray_is_one_channel():
    image = Image.new("RGBA", (4, 4), (10, 20, 30, 40))
    assert _decode(_encode(image, "PNG"), "RGBA")[0, 0].tolist() == [10, 20, 30, 40]
    assert _decode(_encode(RGB, "JPEG"), "L").shape == (33, 47, 1)


def test_the_first_frame_of_a_gif_is_taken():
    first, second = Image.new("RGB", (4, 4), "red"), Image.new("RGB", (4, 4), "blue")
    data = _encode(first, "GIF", save_all=True, append_images=[second])
    assert _decode(data)[0, 0].tolist() == [255, 0, 0]


@pytest.mark.parametrize("adobe", [True, False])
def test_cmyk_jpegs_are_what_pillow_makes_of_them(adobe):
    data = _encode(RGB.convert("CMYK"), "JPEG", quality=95)
    if not adobe:
        at = data.index(b"\xff\xee")
        data = data[:at] + data[at + 2 + int.from_bytes(data[at + 2 : at + 4], "big") :]
    expected = np.asarray(Image.open(io.BytesIO(data)).convert("RGB")).astype(int)
    assert np.abs(_decode(data) - expected).max() <= 2


@pytest.mark.parametrize("size", [(33, 47), (300, 280), (17, 16), (8, 9)])
@pytest.mark.parametrize("eighths", [1, 2, 4, 8])
def test_a_jpeg_decoded_at_a_fraction_has_the_size_that_was_foretold(size, eighths):
    data = _encode(Image.fromarray(noise(*size)), "JPEG")
    info = read_info(memoryview(data))
    pixels = _decode(data, eighths=eighths)
    assert pixels.shape[1::-1] == decoded_size(info, eighths)
    assert decode_nbytes(info, "RGB", eighths, len(data)) >= pixels.nbytes


def test_the_scale_is_the_smallest_that_suffices():
    info = read_info(memoryview(_encode(Image.fromarray(noise(400, 800)), "JPEG")))
    assert [
        choose_eighths(info, *least) for least in [(100, 50), (101, 50), (100, 51), (400, 200), (401, 1), (2000, 1)]
    ] == [1, 2, 2, 4, 8, 8]
    png = read_info(memoryview(_encode(RGB, "PNG")))
    assert choose_eighths(png, 1, 1) == 8


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "TIFF", "WEBP", "BMP"])
@pytest.mark.parametrize("share", [0.02, 0.3, 0.6, 0.95])
def test_a_truncated_image_is_an_error_and_never_half_a_picture(kind, share):
    data = _encode(RGB, kind)
    with pytest.raises(BadFile):
        _decode(data[: int(len(data) * share)])


@pytest.mark.parametrize(
    "data",
    [b"", b"hello world, I am text", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0\x00\x10JFIF" + b"\0" * 40],
)
def test_what_is_no_image_says_so(data):
    with pytest.raises(BadFile):
        _decode(data)


def test_bytes_before_the_end_marker_are_tolerated_and_no_other_damage_is():
    data = _encode(RGB, "JPEG")
    assert data.endswith(b"\xff\xd9")
    assert np.array_equal(_decode(data[:-2] + b"junk" + data[-2:]), _decode(data))
    middle = len(data) * 2 // 3
    with pytest.raises(BadFile):
        _decode(data[:middle] + b"\xff\xd9")


def test_a_progressive_jpeg_with_a_thousand_scans_is_refused_before_decoding():
    data = _encode(RGB, "JPEG", progressive=True)
    assert _decode(data).shape == (33, 47, 3)
    at = data.index(b"\xff\xda")
    bomb = data[:at] + data[at : at + 10] * (MAX_SCANS + 1) + data[at:]
    with pytest.raises(BadFile, match="scans"):
        _decode(bomb)


def test_a_pixel_bomb_is_refused_from_its_header(tmp_path):
    path = tmp_path / "bomb.png"
    path.write_bytes(_encode(Image.new("1", (40_000, 40_000)), "PNG"))
    write_jpeg(tmp_path / "ok.jpg", noise(20, 20))
    with (
        bs.Loader(bs.open([path]), batch_size=1, transforms=[bs.Resize(8)], memory="64 MiB") as loader,
        pytest.raises(bs.BadFile, match="bomb"),
    ):
        next(iter(loader))


@pytest.mark.parametrize("kind", ["jpg", "png", "webp", "tif"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_photographs_come_out_upright_or_as_stored(tmp_path, orientation, kind):
    from PIL import ImageOps

    image = Image.fromarray(noise(24, 40))
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / f"a.{kind}"
    image.save(path, exif=exif, **({"quality": 95} if kind == "jpg" else {"lossless": True} if kind == "webp" else {}))
    plain = tmp_path / f"plain.{kind}"
    image.save(plain, **({"quality": 95} if kind == "jpg" else {"lossless": True} if kind == "webp" else {}))
    stored = Image.open(plain).convert("RGB")
    stored.getexif()[0x0112] = orientation
    upright = ImageOps.exif_transpose(stored)
    for orient, expected in ((True, upright), (False, stored)):
        with bs.Loader(bs.open([path], orient=orient), batch_size=1, memory="64 MiB") as loader:
            batch = next(iter(loader))
        assert np.abs(batch["x"][0] - np.asarray(expected).astype(int)).max() <= 1


def test_the_header_is_read_without_decoding():
    for kind in ("PNG", "TIFF", "WEBP", "BMP", "GIF"):
        data = _encode(Image.fromarray(noise(300, 400)), kind)
        info = read_info(memoryview(data[: 3 * len(data) // 4] if kind in ("PNG", "BMP", "GIF") else data))
        assert (info.kind, info.width, info.height) == (kind, 400, 300)


def test_a_jpeg_whose_colors_come_one_after_the_other_is_charged_for_its_coefficients():
    plain = read_info(memoryview(_encode(RGB, "JPEG")))
    progressive = read_info(memoryview(_encode(RGB, "JPEG", progressive=True)))
    assert (plain.buffered, progressive.buffered) == (False, True)
    data = bytearray(_encode(RGB, "JPEG"))
    data[data.index(b"\xff\xda") + 4] = 1  # a first scan of one component
    assert read_info(memoryview(bytes(data))).buffered


def test_running_out_of_memory_is_not_taken_for_a_damaged_file(monkeypatch):
    def fail(*_):
        raise MemoryError

    monkeypatch.setattr(Image, "open", lambda *_, **__: fail())
    data = memoryview(b"\x89PNG\r\n\x1a\n")
    from bitesize.decode.header import ImageInfo

    with pytest.raises(MemoryError):
        decode(data, ImageInfo("PNG", 2, 2, 3), "RGB", 8, np.zeros(12, np.uint8))


@pytest.mark.parametrize("size", [(1, 65_500), (65_500, 1)])
@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_the_longest_images_that_a_jpeg_may_be_are_read_and_made_smaller(tmp_path, size, kind):
    pixels = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), np.uint8)
    data = _encode(Image.fromarray(pixels), kind)
    (tmp_path / f"long.{kind.lower()}").write_bytes(data)
    stored = np.asarray(Image.open(io.BytesIO(data)))
    assert np.array_equal(_decode(data), stored)
    small = Image.fromarray(stored).resize((4, 4), Image.Resampling.BILINEAR)
    with bs.Loader(bs.open(tmp_path), batch_size=1, memory="64 MiB", transforms=[bs.Resize(4)], fast_decode=False) as loader:
        assert np.abs(next(iter(loader))["x"][0].astype(int) - np.asarray(small)).max() <= 1


def test_a_color_profile_changes_no_values():
    from PIL import ImageCms

    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    for kind in ("JPEG", "PNG"):
        data = _encode(RGB, kind, icc_profile=profile)
        assert profile in data or kind == "PNG"
        assert np.array_equal(_decode(data), np.asarray(Image.open(io.BytesIO(data))))
