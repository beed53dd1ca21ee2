"""Finding the images of patches: files, folders, patterns, arrays; and what their axes are."""

from __future__ import annotations

import glob
import os
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from bitesize.errors import BadFile, BadSetting, NotFound, UnsupportedFile
from bitesize.files.pread import Handle, read_into, size_of, with_file
from bitesize.files.scan import is_litter, matching, natural_key
from bitesize.lazy.array import LazyArray
from bitesize.lazy.disk import OnDisk
from bitesize.lazy.functions import concatenate
from bitesize.lazy.parts import MEMBER
from bitesize.sources.chunks import Chunked
from bitesize.sources.column import Column, UnsupportedColumn
from bitesize.sources.hdf5_file import Dataset, column_of
from bitesize.sources.hdf5_opening import Hdf5File
from bitesize.sources.patches.arrays import ChunkedImage, Hdf5Image, LazyImage
from bitesize.sources.patches.tiff import open_tiff
from bitesize.sources.patches.tiles import Coordinates, TiledImage
from bitesize.sources.zarr_arrays import ZarrStore, is_folder, open_zarr
from bitesize.sources.zarr_arrays import column_of as zarr_column_of
from bitesize.spec import check_axes, image_channels
from bitesize.storage import paths
from bitesize.storage.url import is_url

SUFFIXES = (".tif", ".tiff", ".btf", ".tf8", ".svs", ".ndpi", ".scn", ".bif", ".qptiff", ".zarr", ".h5", ".hdf5", ".npy")
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_HDF5 = b"\x89HDF"
_NUMPY = (b"\x93NUM", b"PK\x03\x04")
# Pixels along an axis of the parts in which arrays without chunks are read, at least.
_PART = {2: 128, 3: 32}


class Wanted(NamedTuple):
    """How images are to be read.

    Attributes
    ----------
    size, stride : tuple of int
        Shape of a patch and distance of neighbors: of one number if it is for all axes.
    axes : str or None
        Axes, or None if the shape says them.
    level : int
        Level of pyramids.
    """

    size: tuple[int, ...]
    stride: tuple[int, ...]
    axes: str | None
    level: int

    def part(self, spatial: int) -> Coordinates:
        """Return the shape of parts to read, so that patches and parts begin together."""
        sizes, strides = (each * spatial if len(each) == 1 else each for each in (self.size, self.stride))
        return tuple(
            stride * max(1, max(size, _PART[spatial]) // stride) for size, stride in zip(sizes, strides, strict=True)
        )

    def axes_of(self, shape: Sequence[int], name: str) -> str:
        """Return the axes of an array.

        Raises
        ------
        BadSetting
            If they are ambiguous, or differ from those of the setting.
        """
        if self.axes is not None:
            check_axes(self.axes)
            if len(self.axes) != len(shape):
                raise BadSetting(f"{name} has shape {tuple(shape)}, but axes={self.axes!r} has {len(self.axes)} axes")
            return self.axes
        if len(shape) in (2, 4):
            return "HW" if len(shape) == 2 else "DHWC"
        if len(shape) != 3:
            raise BadSetting(f"{name} has shape {tuple(shape)}, but patches are cut from images and volumes of 2 to 4 axes")
        if len(self.size) > 1:
            return "DHW" if len(self.size) == 3 else "HWC"
        if image_channels(shape) is None:
            raise BadSetting(
                f'{name} has shape {tuple(shape)}, of an image with channels or a volume: axes="HWC" or axes="DHW" says it, '
                "and a size of two or three numbers does, too"
            )
        return "HWC"


class Images(NamedTuple):
    """Images that were found, whether the setting may name several, and what was left out."""

    images: list[TiledImage]
    several: bool
    left_out: dict[str, int]


def open_images(data: Any, wanted: Wanted) -> Images:
    """Open an image, or the images of a list, folder or pattern.

    Raises
    ------
    NotFound
        If there are none.
    BadFile, BadSetting
        If one cannot be opened.
    """
    if isinstance(data, list | tuple):
        if not data:
            raise BadSetting("no images: the list is empty")
        return Images([_open(each, wanted) for each in data], True, {})
    if not isinstance(data, str | os.PathLike):
        return Images([_open(data, wanted)], False, {})
    path = os.fspath(data)
    if MEMBER in path or paths.isfile(path) or is_folder(path):
        return Images([_open(path, wanted)], False, {})
    if glob.has_magic(path) and not paths.exists(path):
        return Images([_open(each, wanted) for each in _matching(path)], True, {})
    if not paths.isdir(path):
        raise NotFound(f"{path} does not exist")
    names = sorted(paths.listdir(path), key=lambda name: natural_key(os.fsencode(name)))
    there = [name for name in names if name.lower().endswith(SUFFIXES)]
    if not there:
        raise NotFound(f"{path} has no images: patches are cut from files of {', '.join(SUFFIXES)}")
    others = sum(not is_litter(os.fsencode(name)) for name in names) - len(there)
    opened = [_open(paths.join(path, name), wanted) for name in there]
    return Images(opened, True, {"other files and folders": others} if others else {})


def _matching(pattern: str) -> list[str]:
    if is_url(pattern):
        return matching(pattern)
    found = [path for path in glob.glob(pattern, recursive=True) if paths.isfile(path) or is_folder(path)]
    if not found:
        raise NotFound(f"no file matches {pattern}")
    return sorted(found, key=lambda path: natural_key(os.fsencode(path)))


def _open(data: Any, wanted: Wanted) -> TiledImage:
    """Open one image."""
    if not isinstance(data, str | os.PathLike):
        return _of_array(data, wanted)
    path, _, member = os.fspath(data).partition(MEMBER)
    if not paths.exists(path):
        raise NotFound(f"{path} does not exist")
    path = paths.abspath(path)
    if is_folder(path):
        return _of_zarr(path, member, wanted)
    name = os.fsencode(path)
    start = bytearray(4)

    def look(file: Handle) -> None:
        """Read the first bytes."""
        if size_of(file) >= len(start):
            read_into(file, [start], 0, name)

    with_file(name, look)
    if bytes(start) in _TIFF:
        return open_tiff(path, wanted.level, wanted.axes, wanted.part)
    _refuse_level(path, wanted)
    if bytes(start) == _HDF5:
        return _of_hdf5(path, member.strip("/"), wanted)
    if bytes(start) in _NUMPY:
        array = concatenate([path + (MEMBER + member if member else "")])
        axes = wanted.axes_of(array.shape, path)
        return LazyImage(array, path, axes, wanted.part(len(axes.removesuffix("C"))))
    raise UnsupportedFile(
        f"{path} is no TIFF, Zarr, HDF5 or .npy, from which patches are read tile by tile. An image that fits into memory is passed "
        "as an array: np.asarray(PIL.Image.open(path))"
    )


def _refuse_level(name: str, wanted: Wanted) -> None:
    if wanted.level:
        raise BadSetting(f"level={wanted.level}, but {name} has no pyramid: its only level is 0")


def _of_array(data: Any, wanted: Wanted) -> TiledImage:
    array = data if isinstance(data, LazyArray) else concatenate([data])
    _refuse_level("an array", wanted)
    axes = wanted.axes_of(array.shape, "the array")
    spatial = len(axes.removesuffix("C"))
    chunks = getattr(data, "chunks", None)
    tile = wanted.part(spatial)
    if isinstance(chunks, tuple) and all(isinstance(n, int) for n in chunks):
        tile = chunks[:spatial]
    return LazyImage(array, str(getattr(data, "name", "")) or "array", axes, tile)


def _of_zarr(path: str, member: str, wanted: Wanted) -> TiledImage:
    folder = paths.join(path, *member.strip("/").split("/")) if member else path
    if not is_folder(folder):
        raise NotFound(f"{path} has no {member!r}")
    found = open_zarr(folder)
    named: int | None = None
    if not hasattr(found, "shape"):
        name, named = _array_in(found, folder, wanted.level)
        folder = paths.join(folder, *name.split("/"))
        found = open_zarr(folder)
    else:
        _refuse_level(folder, wanted)
    column = zarr_column_of(ZarrStore(folder), "", found)
    if isinstance(column, UnsupportedColumn):
        raise UnsupportedFile(f"{folder} is {column.why}")
    shape, first = tuple(column.shape), 0
    most = len(wanted.axes) if wanted.axes else named or 4
    while len(shape) - first > most and shape[first] == 1:
        first += 1
    axes = wanted.axes_of(shape[first:], folder)
    if isinstance(column, Chunked):
        return ChunkedImage(column, folder, axes, (0,) * first)
    array = concatenate([found]).reshape(shape[first:])
    return LazyImage(array, folder, axes, tuple(map(int, found.chunks))[first:])


def _array_in(group: Any, folder: str, level: int) -> tuple[str, int | None]:
    """Return the array of a group, and how many axes it has if its metadata say it: a level of a pyramid, or the only array."""
    attributes = dict(group.attrs)
    pyramids = attributes.get("multiscales") or dict(attributes.get("ome") or {}).get("multiscales")
    if pyramids:
        levels = pyramids[0]["datasets"]
        if not 0 <= level < len(levels):
            raise BadSetting(f"level={level}, but {folder} has the levels 0 to {len(levels) - 1}")
        name = str(levels[level]["path"])
        shape = group[name].shape
        return name, max(2, sum(n > 1 for n in shape[:-2]) + 2)
    names = sorted(group.array_keys())
    if len(names) != 1:
        raise BadSetting(
            f'{folder} has the arrays {", ".join(names) or "of no name"}: name one, as in "{folder}{MEMBER}{(names or ["x"])[0]}"'
        )
    if level:
        raise BadSetting(f"level={level}, but {folder} has no pyramid: its only level is 0")
    return names[0], None


def _of_hdf5(path: str, member: str, wanted: Wanted) -> TiledImage:
    file = Hdf5File(path)
    root = file.root()
    try:
        found = root.get(member) if member else root
        if found is None:
            raise NotFound(f"{path} has no {member!r}: it has {', '.join(list(root)[:20]) or 'nothing'}")
        if not hasattr(found, "shape"):
            names = [name for name in found if hasattr(found.get(name), "shape")]
            if len(names) != 1:
                raise BadSetting(
                    f'{path} has the datasets {", ".join(names[:20]) or "of no name"}: name one, as in "{path}{MEMBER}images/raw"'
                )
            member = f"{member}/{names[0]}".strip("/")
            found = found[names[0]]
        column, chunks = column_of(found, file, member), found.chunks
    except (OSError, RuntimeError, KeyError) as error:
        if isinstance(error, NotFound):
            raise
        raise BadFile(f"{path} cannot be read as HDF5: {error}") from error
    finally:
        file.close()
    return _hdf5_image(file, member, column, chunks, wanted)


def _hdf5_image(
    file: Hdf5File, member: str, column: Column | None, chunks: Coordinates | None, wanted: Wanted
) -> TiledImage:
    name = f"{file.path}{MEMBER}{member}"
    if column is None or isinstance(column, UnsupportedColumn):
        raise UnsupportedFile(f"{name} is {'empty' if column is None else column.why}")
    axes = wanted.axes_of(column.shape, name)
    if isinstance(column, Chunked):
        return ChunkedImage(column, name, axes, file=file)
    assert isinstance(column, Dataset)
    spatial = len(axes.removesuffix("C"))
    located = column.locate(np.zeros(1, np.int64))
    if located is not None:
        plain = OnDisk(located.paths[0], int(located.offsets[0]), column.shape, column.dtype)
        return LazyImage(LazyArray(plain), name, axes, wanted.part(spatial))
    return Hdf5Image(file, member, column, axes, wanted.part(spatial) if chunks is None else chunks[:spatial])


def check_alike(images: Sequence[TiledImage], size: Sequence[int]) -> None:
    """Raise `BadSetting` if patches of the images would differ, or are larger than an image."""
    first = images[0]
    for image in images:
        if (image.axes, image.channels, image.dtype) != (first.axes, first.channels, first.dtype):
            raise BadSetting(
                f"{image.name} has {image.axes} {image.shape} {image.dtype}, but {first.name} has {first.axes} {first.shape} {first.dtype}: "
                "axes, channels and dtypes of all images must be equal"
            )
        if image.dtype.kind not in "buif":
            raise BadSetting(f"{image.name} has values of {image.dtype}, but patches have numbers")
        if any(n < extent for n, extent in zip(image.spatial, size, strict=True)):
            raise BadSetting(f"size={tuple(size)} is larger than {image.name}, which has {image.spatial} pixels")


def check_masks(images: Sequence[TiledImage], masks: Sequence[TiledImage]) -> None:
    """Raise `BadSetting` if masks do not have one whole number for each pixel of the images."""
    if len(images) != len(masks):
        raise BadSetting(f"masks= has {len(masks)} masks for {len(images)} images: pass one for each, in the same order")
    for image, mask in zip(images, masks, strict=True):
        if mask.spatial != image.spatial or mask.channels not in ((), (1,)):
            raise BadSetting(
                f"the mask {mask.name} has {mask.axes} {mask.shape}, but {image.name} has {image.spatial} pixels"
            )
        if mask.dtype.kind not in "bui" or mask.dtype != masks[0].dtype:
            raise BadSetting(f"the mask {mask.name} has {mask.dtype}, but all masks need the same dtype of whole numbers")


def whole_sizes(value: object, name: str) -> tuple[int, ...]:
    """Return a setting of one positive number, or of two or three."""
    numbers = value if isinstance(value, tuple | list) else (value,)
    if len(numbers) > 3 or not numbers or not all(isinstance(n, int | np.integer) and n > 0 for n in numbers):
        raise BadSetting(f"{name} must be a positive whole number, or two or three of them, not {value!r}")
    return tuple(map(int, numbers))


def for_axes(values: tuple[int, ...], spatial: int, name: str, image: TiledImage) -> tuple[int, ...]:
    """Return a setting with a number for each axis without channels."""
    if len(values) not in (1, spatial):
        raise BadSetting(f"{name}={values} has {len(values)} numbers, but {image.name} has the axes {image.axes}")
    return values * spatial if len(values) == 1 else values
