"""Image formats that are not supported: recognized by first bytes and suffix, with advice on converting them."""

from __future__ import annotations

import os
from typing import NamedTuple


class Foreign(NamedTuple):
    """An unsupported format.

    Attributes
    ----------
    name : str
        Name of the format, such as ``"HEIC"``.
    way : str
        What to do with such a file, as an imperative: ``"convert it to JPEG (heif-convert)"``.
    """

    name: str
    way: str

    def __str__(self) -> str:
        return f"{self.name}: {self.way}"


_BY_PILLOW = 'with Pillow: Image.open("in{suffix}").save("out.png")'
_JPEG_XL = Foreign("JPEG XL", "convert it to PNG or JPEG (djxl in.jxl out.png)")
_JPEG_XR = Foreign("JPEG XR", "convert it to PNG (JxrDecApp -i in.jxr -o out.tif)")
_RAW = Foreign("a camera's RAW", "develop it to JPEG or TIFF (dcraw -T, darktable-cli), or save rawpy's array as .npy")
_SVG = Foreign("SVG", "convert it to PNG (rsvg-convert in.svg -o out.png)")
_PDF = Foreign("PDF", "convert its pages to PNG (pdftoppm -png in.pdf page)")
_NIFTI = Foreign("NIfTI", "it is a volume, not an image: name it .nii or .nii.gz")
_PSD = Foreign("Photoshop", "export it as PNG")
_ICO = Foreign("an icon (ICO)", f"convert it to PNG {_BY_PILLOW.format(suffix='.ico')}")
_EXR = Foreign("OpenEXR", "read it with OpenCV or OpenEXR and save its array as .npy")
_HDR = Foreign("Radiance HDR", "read it with OpenCV and save its array as .npy")
_VIDEO = Foreign("a video", "save its frames as JPEG (ffmpeg -i in.mp4 frame_%06d.jpg)")
_MATLAB = Foreign("MATLAB", "read it with scipy.io.loadmat and save its array as .npy")
_MRC = Foreign("MRC", "read it with mrcfile and save its data as .npy")
_CZI = Foreign("a microscope's file", "read it with bioio or aicsimageio and save its array as .npy")

FOREIGN_SUFFIXES = {
    ".jxl": _JPEG_XL,
    **dict.fromkeys((".jxr", ".wdp"), _JPEG_XR),
    **dict.fromkeys(
        (".cr2", ".cr3", ".crw", ".nef", ".nrw", ".arw", ".srf", ".sr2", ".dng", ".orf", ".raf", ".rw2", ".pef", ".srw", ".3fr",
         ".iiq", ".rwl", ".x3f"),
        _RAW,
    ),
    **dict.fromkeys((".svg", ".svgz"), _SVG),
    ".pdf": _PDF,
    **dict.fromkeys((".psd", ".psb"), _PSD),
    ".ico": _ICO,
    ".exr": _EXR,
    ".hdr": _HDR,
    **dict.fromkeys((".mp4", ".mov", ".avi", ".mkv", ".webm", ".m4v"), _VIDEO),
    ".mat": _MATLAB,
    **dict.fromkeys((".mrc", ".mrcs"), _MRC),
    **dict.fromkeys((".czi", ".lif", ".nd2", ".oib", ".oif", ".vsi", ".svs", ".ndpi"), _CZI),
}  # fmt: skip
# Brands of the ISO base media format, which starts with the size of a box and "ftyp".
_BRANDS = {
    b"crx ": _RAW,
    **dict.fromkeys((b"isom", b"iso2", b"mp41", b"mp42", b"avc1", b"qt  ", b"M4V ", b"3gp4", b"3gp5"), _VIDEO),
}
_STARTS = (
    (b"\xff\x0a", _JPEG_XL),
    (b"\0\0\0\x0cJXL \r\n\x87\n", _JPEG_XL),
    (b"II\xbc\x01", _JPEG_XR),
    (b"IIRO", _RAW),
    (b"IIRS", _RAW),
    (b"IIU\0", _RAW),
    (b"FUJIFILMCCD-RAW", _RAW),
    (b"FOVb", _RAW),
    (b"%PDF", _PDF),
    (b"8BPS", _PSD),
    (b"\0\0\x01\0", _ICO),
    (b"v/1\x01", _EXR),
    (b"#?RADIANCE", _HDR),
    (b"\x1aE\xdf\xa3", _VIDEO),
    (b"MATLAB 5.0", _MATLAB),
)


def foreign_format(start: bytes, name: str = "") -> Foreign | None:
    """Return the format of a file, if it is a known but unsupported image format.

    Parameters
    ----------
    start
        The first bytes of the file, or none: 16 are enough for most formats; NIfTI has its magic number at 344.
    name
        The file name, whose suffix is checked if the bytes are not conclusive.

    Returns
    -------
    Foreign or None
        Name and advice; ``str`` returns both. None for unknown and for supported formats.

    Examples
    --------
    >>> print(foreign_format(b"%PDF-1.7"))
    PDF: convert its pages to PNG (pdftoppm -png in.pdf page)
    >>> foreign_format(b"", "photo.JXL").name
    'JPEG XL'
    """
    if start[4:8] == b"ftyp" and start[8:12] in _BRANDS:
        return _BRANDS[start[8:12]]
    for magic, foreign in _STARTS:
        if start.startswith(magic):
            return foreign
    if start[:4] == b"II*\0" and start[8:10] == b"CR":  # Canon's RAW is a TIFF, and a decoder would read the thumbnail
        return _RAW
    text = start.lstrip(b"\xef\xbb\xbf \t\r\n")
    if text.startswith(b"<svg") or (
        text.startswith((b"<?xml", b"<!DOCTYPE svg")) and (b"<svg" in text or b"svg" in name.encode())
    ):
        return _SVG
    if start[344:348] in (b"n+1\0", b"ni1\0"):
        return _NIFTI
    lower = os.path.basename(name).lower()
    known = FOREIGN_SUFFIXES.get(os.path.splitext(lower)[1])
    return known or next(
        (foreign for suffix, foreign in FOREIGN_SUFFIXES.items() if suffix.count(".") > 1 and lower.endswith(suffix)), None
    )
