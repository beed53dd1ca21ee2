"""`bitesize.stitch`: predictions of patches become an image again."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from itertools import chain
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from bitesize.engine.loader import Loader
from bitesize.errors import BadResult, BadSetting
from bitesize.memory.budget import Budget, as_budget
from bitesize.memory.charge import Charge
from bitesize.outputs.cells import Blend, Blending, Cells, sum_dtype, weights_of
from bitesize.outputs.stitch_writers import MOST_JOINED, writer
from bitesize.sources.base import Source
from bitesize.sources.patches.source import Patches

Out = str | os.PathLike[str]


def stitch(
    patches: Source, predictions: Callable[[Any], Any] | Iterable[Any], out: Out | Sequence[Out] | None = None, *,
    blend: Blend = "linear", layout: Literal["HWC", "CHW"] = "HWC", fill: float = 0, batch_size: int = 16,
    memory: int | str | Budget = "auto",
) -> Any:  # fmt: skip
    r"""Join predictions of patches to predictions of the whole image.

    Where patches overlap, the result is the mean of their predictions, weighted by ``blend``: for ``"linear"``, the weight of pixel i of n along
    an axis is ``min(i + 1, n - i)``, and the product over the axes; for ``"flat"``, all weights are equal. Of whole numbers such as classes, which
    have no mean, the prediction of the largest weight is taken, and the first of equal ones. Equal predictions stay exactly equal.

    A pixel is written as soon as all patches that contain it have been predicted. Only pixels that wait for others are in memory.

    Parameters
    ----------
    patches
        Patches on a grid, from `bitesize.patches`.
    predictions
        Predictions of all patches in the order of the source, batch by batch: arrays of shape (k, \*size) or (k, \*size, channels). Or a
        function that is called with the field ``x`` of each batch and returns them.
    out
        A ``.npy`` file or a ``.zarr`` folder, which appears when it is complete; for several images, one for each. By default an array is
        returned.
    blend
        ``"linear"`` or ``"flat"``.
    layout
        ``"CHW"`` if channels come first: (k, channels, \*size), in predictions and in ``x`` that a function gets.
    fill
        Value of pixels that are in no patch.
    batch_size
        Rows of a batch that a function gets.
    memory
        Budget for all of it.

    Returns
    -------
    ndarray or Path, or a list of them
        The image, shape (\*shape,) or (\*shape, channels), in the dtype of the predictions; or the path that was written to. A list for the
        patches of several images.

    Raises
    ------
    BadSetting
        If patches are at random places, or a setting is not valid.
    BadResult
        If predictions do not have the shape of the patches, or are fewer or more.
    DoesNotFit
        If the budget is too small.
    DiskFull
        If the disk has too little space.

    Examples
    --------
    >>> import numpy as np, bitesize as bs
    >>> image = np.arange(60.0).reshape(6, 10)
    >>> source = bs.patches(image, 4, stride=3)
    >>> bool((bs.stitch(source, np.sqrt, memory="32 MiB") == np.sqrt(image)).all())
    True
    """
    if not isinstance(patches, Patches) or patches.grids is None:
        raise BadSetting(
            "stitch needs patches on a grid: bs.patches(data, size, stride=...), not a part of them, and not count="
        )
    if blend not in ("linear", "flat"):
        raise BadSetting(f'blend must be "linear" or "flat", not {blend!r}')
    if layout not in ("HWC", "CHW"):
        raise BadSetting(f'layout must be "HWC" or "CHW", not {layout!r}')
    several = isinstance(out, list | tuple) or len(patches.grids) > 1
    outs: Sequence[Any] = out if isinstance(out, list | tuple) else [out] * len(patches.grids)
    if len(outs) != len(patches.grids) or (len(outs) > 1 and isinstance(out, str | os.PathLike)):
        raise BadSetting(f"out= must have a path for each of the {len(patches.grids)} images")
    budget = as_budget(memory)
    with closing(_batches(patches, predictions, layout, batch_size, budget)) as batches:
        found = _Stitcher(patches, _rows(patches, batches, layout), blend, fill, budget).run(outs)
    return found if several else found[0]


class _Stitcher:
    """The images of patches, one after another."""

    def __init__(self, patches: Patches, rows: Iterator[NDArray[Any]], blend: Blend, fill: float, budget: Budget) -> None:
        self._patches, self._fill, self._budget = patches, fill, budget
        self._weights = weights_of(patches.size, blend)
        first = next(rows, None)
        if first is None:
            raise BadResult(f"no predictions, but there are {len(patches):,} patches")
        _check_fill(fill, first.dtype)
        self._like = first  # shape and dtype of all
        self._rows = chain([first], rows)

    def run(self, outs: Sequence[Out | None]) -> list[NDArray[Any] | Path]:
        """Stitch all images."""
        return [self._image(number, out, number == len(outs) - 1) for number, out in enumerate(outs)]

    def _next(self) -> NDArray[Any]:
        row = next(self._rows, None)
        if row is None:
            raise BadResult(f"fewer predictions than the {len(self._patches):,} patches")
        if row.shape != self._like.shape or row.dtype != self._like.dtype:
            raise BadResult(
                f"predictions have {row.shape} {row.dtype}, but the first one has {self._like.shape} {self._like.dtype}"
            )
        return row

    def _image(self, number: int, out: Out | None, last: bool) -> NDArray[Any] | Path:
        like = self._like
        grid = (self._patches.grids or ())[number]
        numbers = self._patches.numbers_of(number)
        channels = like.shape[len(grid.shape) :]
        charges: list[Charge] = [self._budget.charge(Cells.request(grid), "cells of the stitched image")]
        try:
            cells = Cells(grid, numbers)
            pixel = math.prod(channels) * sum_dtype(like.dtype).itemsize + self._weights.itemsize
            waiting = cells.most_open(pixel) + 4 * math.prod(grid.size) * pixel + 2 * MOST_JOINED
            why = "pixels of the stitched image that wait for other patches (a smaller overlap, or a larger block= of bs.patches, needs less)"
            charges.append(self._budget.charge(waiting, why))
            with writer(out, grid.shape + channels, like.dtype, grid.stride, self._budget) as (write, result):
                blending = Blending(cells, write, self._weights, like.dtype)
                for of_grid in range(len(grid)) if numbers is None else numbers.tolist():
                    blending.add(of_grid, self._next())
                if last and next(self._rows, None) is not None:
                    raise BadResult(
                        f"more predictions than the {len(self._patches):,} patches: pass them in the order of the source"
                    )
                if self._fill != 0:
                    for cell in np.argwhere(cells.empty):
                        box = cells.box(tuple(cell.tolist()))
                        shape = tuple(each.stop - each.start for each in box)
                        write(box, np.broadcast_to(np.asarray(self._fill, like.dtype), shape + channels))
            return result  # type: ignore[no-any-return]
        finally:
            for charge in charges:
                charge.release()


def _check_fill(fill: float, dtype: np.dtype[Any]) -> None:
    """Raise `BadSetting` if predictions cannot have the value of pixels in no patch."""
    if dtype.kind == "b":
        fits = fill in (0, 1)
    elif dtype.kind == "f":
        fits = isinstance(fill, int | float | np.number)
    else:
        limits = np.iinfo(dtype)
        fits = isinstance(fill, int | float | np.number) and fill == fill // 1 and limits.min <= fill <= limits.max
    if not fits:
        raise BadSetting(
            f"fill={fill!r} is no value of the predictions, which are {dtype}: pass another fill=, or predict another dtype"
        )


def _batches(
    patches: Patches, predictions: Any, layout: Literal["HWC", "CHW"], batch_size: int, budget: Budget
) -> Generator[Any]:
    """Yield predictions of all patches, batch by batch."""
    if not callable(predictions):
        if hasattr(predictions, "shape") and hasattr(predictions, "__getitem__"):  # of all patches in one array
            for start in range(0, len(predictions), batch_size):
                yield predictions[start : start + batch_size]
        else:
            yield from predictions
        return
    images = "C" in (patches.spec["x"].axes or "")  # type: ignore[union-attr]
    loader = Loader(patches, batch_size=batch_size, shuffle=False, memory=budget, layout=layout if images else "HWC")
    with loader:
        for batch in loader:
            yield predictions(batch["x"])


def _rows(patches: Patches, batches: Iterator[Any], layout: str) -> Iterator[NDArray[Any]]:
    """Yield the prediction of each patch, with channels last."""
    size = patches.size
    for batch in batches:
        values = np.asarray(batch.detach().cpu() if hasattr(batch, "detach") else batch)  # tensors of PyTorch
        if layout == "CHW" and values.ndim == len(size) + 2:
            values = np.moveaxis(values, 1, -1)
        if values.ndim not in (len(size) + 1, len(size) + 2) or values.shape[1 : len(size) + 1] != size:
            raise BadResult(
                f"predictions have shape {values.shape}, but patches need (rows, {', '.join(map(str, size))}[, channels])"
            )
        if values.dtype.kind not in "buif":
            raise BadResult(f"predictions have dtype {values.dtype}, but they must be numbers")
        yield from values
