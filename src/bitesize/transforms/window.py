"""Transforms that clip: a window of values, or the range between two percentiles, becomes 0 to 1."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np

from bitesize.errors import BadSetting
from bitesize.transforms.base import Transform, is_number
from bitesize.transforms.view import View

_DATA = "data"


@dataclass(frozen=True, repr=False)
class Window(Transform):
    """Scale a window of values to 0 to 1 and clip all others, as for CT images; the result is float32.

    Values are clipped after all geometry: those of a resized image, not those that it is made of.

    Parameters
    ----------
    center, width
        The values from ``center - width / 2`` to ``center + width / 2`` become 0 to 1: numbers in units of the values at this
        point of the pipeline, one for all channels or one per channel. Alpha, the fourth channel of 8-bit images, is scaled to 0
        to 1.

    Raises
    ------
    BadSetting
        If the settings are not numbers, or a width is not positive. A loader raises it if their number is not that of the channels.

    Examples
    --------
    >>> import numpy as np, bitesize as bs
    >>> scans = bs.open(np.array([[[-1000, -160, 40, 240, 3000]]], np.int16))
    >>> with bs.Loader(scans, batch_size=1, memory="16 MiB", transforms=[bs.Window(40, 400)]) as loader:
    ...     next(iter(loader))["x"].round(6).tolist()
    [[[0.0, 0.0, 0.5, 1.0, 1.0]]]
    """

    center: float | tuple[float, ...]
    width: float | tuple[float, ...]
    whole_pixels: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, given in (("center", self.center), ("width", self.width)):
            numbers = tuple(given) if isinstance(given, tuple | list) else (given,)
            if not numbers or not all(map(is_number, numbers)) or (name == "width" and min(numbers) <= 0):
                raise BadSetting(
                    f"Window needs a center and a width above 0, one number for all channels or one per channel, not {self.center!r} and "
                    f"{self.width!r}"
                )
            if isinstance(given, tuple | list):
                object.__setattr__(self, name, tuple(map(float, numbers)))
        if len({len(given) for given in (self.center, self.width) if isinstance(given, tuple)}) > 1:
            raise BadSetting(f"Window needs as many centers as widths, not {self.center!r} and {self.width!r}")

    @property
    def count(self) -> int:
        """Number of channels with numbers; 1 if one number applies to all."""
        return max(len(given) if isinstance(given, tuple) else 1 for given in (self.center, self.width))

    def check(self, channels: int) -> None:
        """Check the number of channels; alpha needs no numbers."""
        if self.count not in (1, channels) and (self.count, channels) != (3, 4):
            raise BadSetting(
                f"Window has {self.count} centers and widths, but the rows have {channels} channels: pass one, or one each"
            )

    def dtype_after(self, dtype: np.dtype[Any]) -> np.dtype[Any]:
        """Return float32."""
        return np.dtype(np.float32)

    def adjust(self, view: View, u: Sequence[float]) -> None:
        """Multiply, add and clip per channel."""
        count = len(view.gains) if view.gains is not None else 3
        centers, widths = (
            (given * 3)[:count] if isinstance(given, tuple) else (given,) * count for given in (self.center, self.width)
        )
        view.per_channel(
            [1 / width for width in widths], [0.5 - center / width for center, width in zip(centers, widths, strict=True)]
        )
        view.to_unit()


@dataclass(frozen=True, repr=False)
class Percentiles(Transform):
    """Scale values so that two percentiles become 0 and 1, and clip all others; the result is float32.

    Percentiles are those of `numpy.percentile`, with linear interpolation, of each channel by itself. Values that are not finite are left
    out of them, and a constant channel becomes 0. As for `Window`, values are clipped after all geometry.

    Parameters
    ----------
    low, high
        Percentiles that become 0 and 1, from 0 to 100.
    per
        ``"row"``: those of each row itself, of all its values as stored, also if it is cropped; of JPEGs, as decoded. ``"data"``:
        those of all rows, which the loader measures first: exactly where float32 represents the values, others are rounded
        to it. 8-bit and 16-bit integers are read once, other types twice. The measured numbers then are a `Window`. Other loaders of the same run, such as validation, must use them:
        ``transforms=train_loader.transforms``.

    Raises
    ------
    BadSetting
        If the percentiles are not two numbers in order, or ``per`` is not valid. A loader raises it if a step before changes values.

    Examples
    --------
    >>> import numpy as np, bitesize as bs
    >>> rows = bs.open(np.arange(101, dtype=np.uint16)[None])
    >>> with bs.Loader(rows, batch_size=1, memory="16 MiB", transforms=[bs.Percentiles(10, 90)]) as loader:
    ...     next(iter(loader))["x"][0, [0, 10, 50, 90, 100]].round(3).tolist()
    [0.0, 0.0, 0.5, 1.0, 1.0]
    """

    low: float = 1.0
    high: float = 99.0
    per: Literal["row", "data"] = "row"
    # The pixels that are measured must not depend on geometry that a cache applies before.
    whole_pixels: ClassVar[bool] = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if not (is_number(self.low) and is_number(self.high) and 0 <= self.low < self.high <= 100):
            raise BadSetting(f"Percentiles needs two numbers in order from 0 to 100, not {self.low!r} and {self.high!r}")
        if self.per not in ("row", _DATA):
            raise BadSetting(f'Percentiles: per must be "row" or "data", not {self.per!r}')

    @property
    def of_data(self) -> bool:
        """Return whether its numbers have not been measured yet."""
        return self.per == _DATA

    def check(self, channels: int) -> None:
        """Check that there is something to measure when a row is rendered."""
        if self.of_data:
            raise BadSetting('Percentiles(per="data") has no numbers until a loader has measured them')

    def dtype_after(self, dtype: np.dtype[Any]) -> np.dtype[Any]:
        """Return float32."""
        return np.dtype(np.float32)

    def adjust(self, view: View, u: Sequence[float]) -> None:
        """Note which percentiles are measured when there are pixels, and clip."""
        view.percentiles = (float(self.low), float(self.high))
        view.to_unit()
