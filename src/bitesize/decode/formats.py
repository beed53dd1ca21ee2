"""Registry of the decoders that are packages of their own, imported on use: one module each, with two functions."""

from __future__ import annotations

import importlib
from typing import Any, NamedTuple, Protocol

from numpy.typing import NDArray

from bitesize.decode.info import ImageInfo
from bitesize.decode.iso_media import media_image
from bitesize.errors import MissingPackage
from bitesize.packages import is_installed, pip_install_extra


class Decoder(Protocol):
    """Functions of a module that decodes a format."""

    def read_header(self, data: memoryview) -> ImageInfo:
        """Return the header of an encoded image.

        ``channels`` and ``dtype`` are those of the pixels, ``overhead`` the bytes that decoding needs beside the pixels: they are charged
        before `decode_into`. Both are checked against the length of the data here, before anything is allocated.

        Raises
        ------
        BadFile
            If the header is damaged, or impossible for the length of the data.
        UnsupportedFile
            If the image is valid, but cannot be decoded.
        """
        ...

    def decode_into(self, data: memoryview, info: ImageInfo, out: NDArray[Any]) -> None:
        """Decode the pixels into ``out``, shape (height, width, channels), of ``info.dtype``.

        Raises
        ------
        BadFile
            If the image is damaged; other exceptions become `BadFile` as well.
        """
        ...


class Codec(NamedTuple):
    """A decoder, and the packages that it needs.

    Attributes
    ----------
    module : str
        The module of bitesize with the functions of `Decoder`; it may import the packages at its top.
    packages : tuple of str
        Import names of the packages.
    extra : str
        Extra of bitesize that installs them.
    title : str
        What it decodes, for lists of formats; empty for its name.
    """

    module: str
    packages: tuple[str, ...]
    extra: str
    title: str = ""


class Format(NamedTuple):
    """A format that only a codec reads. Its codec has the same name.

    Attributes
    ----------
    starts : tuple of (int, bytes)
        Magic numbers, and their offsets in the file, below `header.START_NBYTES`; none for those that `media_image` knows.
    suffixes : tuple of str
        Suffixes of file names, in lower case.
    """

    starts: tuple[tuple[int, bytes], ...]
    suffixes: tuple[str, ...]


# Codecs by the name that `ImageInfo.codec` has.
CODECS: dict[str, Codec] = {
    "DICOM": Codec(
        "bitesize.decode.dicom", ("pydicom",), "dicom", "DICOM, also of several sizes; files of a series are a volume"
    ),
    "HEIC": Codec("bitesize.decode.heif", ("pillow_heif",), "heic", "HEIC, also of 10 and 12 bits"),
    "TIFF": Codec(
        "bitesize.decode.tiff_codec", ("tifffile", "imagecodecs"), "tiff", "TIFF of any type, bands and compression, pages"
    ),
    "PNG": Codec("bitesize.decode.png_codec", ("imagecodecs",), "tiff", "PNG of 16 bits with several channels"),
    "JPEG2000": Codec(
        "bitesize.decode.jpeg2000_codec", ("imagecodecs",), "tiff", "JPEG 2000 of 16 bits with several channels"
    ),
    "PPM": Codec("bitesize.decode.pnm_codec", (), ""),
}
# Formats that no other module reads the header of, by `ImageInfo.kind`.
FORMATS: dict[str, Format] = {
    "DICOM": Format(((128, b"DICM"),), (".dcm", ".dicom")),
    "HEIC": Format((), (".heic", ".heif", ".hif")),
}


def format_of(start: bytes) -> str | None:
    """Return the name of the registered format of a file by its first bytes, or None."""
    if media_image(start) in FORMATS:
        return media_image(start)
    for kind, known in FORMATS.items():
        if any(start[at : at + len(magic)] == magic for at, magic in known.starts):
            return kind
    return None


def decoder(name: str) -> Decoder:
    """Return the module of a codec.

    Raises
    ------
    MissingPackage
        If a package is not installed; the message names the extra.
    """
    check_packages(name)
    module: Any = importlib.import_module(CODECS[name].module)
    return module  # type: ignore[no-any-return]


def check_packages(name: str) -> None:
    """Raise `MissingPackage` if a package of a codec is not installed."""
    codec = CODECS[name]
    missing = [package for package in codec.packages if not is_installed(package)]
    if missing:
        raise MissingPackage(f"decoding this {name} needs {' and '.join(missing)}: {pip_install_extra(codec.extra)}")
