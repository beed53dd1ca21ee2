"""Draw rows of a source as small pictures."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitesize.engine.loader import Loader
from bitesize.html.notebook import data_address
from bitesize.order.order import Order
from bitesize.pictures.overlay import blended
from bitesize.pictures.picture import as_picture, axes_of_pictures, middle, thinned
from bitesize.sources.base import Source
from bitesize.spec import Encoded
from bitesize.training.tasks.mask_numbers import is_mask
from bitesize.transforms.base import Transform, from_dict
from bitesize.transforms.color import ColorMatrix
from bitesize.transforms.crop import Resize
from bitesize.transforms.normalize import Normalize, Scale
from bitesize.transforms.window import Percentiles, Window

Picture = NDArray[np.uint8]


def draw_rows(
    source: Source,
    steps: Sequence[Any],
    side: int,
    *,
    epoch: int = 0,
    seed: int = 0,
    memory: Any = "auto",
    masks: bool = True,
) -> tuple[list[Picture], dict[int, str]]:
    """Draw all rows of a source. Of rows that are much larger than the picture, evenly spaced pixels are drawn.

    Parameters
    ----------
    source
        The rows; their input must have axes, see `axes_of_pictures`.
    steps
        Transforms before drawing.
    side
        Pixels of the longer side on the page; pictures have at most a few times as many.
    epoch, seed
        Choose the random numbers of transforms.
    memory
        Memory budget of loading.
    masks
        Whether masks are colored over the pictures.

    Returns
    -------
    pictures : list of ndarray of uint8, shape (height, width, 3)
        One per row; white for a row that cannot be read.
    problems : dict of int to str
        Reasons of rows that could not be read.
    """
    rows, problems = _read(source, steps, side, epoch=epoch, seed=seed, memory=memory, masks=masks)
    axes = axes_of_pictures(source.spec["x"]).removeprefix("D")
    return [_picture(*row, axes, white=i in problems) for i, row in enumerate(rows)], problems


def draw_stored(source: Source, side: int, **settings: Any) -> tuple[list[Picture], dict[int, str]]:
    """Draw all rows of a source without transforms, images of files within a square with this side; see `draw_rows`."""
    field = source.spec["x"]
    if not isinstance(field, Encoded):
        return draw_rows(source, [], side, **settings)
    axes = axes_of_pictures(field)
    first, problems = _read(source, [Resize(side, "pad", fill=0)], side, **settings)
    second, _ = _read(source, [Resize(side, "pad", fill=255)], side, **settings)
    pictures = []
    for i, ((values, mask), (other, _)) in enumerate(zip(first, second, strict=True)):
        inside = _unpadded(values, other)
        pictures.append(_picture(values[inside], None if mask is None else mask[inside], axes, white=i in problems))
    return pictures, problems


def _read(
    source: Source,
    steps: Sequence[Any],
    side: int,
    *,
    epoch: int = 0,
    seed: int = 0,
    memory: Any = "auto",
    masks: bool = True,
) -> tuple[list[tuple[NDArray[Any], NDArray[Any] | None]], dict[int, str]]:
    """Return the values of each row that a picture needs, and those of its mask; and the reasons of rows that could not be read."""
    masked, axes = masks and is_mask(source), axes_of_pictures(source.spec["x"])
    order = Order(len(source), seed, shuffle=False)
    with Loader(
        source,
        batch_size=1,
        transforms=steps,
        order=order,
        on_error="skip",
        max_bad=1.0,
        threads=1,
        dtype=None,
        memory=memory,
    ) as loader:
        loader.set_epoch(epoch)
        rows = []
        for batch in loader:
            values = thinned(middle(batch["x"][0], axes), side)
            values = values[..., :3] if axes.endswith("C") else values  # more bands are not shown
            rows.append((values.copy(), thinned(middle(batch["y"][0], axes), side).copy() if masked else None))
        return rows, {bad.row: bad.reason for bad in loader.bad}


def _picture(values: NDArray[Any], mask: NDArray[Any] | None, axes: str, *, white: bool) -> Picture:
    """Return the picture of an image, with its mask over it."""
    picture = as_picture(values, axes)
    if white:
        return np.full_like(picture, 255)
    return picture if mask is None else blended(picture, mask)


def _unpadded(values: NDArray[Any], other: NDArray[Any]) -> tuple[slice, slice]:
    """Return the part of a padded image that is the same with another padding: the image itself.

    Padding would be in the range of values, by which pictures of more than 8 bits are scaled.
    """
    same = ((values == other) | (values != values)).all(axis=-1)
    lines, columns = np.flatnonzero(same.any(axis=1)), np.flatnonzero(same.any(axis=0))
    if not len(lines):
        return slice(None), slice(None)
    return slice(lines[0], lines[-1] + 1), slice(columns[0], columns[-1] + 1)


def shapes_only(transforms: Sequence[Mapping[str, Any]]) -> list[Transform]:
    """Return saved transforms without those that only change the range of values, for pictures with the colors of the data."""
    return [
        step
        for step in map(from_dict, transforms)
        if isinstance(step, Transform) and not isinstance(step, Normalize | Scale | ColorMatrix | Window | Percentiles)
    ]


def data_uri(picture: Picture, side: int) -> str:
    """Return a picture as the address of an image within a page: a JPEG whose longer side is at most ``side``, enlarged if it is tiny."""
    from PIL import Image

    image = Image.fromarray(picture)
    if max(image.size) > side:
        image.thumbnail((side, side))
    elif (scale := side // max(image.size)) > 1:
        image = image.resize((image.width * scale, image.height * scale), Image.Resampling.NEAREST)
    file = io.BytesIO()
    image.save(file, "JPEG", quality=82)
    return data_address(file.getvalue(), "jpeg")
