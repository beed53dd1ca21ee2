"""The ISO base media format, in which HEIC and AVIF images and videos are: brands, and the bits of AVIF values."""

from __future__ import annotations

_HEIC = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs")
_AVIF = (b"avif", b"avis")
_GENERIC = (b"mif1", b"msf1")
# Boxes with properties come before the pixels.
_PROPERTIES_NBYTES = 64 << 10


def media_image(start: bytes) -> str | None:
    r"""Return ``"HEIC"`` or ``"AVIF"`` for the first bytes of such a file, else None.

    Examples
    --------
    >>> media_image(b"\0\0\0\x1cftypmif1\0\0\0\0mif1avifmiaf")
    'AVIF'
    """
    if start[4:8] != b"ftyp":
        return None
    # A file whose main brand is generic names its format in the following brands.
    brands = [start[8:12], *(start[i : i + 4] for i in range(16, min(len(start), 64), 4))]
    if brands[0] in _GENERIC and not any(brand in _AVIF for brand in brands):
        return "HEIC"
    chosen = next((brand for brand in brands if brand in _AVIF), b"") if brands[0] in _GENERIC else brands[0]
    return "HEIC" if chosen in _HEIC else "AVIF" if chosen in _AVIF else None


def avif_bits(data: memoryview) -> int:
    """Return the bits of the values of an AVIF image: 8, 10 or 12."""
    start = bytes(data[:_PROPERTIES_NBYTES])
    at = start.find(b"av1C")
    flags = start[at + 6] if at >= 0 and at + 6 < len(start) else 0
    return 8 if not flags & 0x40 else 12 if flags & 0x20 else 10
