"""Image headers, read without decoding: format by magic bytes, size, and orientation."""

from __future__ import annotations

import io
import re
from typing import Any

import numpy as np

from bitesize.decode.exif import ORIENTATION, exif_orientation
from bitesize.decode.foreign import Foreign as Foreign
from bitesize.decode.foreign import foreign_format as foreign_format
from bitesize.decode.formats import FORMATS, decoder, format_of
from bitesize.decode.info import ImageInfo as ImageInfo
from bitesize.decode.iso_media import avif_bits, media_image
from bitesize.decode.jpeg import MAX_SCANS as MAX_SCANS
from bitesize.decode.jpeg import jpeg_info
from bitesize.decode.jpeg2000 import codestream, jpeg2000_info
from bitesize.decode.pnm import full_value
from bitesize.decode.raw import KIND as RAW
from bitesize.decode.raw import MAGIC as RAW_MAGIC
from bitesize.decode.raw import raw_info
from bitesize.decode.tiff import TiffFacts, of_bytes, tiff_facts
from bitesize.decode.tiff_header import tiff_info
from bitesize.errors import BadFile, MissingPackage, UnsupportedFile

_MAGIC = (
    (b"\xff\xd8\xff", "JPEG"),
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"GIF87a", "GIF"),
    (b"GIF89a", "GIF"),
    (b"BM", "BMP"),
    (b"II*\x00", "TIFF"),
    (b"MM\x00*", "TIFF"),
    (b"II+\x00", "TIFF"),  # BigTIFF
    (b"MM\x00+", "TIFF"),
    (b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG2000"),
    (b"\xff\x4f\xff\x51", "JPEG2000"),
    (RAW_MAGIC, RAW),
)
_PNM = re.compile(rb"P[1-6]\s")
# Suffixes of the formats; the format itself is recognized by the bytes of a file.
KINDS_OF_SUFFIXES = {
    ".jpg": "JPEG", ".jpeg": "JPEG", ".jpe": "JPEG", ".jfif": "JPEG", ".png": "PNG", ".webp": "WEBP", ".bmp": "BMP",
    ".tif": "TIFF", ".tiff": "TIFF", ".gif": "GIF", ".pbm": "PPM", ".pgm": "PPM", ".ppm": "PPM", ".pnm": "PPM",
    ".avif": "AVIF", ".avifs": "AVIF", ".jp2": "JPEG2000", ".j2k": "JPEG2000", ".jpf": "JPEG2000", ".jpx": "JPEG2000", ".j2c": "JPEG2000",
    **{suffix: kind for kind, known in FORMATS.items() for suffix in known.suffixes},
}  # fmt: skip
SUFFIXES = tuple(KINDS_OF_SUFFIXES)
# Number of first bytes that contain the magic number of every format.
START_NBYTES = 352
# Channels of PNGs of 16 bits that Pillow reduces, by their type of color.
WIDE_CHANNELS = {2: 3, 4: 2, 6: 4}
_LIBRARY_NBYTES = 1 << 20
# How Pillow writes its input object into messages.
_FILE_OBJECT = re.compile(r"<_io\.BytesIO object at 0x[0-9a-fA-F]+>")


def read_info(data: memoryview) -> ImageInfo:
    """Read the header of an encoded image.

    Raises
    ------
    UnsupportedFile
        If the image is valid, but of an unsupported format.
    BadFile
        If the file is not an image, or its header is damaged.
    MissingPackage
        If the format needs a package that is not installed.
    """
    start = bytes(data[:16])
    if start.startswith(_MAGIC[0][0]):  # nearly always
        return jpeg_info(data)
    if start.startswith(RAW_MAGIC):
        return raw_info(data)
    kind = sniff(bytes(data[:START_NBYTES]))
    return decoder(kind).read_header(data) if kind in FORMATS else _pillow_info(data, kind)


def sniff(start: bytes) -> str:
    """Return the format of an image by its first bytes: 16 for a supported format, more to recognize others.

    Raises
    ------
    UnsupportedFile
        If the format is known but unsupported; the message names the format and how to convert it.
    BadFile
        If the file is not an image.

    Examples
    --------
    >>> sniff(bytes.fromhex("ffd8ffe000104a464946"))
    'JPEG'
    """
    registered = format_of(start) or media_image(start)
    if registered is not None:
        return registered
    foreign = foreign_format(start)
    if foreign is not None:
        raise UnsupportedFile(f"the file is {foreign.name}, which is not supported: {foreign.way}")
    for magic, kind in _MAGIC:
        if start.startswith(magic):
            return kind
    if start[:4] == b"RIFF" and start[8:12] == b"WEBP":
        return "WEBP"
    if _PNM.match(start):
        return "PPM"
    if not start:
        raise BadFile("the file is empty (0 bytes)")
    raise BadFile(f"not an image: it starts with {start[:16]!r}")


def explained(error: Exception) -> str:
    """Return the message of a decoder, without representations of its input objects."""
    return _FILE_OBJECT.sub("it", str(error)) or type(error).__name__


def _pillow_info(data: memoryview, kind: str) -> ImageInfo:
    from PIL import Image, UnidentifiedImageError, features

    if kind == "AVIF" and not features.check("avif"):
        raise MissingPackage("AVIF images need a Pillow that decodes them, 11.3 or later: pip install -U pillow")
    facts = tiff_facts(of_bytes(data)) if kind == "TIFF" else None
    if facts is not None and facts.bands > _MOST_BANDS:  # Pillow would log an error
        return tiff_info(facts, len(data), only=True)
    try:
        with Image.open(io.BytesIO(data), formats=[kind]) as image:
            return _info(image, data, kind, facts)
    except BadFile:
        raise
    except Exception as error:  # Pillow's plugins raise many types for damaged files, and its own for bombs
        if facts is not None and not isinstance(error, Image.DecompressionBombError):
            return tiff_info(facts, len(data), only=True)
        if kind == "JPEG2000" and not isinstance(error, Image.DecompressionBombError):
            return jpeg2000_info(codestream(data), len(data), only=True)
        text = "its header cannot be read" if isinstance(error, UnidentifiedImageError) else explained(error)
        raise BadFile(f"damaged {kind}: {text}") from error


def _info(image: Any, data: memoryview, kind: str, facts: TiffFacts | None) -> ImageInfo:
    """Return the header facts of an image that Pillow has opened."""
    from PIL import Image

    width, height = image.size
    if facts is not None and facts.alike and not _is_exact(image, facts):
        return tiff_info(facts, len(data), only=facts.bands > 1 and image.mode[:1] in ("I", "F"))
    bits, overhead = 16 if image.mode.startswith("I") else 8, 0
    if kind == "PNG":
        bits = max(bits, data[24])  # the header comes first, and Pillow has read it
        if bits == 16 and data[25] in WIDE_CHANNELS:
            return png_info(image, data)
    elif kind == "PPM":
        bits = 16 if full_value(data) > 255 else 8
        if bits == 16 and bytes(data[1:2]) == b"6":
            return ImageInfo(
                kind, width, height, 3, plain=False, bits=16, overhead=1 << 16, dtype=np.dtype(np.uint16), codec=kind
            )
    elif kind == "JPEG2000":
        stream = codestream(data)
        if (stream.width, stream.height) != (width, height):
            raise BadFile(
                f"damaged JPEG 2000: its header declares {width} x {height}, its codestream {stream.width} x {stream.height}"
            )
        bits, overhead = max(8, stream.bits), stream.tiles_nbytes
        if stream.signed or (bits > 8 and stream.components > 1) or stream.components != len(image.getbands()):
            return jpeg2000_info(stream, len(data), only=False)
    elif kind == "AVIF":
        bits = avif_bits(data)
    elif facts is not None:
        bits = max(8, facts.bits)
    # Image.getexif would decode a PNG without EXIF; metadata before the pixels is already in `info`.
    exif = image.info.get("exif", b"").removeprefix(b"Exif\0\0")
    orientation = image.getexif().get(ORIENTATION, 1) if kind == "TIFF" else exif_orientation(memoryview(exif))
    if orientation not in range(1, 9):
        orientation = 1
    if facts is not None:
        width, height = facts.width, facts.height
    elif kind == "TIFF" and orientation >= 5:
        width, height = height, width  # Pillow returns the size after rotation
    plain = image.mode in ("L", "RGB") and "transparency" not in image.info
    pages = facts.pages if facts is not None else 1
    stored = unchanged_mode(image)
    channels, floats = len(Image.new(stored, (1, 1)).getbands()), image.mode == "F"
    dtype = np.dtype(np.float32 if floats else np.uint16 if image.mode.startswith("I") else np.uint8)
    return ImageInfo(
        kind,
        width,
        height,
        channels,
        orientation,
        plain=plain,
        bits=bits,
        pages=pages,
        overhead=overhead,
        floats=floats,
        dtype=dtype,
        inks=stored == "CMYK",
    )


def unchanged_mode(image: Any) -> str:
    """Return the mode of Pillow that has the values of an image, with palettes and transparent colors as colors."""
    mode: str = image.mode
    if mode in ("1", "L", "LA", "La"):
        return "LA" if image.has_transparency_data else "L"
    if mode in ("P", "PA", "RGB", "RGBA", "RGBa"):
        return "RGBA" if image.has_transparency_data else "RGB"
    return mode


# Bands of a TIFF that Pillow decodes at most.
_MOST_BANDS = 4
# Modes of Pillow that hold the values of a TIFF of up to 8 bits.
_EXACT = frozenset(("1", "L", "P", "LA", "La", "PA", "RGB", "RGBA", "RGBa", "CMYK", "YCbCr", "LAB"))


def _is_exact(image: Any, facts: TiffFacts) -> bool:
    """Return whether Pillow decodes the values of a TIFF without losing bits or bands."""
    unsigned = facts.sample_format in (1, 4)
    if image.mode == "F":  # compressed big-endian ones are decoded with their bytes swapped
        return facts.floats and facts.bits == 32 and facts.bands == facts.compression == 1
    if image.mode.startswith("I;16"):
        return unsigned and facts.bits in (12, 16) and facts.bands == 1
    return image.mode in _EXACT and unsigned and facts.bits <= 8 and len(image.getbands()) == facts.bands


def png_info(image: Any, data: memoryview) -> ImageInfo:
    """Return the header of a PNG of 16 bits that Pillow reduces to 8."""
    width, height = image.size
    channels = WIDE_CHANNELS[data[25]]
    exif = image.info.get("exif", b"").removeprefix(b"Exif\0\0")
    overhead = len(data) + 2 * width * channels * 2 + _LIBRARY_NBYTES
    return ImageInfo(
        "PNG", width, height, channels, exif_orientation(memoryview(exif)), plain=False, bits=16, overhead=overhead,
        dtype=np.dtype(np.uint16), codec="PNG",
    )  # fmt: skip
