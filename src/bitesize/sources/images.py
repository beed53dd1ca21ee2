"""Folders and lists of image files: read unchanged, decoded later."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitesize.decode.header import SUFFIXES
from bitesize.files.names import Names
from bitesize.files.pread import read_files
from bitesize.sources.base import OpenOptions, RowFiles, Source
from bitesize.sources.file_rows import FileSource, example_files
from bitesize.sources.image_headers import probe
from bitesize.sources.protocol import Into, raise_bad
from bitesize.sources.tiff_pages import TiffPages
from bitesize.spec import Encoded, Mode


class ImageFiles(FileSource):
    """Image files; each is a row with the field ``x``, and ``y`` if there are labels.

    Parameters
    ----------
    names
        The files.
    labels
        One label per file, shape (n, ...), or None.
    classes
        Names of the classes.
    mode
        ``"RGB"``, ``"L"``, ``"RGBA"`` or ``"I;16"``.
    orient
        Whether the EXIF orientation is applied.
    left_out
        Counts of what the scan left out.
    """

    title = "images: JPEG, PNG, WebP, BMP, TIFF, GIF, JPEG 2000, PNM, AVIF"
    suffixes = SUFFIXES
    takes_pages = True

    def __init__(
        self,
        names: Names,
        labels: NDArray[Any] | None = None,
        classes: tuple[str, ...] | None = None,
        *,
        mode: Mode = "RGB",
        orient: bool = True,
        left_out: Mapping[str, int] | None = None,
    ) -> None:
        super().__init__(names, labels, classes, left_out, Encoded("image", mode, orient))

    def read(self, rows: NDArray[np.int64], into: Into) -> None:
        """Read whole files."""
        if self._labels is not None and "y" in into:
            into["y"][...] = self._labels[rows]
        raise_bad(read_files([self._names.path(row) for row in rows.tolist()], into["x"].put))

    @classmethod
    def of_files(cls, files: RowFiles, options: OpenOptions) -> Source:
        """Open images; pages of TIFF files as arrays, unless only the first of each is used."""
        probed = probe(files.names, options.mode, options.pages)
        if probed.pages != "first":
            stacks = TiffPages.of_pages(files, probed.pages, options)
            stacks.choices = (*stacks.choices, *probed.choices)
            return stacks
        source = cls(
            files.names,
            files.labels,
            files.classes,
            mode=options.mode,
            orient=options.orient,
            left_out={**files.left_out, **probed.left_out},
        )
        source.choices = (*source.choices, *probed.choices)
        return source

    @classmethod
    def example(cls, folder: Path, rows: int) -> Source:
        """Write small JPEGs of random noise in two class folders."""
        from PIL import Image

        random = np.random.default_rng(0)

        def write(path: Path, i: int) -> None:
            """Write a JPEG."""
            Image.fromarray(random.integers(0, 256, (12 + i % 5, 16, 3), np.uint8)).save(path)

        found = example_files(folder, rows, ".jpg", write)
        return cls(found.names, found.labels, found.classes)
