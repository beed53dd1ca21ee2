"""`bitesize.patches`: windows of images, volumes and arrays that do not fit into memory."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bitesize.checks import is_whole
from bitesize.errors import BadSetting
from bitesize.memory.budget import Budget, as_budget
from bitesize.memory.limits import processor_share
from bitesize.memory.sizes import format_size, parse_size
from bitesize.sources.addresses import addresses_in, prepare
from bitesize.sources.choices import Choice
from bitesize.sources.options import OpenOptions
from bitesize.sources.patches.grid import Grid, Scattered
from bitesize.sources.patches.kept import KeptPatches, decided, in_threads, keep_function
from bitesize.sources.patches.layout import Reading, Tile, choose_cells, choose_grid, choose_swaths
from bitesize.sources.patches.opening import Wanted, check_alike, check_masks, for_axes, open_images, whole_sizes
from bitesize.sources.patches.source import Patches
from bitesize.sources.patches.tiles import TiledImage
from bitesize.sources.sinks import new_buffers
from bitesize.spec import Field
from bitesize.storage import remote

_log = logging.getLogger("bitesize")
# Reads per tile from which a line says so.
_MANY_READS = 1.3
# Most threads that decide which patches are kept.
_MOST_THREADS = 4


def patches(
    data: Any, size: int | Sequence[int], *, stride: int | Sequence[int] | None = None, count: int | None = None, seed: int = 0,
    masks: Any = None, keep: float | Callable[..., bool] | None = None, background: ArrayLike | tuple[Any, Any] = 0, axes: str | None = None,
    level: int = 0, block: int | str = "20 MiB", memory: int | str | Budget = "auto", storage_options: Mapping[str, Any] | None = None,
) -> Patches:  # fmt: skip
    r"""Open windows of images, volumes or arrays as rows. Only the tiles of the requested windows are read.

    Parameters
    ----------
    data
        A TIFF or BigTIFF in tiles or strips, a Zarr array (``"x.zarr"`` or ``"x.zarr::name"``), an HDF5 dataset
        (``"scan.h5::images/raw"``), a `.npy` file, an array or a lazy array: (height, width), (height, width, channels),
        (depth, height, width) or (depth, height, width, channels). Or several of these: a list, a folder, or a pattern.
    size
        Shape of a patch in pixels, without channels: one number for all axes, or a number for each.
    stride
        Distance of neighbors on the grid, as ``size``; by default the size. The last patch of each axis is moved inside, so that
        all pixels are covered.
    count
        Number of patches at random places instead of a grid, for all images together. Places depend on ``seed`` only and are the same in
        each epoch; `RandomCrop` moves them in each epoch.
    seed
        Seed of random places.
    masks
        Whole numbers for each pixel, as data beside ``data``: shape (height, width) or (depth, height, width).
    keep
        Which patches are kept: the least share of pixels that are not background, such as 0.05; or a function of the pixels of a patch,
        and of its mask if there are masks, that returns True or False. All patches are read once to decide it.
    background
        Value of the background, one number or one for each channel; or a tuple of the lowest and the highest value. A pixel is background if
        all of its channels are.
    axes
        ``"HW"``, ``"HWC"``, ``"DHW"`` or ``"DHWC"`` for arrays whose shape does not say it.
    level
        Level of a pyramid, 0 for all pixels. Masks without a pyramid are of this level.
    block
        Most bytes of neighboring patches that are read together. Tiles are shared by the patches of a block, and patches are shuffled
        block by block: larger blocks read fewer tiles twice, and need a larger window in memory.
    memory
        Budget for reading all patches with ``keep``.
    storage_options
        Settings of the storages of data and masks at addresses such as ``s3://bucket/slide.tif``, as for `bitesize.open`.

    Returns
    -------
    Patches
        A source of fields ``x``, shape (\*size, channels); ``y``, shape size, with masks; ``at``, int64, the first pixel of a patch along
        each axis; and ``image``, int64, the number of the image if a list, folder or pattern is given.

    Raises
    ------
    BadSetting
        If a setting is not valid: patches larger than an image, ambiguous axes, masks of another shape.
    BadFile, NotFound
        If an image cannot be opened.
    MissingPackage
        If a TIFF is opened without ``pip install "bitesize[tiff]"``.
    DoesNotFit
        If the budget is too small for ``keep``.

    Examples
    --------
    >>> import numpy as np, bitesize as bs
    >>> image = np.arange(60, dtype=np.uint8).reshape(6, 10)
    >>> source = bs.patches(image, 4, stride=3)
    >>> len(source), source.spec["x"].shape
    (6, (4, 4))
    >>> batch = next(iter(bs.Loader(source, batch_size=6, shuffle=False, memory="16 MiB")))
    >>> batch["at"].tolist()
    [[0, 0], [0, 3], [0, 6], [2, 0], [2, 3], [2, 6]]
    """
    sizes = whole_sizes(size, "size")
    strides = sizes if stride is None else whole_sizes(stride, "stride")
    if count is not None and (stride is not None or not is_whole(count, least=1)):
        raise BadSetting(
            f"pass either stride= for a grid or count= (at least 1) for random places, not stride={stride!r}, count={count!r}"
        )
    if not is_whole(level, least=0):
        raise BadSetting(f"level must be a whole number of at least 0, not {level!r}")
    wanted = Wanted(sizes, strides, axes, level)
    placed = _on_grid if count is None else partial(_at_random, count=count, seed=seed)
    with remote.listing() as lists:
        storages = _prepared(data, masks, storage_options)
        source = _opened(data, masks, wanted, placed, parse_size(block))
    source.choices = (*source.choices, *storages, *(Choice(remote.summary(each), "") for each in lists))
    return source if keep is None else _keeping(source, keep, background, as_budget(memory))


def _prepared(data: Any, masks: Any, storage_options: Mapping[str, Any] | None) -> list[Choice]:
    """Ask for the objects of data and masks at addresses, and list folders among them."""
    options = OpenOptions(storage_options=storage_options)
    found = [each for each in (data, masks) if any(True for _ in addresses_in(each))]
    if storage_options is not None and not found:
        raise BadSetting("storage_options= is for data at addresses such as s3://bucket/slide.tif, but this data has none")
    return list(dict.fromkeys(choice for each in found for choice in prepare(each, options)))


def _opened(data: Any, masks: Any, wanted: Wanted, placed: Callable[..., Patches], block: int) -> Patches:
    """Open images and masks, and place patches in them."""
    sizes, strides, axes = wanted.size, wanted.stride, wanted.axes
    found = open_images(data, wanted)
    spatial = len(found.images[0].spatial)
    extents, steps = for_axes(sizes, spatial, "size", found.images[0]), for_axes(strides, spatial, "stride", found.images[0])
    check_alike(found.images, extents)
    labels: list[TiledImage] = []
    if masks is not None:
        of_masks = wanted._replace(size=extents, stride=steps, axes=_mask_axes(masks, axes))
        labels = _open_masks(masks, of_masks, found.images)
    source = placed(found.images, labels, extents, steps, block, found.several)
    source.left_out = found.left_out
    source.choices = (Choice(f"axes: {found.images[0].axes}, patches of {_times(extents)}", "axes="), *source.choices)
    return source


def _open_masks(masks: Any, wanted: Wanted, images: Sequence[TiledImage]) -> list[TiledImage]:
    """Open masks: at the level of the images, or their only level if these are as large as the images at their level."""
    try:
        found = open_images(masks, wanted).images
    except BadSetting:
        if not wanted.level:
            raise
        found = open_images(masks, wanted._replace(level=0)).images
    check_masks(images, found)
    return found


def _mask_axes(masks: Any, axes: str | None) -> str | None:
    """Return the axes of masks: without channels if an array without them is given."""
    several = isinstance(masks, list | tuple)
    ndim = getattr(masks[0] if several and masks else masks, "ndim", None)
    return axes.removesuffix("C") if axes is not None and ndim == len(axes) - 1 else None


def _on_grid(
    images: Sequence[TiledImage], masks: Sequence[TiledImage], size: tuple[int, ...], stride: tuple[int, ...], block: int, several: bool
) -> Patches:  # fmt: skip
    """Return patches on a grid."""
    row = _row_nbytes(images[0], masks, size)
    chosen = [
        choose_grid(image.spatial, size, stride, read_in, row, block)
        for image, read_in in zip(images, _tiles(images, masks), strict=True)
    ]
    if any(each.streams for each in chosen):  # then swaths in all images, so that all blocks are small
        chosen = [
            each if each.streams else choose_swaths(image.spatial, size, stride, read_in, row, block) or each
            for image, read_in, each in zip(images, _tiles(images, masks), chosen, strict=True)
        ]
    layouts = [Grid(image.spatial, size, stride, each.extent) for image, each in zip(images, chosen, strict=True)]
    return _with_reads(
        Patches(images, masks, layouts, size, several, _streams(chosen, layouts, block // row)), chosen, block
    )


def _at_random(
    images: Sequence[TiledImage], masks: Sequence[TiledImage], size: tuple[int, ...], stride: tuple[int, ...], block: int, several: bool,
    *, count: int, seed: int,
) -> Patches:  # fmt: skip
    """Return patches at random places; each possible place has the same chance."""
    if not is_whole(seed):
        raise BadSetting(f"seed must be a whole number, not {seed!r}")
    areas = np.array(
        [math.prod(n - s + 1 for n, s in zip(image.spatial, size, strict=True)) for image in images], np.float64
    )
    ends = np.rint(np.cumsum(areas) / areas.sum() * count).astype(np.int64)
    row = _row_nbytes(images[0], masks, size)
    chosen, layouts = [], []
    numbers = np.diff(ends, prepend=0).tolist()
    for number, (image, n, read_in) in enumerate(zip(images, numbers, _tiles(images, masks), strict=True)):
        chosen.append(choose_cells(image.spatial, size, n, read_in, row, block))
        layouts.append(Scattered(image.spatial, size, chosen[-1].extent, seed, number, n))
    source = _with_reads(
        Patches(images, masks, layouts, size, several, _streams(chosen, layouts, block // row)), chosen, block
    )
    source.choices = (Choice(f"{count:,} patches at random places, the same in each epoch", "seed="), *source.choices)
    return source


def _tiles(images: Sequence[TiledImage], masks: Sequence[TiledImage]) -> list[list[Tile]]:
    """Return the tiles of each image and its mask."""
    return [
        [Tile(each.tile_shape, each.tile_nbytes) for each in both]
        for both in (zip(images, masks, strict=True) if masks else zip(images, strict=True))
    ]


def _streams(chosen: Sequence[Reading], layouts: Sequence[Grid | Scattered], most: int) -> int | None:
    """Return the number of swaths that are read at the same time, whose blocks have at most so many patches; in all images."""
    streams = min((each.streams for each in chosen if each.streams), default=None)
    if streams is None:
        return None
    largest = max(int(np.diff(each.starts(), append=len(each)).max(initial=1)) for each in layouts)
    while streams > 1 and streams * largest > most:
        streams //= 2
    return streams


def _with_reads(source: Patches, chosen: Sequence[Reading], block: int) -> Patches:
    """Return the source, which says how often tiles are read."""
    tiles = [math.prod(image.tile_counts) for image in source._images]
    source.reads_per_tile = sum(n * each.reads for n, each in zip(tiles, chosen, strict=True)) / sum(tiles)
    first, on_grid = chosen[0], source.grids is not None
    said = f"{'blocks' if on_grid else 'cells'} of up to {_times(first.extent)} {'patches' if on_grid else 'pixels'}"
    if source._streams:
        said += f", one after another in swaths, {source._streams} of them at a time"
    said += f": a tile is read {source.reads_per_tile:.2f} times an epoch"
    source.choices = (Choice(said, "block="),)
    if source.reads_per_tile > _MANY_READS:
        _log.info("%s; a larger block= than %s reads fewer twice", said, format_size(block))
    return source


def _keeping(source: Patches, keep: Any, background: Any, budget: Budget) -> Patches:
    """Return the patches that are kept, after one pass over all of them, block by block."""
    x = source.spec["x"]
    assert isinstance(x, Field)
    function = keep_function(keep, background, x.shape[len(source.size) :])
    names = [name for name in ("x", "y") if name in source.spec]
    fields = {name: source.spec[name] for name in names}
    starts = source.chunks().starts
    largest = int(np.diff(starts).max())
    each = largest * sum(field.nbytes for field in fields.values() if isinstance(field, Field)) * 2 + source.scratch(largest)
    threads = max(1, min(_MOST_THREADS, processor_share(), (budget.most - source.nbytes) // max(1, each)))
    charge = budget.charge(
        threads * each + source.nbytes + len(source), 'reading all patches for keep= (block="..." reads fewer together)'
    )

    def look(part: tuple[int, int]) -> NDArray[np.bool_]:
        """Decide the patches of a block."""
        into = new_buffers(fields, part[1] - part[0])
        source.read(np.arange(*part, dtype=np.int64), into)
        return decided(function, tuple(into[name] for name in names), lambda i: source.describe(part[0] + i))

    try:
        parts = zip(starts[:-1].tolist(), starts[1:].tolist(), strict=True)
        kept = np.empty(len(source), np.bool_)
        done = 0
        for result in in_threads(look, parts, threads):
            kept[done : done + len(result)] = result
            done += len(result)
    finally:
        source.close()
        charge.release()
    if not kept.any():
        raise BadSetting(f"keep={keep!r} leaves no patch of {len(source):,}")
    reason = "patches that keep= refuses" if callable(keep) else f"patches with less than {keep:.0%} foreground"
    by = "keep=" if callable(keep) else "keep= or background="
    return source.keeping(KeptPatches(kept), reason, (Choice(f"{int(kept.sum()):,} of {len(source):,} patches kept", by),))


def _row_nbytes(image: TiledImage, masks: Sequence[TiledImage], size: tuple[int, ...]) -> int:
    pixel = math.prod(image.channels) * image.dtype.itemsize + (masks[0].dtype.itemsize if masks else 0)
    return math.prod(size) * pixel


def _times(numbers: Sequence[int]) -> str:
    return " x ".join(map(str, numbers))
