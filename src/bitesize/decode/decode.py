"""Decoding one image into a charged buffer: JPEG with libjpeg-turbo, other formats with Pillow."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitesize.decode.exif import ORIENTATION
from bitesize.decode.formats import decoder
from bitesize.decode.header import ImageInfo, explained, unchanged_mode
from bitesize.decode.info import decoded_pixels, stored_pixels
from bitesize.decode.pnm import full_value
from bitesize.decode.raw import KIND as RAW
from bitesize.decode.raw import agrees, is_viewed, raw_pixels
from bitesize.decode.reduced import keeps_values
from bitesize.errors import BadFile, UnsupportedFile
from bitesize.spec import Mode

# A file with only this warning, extra bytes before the end marker, is complete. Any other warning may hide a
# truncation behind it.
_HARMLESS = "extraneous bytes before marker 0xd9"
# Inverse of each EXIF orientation, as members of Pillow's Transpose: mirrors are self-inverse, quarter turns swap.
_TURN_BACK = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}
_COLORSPACE = {"RGB": "RGB", "L": "GRAY", "RGBA": "RGBA"}
_OF_CHANNELS = {1: "GRAY", 3: "RGB"}
_NOT_WIDE = 'mode="I;16" is for 16-bit gray images, but this image is {channels} of {bits} bits: use mode="L" or "RGB", or "unchanged"'
_FLOATS = 'the image has floating-point pixels, whose range is unknown: mode="unchanged" keeps them'
_SIGNED = 'the image has signed values, which this mode has no place for: mode="unchanged" keeps them'
# JPEG can be decoded at these eighths of its size for less work; the full size is 8.
EIGHTHS = (1, 2, 3, 4, 5, 6, 7, 8)


def decoded_size(info: ImageInfo, eighths: int) -> tuple[int, int]:
    """Return width and height in pixels when decoded at ``eighths`` / 8 of the size (rounded up, as libjpeg does)."""
    if eighths == 8:
        return info.width, info.height
    return -(-info.width * eighths // 8), -(-info.height * eighths // 8)


def choose_eighths(info: ImageInfo, min_width: float, min_height: float) -> int:
    """Return the smallest JPEG scale at which the image has at least this width and height; 8 if there is none."""
    if not _by_turbojpeg(info) or 2 * min_width > info.width + 1 or 2 * min_height > info.height + 1:
        return 8
    for eighths in (1, 2, 4):  # the scales that libjpeg-turbo has fast paths for
        width, height = decoded_size(info, eighths)
        if width >= min_width and height >= min_height:
            return eighths
    return 8


def smaller_eighths(info: ImageInfo, eighths: int) -> int | None:
    """Return the next smaller scale of a JPEG, or None; images of several scans need as much memory at any scale."""
    if not _by_turbojpeg(info) or info.buffered:
        return None
    return next((scale for scale in (4, 2, 1) if scale < eighths), None)


def pixels_nbytes(info: ImageInfo, mode: Mode, eighths: int) -> int:
    """Return the bytes of the decoded pixels, which `decode` writes to its buffer; 0 for raw pixels that it returns as a view."""
    if is_viewed(info, mode):
        return 0
    width, height = decoded_size(info, eighths)
    channels, dtype = decoded_pixels(info, mode)
    return width * height * channels * dtype.itemsize


def decode_nbytes(info: ImageInfo, mode: Mode, eighths: int, file_nbytes: int) -> int:
    """Return the total bytes for decoding a file: its pixels and the working memory of the decoder."""
    pixels = info.width * info.height
    if agrees(info, mode):
        working = 0
    elif _by_codec(info, mode):
        working = info.overhead
        if mode != "unchanged":  # the stored values, and the steps of their conversion
            working += pixels * (info.channels * info.dtype.itemsize + 32)
    elif _by_turbojpeg(info) and mode != "I;16":
        # libjpeg stores every coefficient of an image of several scans: 2 bytes each, chroma at most as large as luma.
        working = pixels * info.channels * 2 if info.buffered else info.width * 64
    else:
        # Pillow copies the file, and stores the image (4 bytes per pixel for all modes but gray) and a copy for NumPy; for other
        # modes also each step of the conversion: alpha over white takes four images, 16-bit gray 32-bit temporaries.
        working = file_nbytes + info.overhead + pixels * _beside_a_pixel(info, mode)
    return pixels_nbytes(info, mode, eighths) + working


def _beside_a_pixel(info: ImageInfo, mode: Mode) -> int:
    if info.kind == "JPEG2000":
        return 40  # all components as 32-bit numbers, twice; measured at 25 for RGBA
    return 8 if info.plain and mode != "RGBA" else 32


def _by_codec(info: ImageInfo, mode: Mode) -> bool:
    return bool(info.codec) and (mode == "unchanged" or info.codec_only)


def _by_turbojpeg(info: ImageInfo) -> bool:
    return info.kind == "JPEG" and not info.by_pillow


def decode(data: memoryview, info: ImageInfo, mode: Mode, eighths: int, buffer: NDArray[np.uint8]) -> NDArray[Any]:
    """Decode an image as stored, without applying its EXIF orientation.

    Gray, palette and CMYK images become RGB; 16-bit values are scaled by 1 / 257, not clipped; transparency is laid
    over white, but for ``mode="RGBA"``. With ``mode="I;16"`` values of gray images of more than 8 bits are unchanged if
    they are within 0 to 65535; other images are refused. With ``mode="unchanged"`` values are those of the file; only palettes become
    the colors that they stand for.

    Parameters
    ----------
    data
        The encoded file.
    info
        The header, from `read_info`.
    mode
        ``"RGB"``, ``"L"``, ``"RGBA"``, ``"I;16"`` or ``"unchanged"``.
    eighths
        Scale, one of `EIGHTHS`; 8 for anything but JPEG.
    buffer
        uint8, at least `pixels_nbytes`.

    Returns
    -------
    ndarray, shape (height, width, channels), with channels and dtype by `decoded_pixels`
        A view on ``buffer``, or on ``data`` if these are raw pixels of 8 bits and of the mode.

    Raises
    ------
    UnsupportedFile
        If the image is valid, but its values cannot be converted to the mode.
    BadFile
        If the image is damaged or truncated. The contents of the buffer are then undefined.
    MissingPackage
        If the image needs a package that is not installed.
    """
    if is_viewed(info, mode):
        return raw_pixels(data, info)
    width, height = decoded_size(info, eighths)
    channels, dtype = decoded_pixels(info, mode)
    out = buffer[: pixels_nbytes(info, mode, eighths)].view(dtype).reshape(height, width, channels)
    if info.floats and mode != "unchanged":
        raise UnsupportedFile(_FLOATS)
    if info.kind == "JPEG2000" and info.dtype.kind == "i" and mode != "unchanged":
        raise UnsupportedFile(_SIGNED)
    if mode == "I;16" and not keeps_values(info):
        raise UnsupportedFile(
            _NOT_WIDE.format(
                bits=info.bits, channels={1: "gray", 2: "gray with transparency", 3: "RGB"}.get(info.channels, "color")
            )
        )
    try:
        if agrees(info, mode):
            out[...] = raw_pixels(data, info)
        elif _by_codec(info, mode):
            _decode_by_codec(data, info, mode, out)
        elif _by_turbojpeg(info):
            _decode_jpeg(data, _OF_CHANNELS[info.channels] if mode == "unchanged" else _COLORSPACE[mode], eighths, out)
        else:
            _decode_other(data, info, mode, out)
    except (BadFile, MemoryError, ImportError):
        raise
    except Exception as error:  # Pillow's plugins raise many types for damaged files
        raise BadFile(f"damaged {info.kind}: {explained(error)}") from error
    return out


def _decode_jpeg(data: memoryview, colorspace: str, eighths: int, out: NDArray[np.uint8]) -> None:
    import simplejpeg

    options: dict[str, Any] = {"colorspace": colorspace, "buffer": out}
    if eighths < 8:
        # The decoder picks the smallest scale that reaches these; one pixel less makes rounding harmless.
        options |= {"min_height": out.shape[0], "min_width": out.shape[1], "min_factor": 8 / eighths}
    try:
        pixels = simplejpeg.decode_jpeg(data, **options)
    except ValueError as error:
        if _HARMLESS not in str(error):
            raise
        pixels = simplejpeg.decode_jpeg(data, strict=False, **options)
    if pixels.shape[:2] != out.shape[:2]:
        raise BadFile(
            f"damaged JPEG: its header declares {out.shape[1]} x {out.shape[0]}, but it decodes to {pixels.shape[1::-1]}"
        )


def _decode_other(data: memoryview, info: ImageInfo, mode: Mode, out: NDArray[Any]) -> None:
    from PIL import Image

    with _opened(data, info) as opened:
        if mode == "L" and info.kind == "JPEG":
            opened.draft("L", opened.size)  # luma itself, as for other JPEGs, not the gray of clipped colors
        image: Image.Image = as_stored(opened, info)
        if mode == "unchanged":
            _copy_unchanged(image, data, info, out)
            return
        if image.mode.startswith("I") or image.mode == "F":
            values = _wide_gray(image, info)
            if mode == "I;16":
                out[..., 0] = _as_written(values, data, info)
                return
            image = Image.fromarray(_to_8_bits(values))
        _convert(image, mode, out)


def _copy_unchanged(image: Any, data: memoryview, info: ImageInfo, out: NDArray[Any]) -> None:
    """Copy the values of an image that Pillow has decoded, with palettes as colors."""
    if info.kind == "AVIF" and info.bits > 8:
        raise UnsupportedFile(
            f'an AVIF image of {info.bits} bits, of which Pillow decodes only 8: mode="RGB" or "L" accepts them'
        )
    wanted = unchanged_mode(image)
    values: NDArray[Any] = np.asarray(image if image.mode == wanted else image.convert(wanted))
    if image.mode.startswith("I"):
        values = _as_written(values, data, info)
    out[...] = values.reshape(out.shape)


def _decode_by_codec(data: memoryview, info: ImageInfo, mode: Mode, out: NDArray[Any]) -> None:
    """Decode with a package of its own; convert the values unless they are to be unchanged."""
    from PIL import Image

    module = decoder(info.codec)
    if mode == "unchanged":
        module.decode_into(data, info, out)
        return
    if info.dtype.kind != "u" or info.dtype.itemsize > 2 or info.channels > 4:
        raise UnsupportedFile(
            f'mode="{mode}" is not for images of {stored_pixels(info)}: mode="unchanged" keeps their values'
        )
    values = np.empty((info.height, info.width, info.channels), info.dtype)
    module.decode_into(data, info, values)
    if mode == "I;16":
        out[...] = values
        return
    if info.dtype.itemsize == 2:
        values = _to_8_bits(values.astype(np.uint32) << (16 - info.bits) if info.bits < 16 else values)
    _convert(Image.fromarray(values.squeeze(axis=2) if info.channels == 1 else values), mode, out)


def _to_8_bits(values: NDArray[Any]) -> NDArray[np.uint8]:
    return ((values.astype(np.uint32) + 128) // 257).astype(np.uint8)


def _convert(image: Any, mode: Mode, out: NDArray[Any]) -> None:
    """Convert an image of 8 bits to a mode, transparency over white."""
    from PIL import Image

    if mode != "RGBA" and image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image)
    if image.mode != mode:
        image = image.convert(mode)
    out[...] = np.asarray(image).reshape(out.shape)


def _opened(data: memoryview, info: ImageInfo) -> Any:
    from PIL import Image

    if info.kind == RAW:
        if info.channels > 4 or (info.channels > 1 and info.bits > 8) or info.dtype not in (np.uint8, np.uint16):
            raise UnsupportedFile(
                f'raw pixels of {stored_pixels(info)} are no image for this mode: mode="unchanged" keeps them'
            )
        return Image.fromarray(raw_pixels(data, info).squeeze(axis=2) if info.channels == 1 else raw_pixels(data, info))
    return Image.open(io.BytesIO(data), formats=[info.kind])


def as_stored(image: Any, info: ImageInfo) -> Any:
    """Undo the EXIF rotation that Pillow applies while loading TIFFs, and only TIFFs."""
    from PIL import Image

    if info.kind != "TIFF" or info.orientation == 1:
        return image
    image.load()
    # Pillow removes the tag when it rotates: if a version does not rotate, there is nothing to undo.
    turned = image.getexif().get(ORIENTATION, 1) != info.orientation
    return image.transpose(Image.Transpose(_TURN_BACK[info.orientation])) if turned else image


def _as_written(values: NDArray[Any], data: memoryview, info: ImageInfo) -> NDArray[Any]:
    """Undo the scaling that Pillow applies to PNM and JPEG 2000 files with a maximum below 65535."""
    if info.kind == "JPEG2000":
        return values >> (16 - info.bits) if info.bits < 16 else values
    if info.kind != "PPM":
        return values
    full = full_value(data)
    return values if full == 65_535 else np.rint(values * (full / 65_535)).astype(np.uint16)


def _wide_gray(image: Any, info: ImageInfo) -> NDArray[Any]:
    """Return gray values of more than 8 bits, which must be within 0 to 65535: the range of others is unknown."""
    values: NDArray[Any] = np.asarray(image)
    if values.dtype.kind == "f":
        raise UnsupportedFile(_FLOATS)
    least, greatest = int(values.min()), int(values.max())
    if least < 0 or greatest > 65_535:
        raise UnsupportedFile(
            f'the image has {info.bits}-bit values from {least} to {greatest}; this mode supports only 0 to 65535: mode="unchanged" keeps them'
        )
    return values
