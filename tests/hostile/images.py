"""Images that were damaged or made to hurt, from small whole ones of every kind."""

from __future__ import annotations

import io
import struct
import zlib
from functools import cache

import numpy as np
from PIL import Image

from tests.hostile.arrays import damaged


@cache
def whole_images() -> tuple[bytes, ...]:
    """Encode a small picture in all the ways that are read."""
    y, x = np.mgrid[0:40, 0:56]
    pixels = np.stack([x * 4, y * 6, (x + y) * 2], -1).astype(np.uint8)
    picture = Image.fromarray(pixels)
    exif = Image.Exif()
    exif[0x0112] = 6
    wide = Image.fromarray((x * 1000 + y * 13).astype(np.uint16))
    made = [
        (picture, "JPEG", {"quality": 90}),
        (picture, "JPEG", {"progressive": True}),
        (picture, "JPEG", {"exif": exif, "subsampling": 0}),
        (picture.convert("L"), "JPEG", {"restart_marker_blocks": 2}),
        (picture.convert("CMYK"), "JPEG", {}),
        (picture, "PNG", {}),
        (picture.convert("P"), "PNG", {"transparency": 3}),
        (picture.convert("RGBA"), "PNG", {"exif": exif}),
        (wide, "PNG", {}),
        (picture.convert("1"), "PNG", {}),
        (picture, "GIF", {"save_all": True, "append_images": [picture.rotate(90)]}),
        (picture, "BMP", {}),
        (picture.convert("P"), "BMP", {}),
        (picture, "TIFF", {}),
        (picture, "TIFF", {"compression": "tiff_lzw"}),
        (picture, "TIFF", {"compression": "tiff_deflate", "exif": exif}),
        (picture.convert("1"), "TIFF", {"compression": "group4"}),
        (wide, "TIFF", {}),
        (picture, "WEBP", {}),
        (picture.convert("RGBA"), "WEBP", {"lossless": True}),
        (picture, "WEBP", {"save_all": True, "append_images": [picture.rotate(180)]}),
    ]
    out = []
    for image, kind, options in made:
        stream = io.BytesIO()
        image.save(stream, kind, **options)
        out.append(stream.getvalue())
    return tuple(out)


def hostile_image(random: np.random.Generator) -> bytes:
    """Make one: damaged, spliced of two, or saying that it is enormous."""
    seeds = whole_images()
    first, second = (seeds[random.integers(len(seeds))] for _ in range(2))
    match random.integers(8):
        case 0:
            return first[: int(random.integers(len(first)))]
        case 1:
            return first[: int(random.integers(len(first)))] + second[int(random.integers(len(second))) :]
        case 2:
            return _enormous(random)
        case _:
            return damaged(first, random)


def _enormous(random: np.random.Generator) -> bytes:
    width, height = (int(random.choice([1, 65_500, 20_000, 40_000, 2**31 - 1, 300])) for _ in range(2))
    match random.integers(4):
        case 0:  # JPEG: the frame header, in a file that is whole otherwise
            data = bytearray(whole_images()[random.integers(3)])
            at = next(data.index(mark) for mark in (b"\xff\xc0", b"\xff\xc2") if mark in data)
            data[at + 5 : at + 9] = struct.pack(">HH", min(height, 65_500), min(width, 65_500))
            return bytes(data)
        case 1:  # PNG, with its checksum right
            data = bytearray(whole_images()[5])
            data[16:24] = struct.pack(">II", width, height)
            data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
            return bytes(data)
        case 2:  # a progressive JPEG of very many scans
            data = bytearray(whole_images()[1])
            at = data.index(b"\xff\xda")
            return bytes(data[:at] + data[at : at + 10] * int(random.integers(1, 3000)) + data[at:])
        case _:  # PNG: text that grows when it is decompressed
            data = whole_images()[5]
            body = b"zTXtk\0\0" + zlib.compress(bytes(int(random.integers(1, 32)) << 20))
            chunk = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
            return data[:33] + chunk * int(random.integers(1, 40)) + data[33:]


@cache
def whole_tiffs() -> tuple[bytes, ...]:
    """Write a small image of five bands of 16 bits in the ways that tifffile decodes."""
    import tifffile

    y, x = np.mgrid[0:40, 0:56]
    values = np.stack([x * 1000 + y * 13 * band for band in range(1, 6)], -1).astype(np.uint16)
    planes = np.ascontiguousarray(np.moveaxis(values, 2, 0))
    made = [
        (values, {}, {}),
        (values, {"rowsperstrip": 7, "compression": "zlib"}, {}),
        (values, {"tile": (16, 32), "compression": "lzw", "predictor": True}, {}),
        (values, {"tile": (16, 16), "compression": "zstd"}, {"bigtiff": True}),
        (planes, {"planarconfig": "separate", "compression": "packbits"}, {"byteorder": ">"}),
        (values, {"compression": "lzma"}, {}),
        (values, {"tile": (32, 32), "compression": "png"}, {}),
        (values, {"tile": (32, 32), "compression": "jpeg2000"}, {}),
    ]
    out = []
    for shown, options, container in made:
        options.setdefault("planarconfig", "contig")
        stream = io.BytesIO()
        with tifffile.TiffWriter(stream, **container) as writer:
            try:
                writer.write(shown, photometric="minisblack", **options)
            except ValueError:  # five bands are too many for a format within tiles
                for band in planes[:3]:
                    writer.write(band, photometric="minisblack", **options | {"planarconfig": None})
        out.append(stream.getvalue())
    return tuple(out)


def hostile_tiff(random: np.random.Generator) -> bytes:
    """Make one: damaged, with values of its tags that are extreme, or cut."""
    seeds = whole_tiffs()
    first = seeds[random.integers(len(seeds))]
    match random.integers(6):
        case 0:
            return first[: int(random.integers(len(first)))]
        case 1 | 2 | 3:
            return _with_extreme_tags(first, random)
        case _:
            return damaged(first, random)


def _with_extreme_tags(data: bytes, random: np.random.Generator) -> bytes:
    """Set counts, values or offsets of some tags of the first directory to extreme numbers."""
    out = bytearray(data)
    order, large = ("<" if data[:2] == b"II" else ">"), data[2:4] in (b"+\0", b"\0+")
    at = struct.unpack_from(order + ("Q" if large else "I"), data, 8 if large else 4)[0]
    head, entry, number = (8, 20, "Q") if large else (2, 12, "I")
    count = struct.unpack_from(order + ("Q" if large else "H"), data, at)[0]
    for _ in range(int(random.integers(1, 4))):
        place = (
            at + head + entry * int(random.integers(count)) + (4 if random.integers(3) == 0 else 4 + struct.calcsize(number))
        )
        value = int(
            random.choice([0, 1, 2, 7, 255, 4096, 2**16 - 1, 2**16, 2**31 - 1, 2**31, 2**32 - 1, len(data), len(data) - 8])
        )
        struct.pack_into(order + number, out, place, value)
    return bytes(out)
