"""Mixing pairs of rows, and their labels, in the finished batch.

Positions 2k and 2k + 1 of the epoch's order are a pair. The order is shuffled, so pairs are random; and a pair's share is
keyed by k, so the result depends on neither batch size, rank nor threads.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from bitesize.errors import BadSetting
from bitesize.order.keyed_random import Key, beta, uniform
from bitesize.transforms.base import Step, is_number

# float16 and bfloat16, which compiled code lacks, are mixed by NumPy in pieces of this many values.
_PIECE = 16_384


@dataclass(frozen=True, repr=False)
class PairMix(Step, ABC):
    """Step that mixes two rows.

    Parameters
    ----------
    alpha
        Both parameters of the Beta distribution of the shares, above 0: at 1 all shares are equally likely, below 1 shares
        near 0 and 1 are more likely.

    Attributes
    ----------
    random_count : int
        Number of random numbers in [0, 1) that `mix` gets for a pair.
    """

    alpha: float = 1.0
    random_count: ClassVar[int] = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not is_number(self.alpha) or not 0 < self.alpha < 1e6:
            raise BadSetting(f"{type(self).__name__}: alpha must be a number above 0, not {self.alpha!r}")

    def check(self, shape: Sequence[int], dtype: np.dtype[Any], layout: str) -> None:
        """Raise `BadSetting` if rows of ``x`` of this shape and dtype cannot be mixed.

        Parameters
        ----------
        shape
            Shape of one row.
        dtype
            Dtype of the rows.
        layout
            Position of the channels: ``"HWC"`` or ``"CHW"``.

        Raises
        ------
        BadSetting
            If rows of this shape and dtype cannot be mixed.

        Examples
        --------
        >>> import numpy as np, bitesize as bs
        >>> bs.MixUp().check((8, 8, 3), np.dtype(np.uint8), "HWC")
        """
        if dtype.kind == "b" or (dtype.kind in "iu" and dtype.itemsize > 2):
            raise BadSetting(f"{type(self).__name__} is computed in float32, which cannot hold every {dtype}")

    @abstractmethod
    def mix(self, first: NDArray[Any], second: NDArray[Any], share: float, u: Sequence[float], layout: str) -> float:
        """Mix two rows of ``x`` in place; each keeps ``share`` of its values.

        Parameters
        ----------
        first, second
            Two rows of one shape and dtype, changed in place.
        share
            Share that each row keeps, from 0 to 1.
        u
            `random_count` random numbers in [0, 1).
        layout
            Position of the channels: ``"HWC"`` or ``"CHW"``.

        Returns
        -------
        float
            The exact share that each row kept, for the labels.

        Examples
        --------
        >>> import numpy as np, bitesize as bs
        >>> first, second = np.zeros(2, np.float32), np.ones(2, np.float32)
        >>> _ = bs.MixUp().mix(first, second, 0.75, (), "HWC")
        >>> first.tolist(), second.tolist()
        ([0.25, 0.25], [0.75, 0.75])
        """


@dataclass(frozen=True, repr=False)
class MixUp(PairMix):
    """Blend each pair of rows, and their labels (Zhang et al. 2018, arXiv 1710.09412).

    Labels become float32 of shape (rows, classes): for Keras use ``"categorical_crossentropy"``.

    Parameters
    ----------
    alpha
        Both parameters of the Beta distribution of the shares, above 0.

    Raises
    ------
    BadSetting
        If ``alpha`` is not a number above 0. A loader raises it if rows are whole numbers of more than 16 bits, or have no class
        labels, or a batch has an odd number of rows.

    Examples
    --------
    >>> import numpy as np, bitesize as bs
    >>> rows = bs.open(np.array([[0.0], [1.0]], np.float32), ["a", "b"])
    >>> with bs.Loader(rows, batch_size=2, memory="16 MiB", shuffle=False, transforms=[bs.MixUp()]) as loader:
    ...     batch = next(iter(loader))
    ...     batch["y"].shape, bool(np.allclose(batch["y"].sum(axis=1), 1))
    ((2, 2), True)
    """

    alpha: float = 0.2

    def mix(self, first: NDArray[Any], second: NDArray[Any], share: float, u: Sequence[float], layout: str) -> float:
        """Blend."""
        blend_rows(first, second, share)
        return share


@dataclass(frozen=True, repr=False)
class CutMix(PairMix):
    """Exchange a random rectangle between each pair of images, and mix their labels (Yun et al. 2019, arXiv 1905.04899).

    Labels become float32 of shape (rows, classes), with shares by the area that was exchanged.

    Parameters
    ----------
    alpha
        Both parameters of the Beta distribution of the shares, above 0.

    Raises
    ------
    BadSetting
        If ``alpha`` is not a number above 0. A loader raises it if rows are not images, or have no class labels, or a batch has an
        odd number of rows.

    Examples
    --------
    >>> import numpy as np, bitesize as bs
    >>> rows = bs.open(np.zeros((2, 8, 8, 3), np.uint8), ["a", "b"])
    >>> with bs.Loader(rows, batch_size=2, memory="16 MiB", shuffle=False, transforms=[bs.CutMix()]) as loader:
    ...     batch = next(iter(loader))
    ...     batch["y"].shape, bool(np.allclose(batch["y"].sum(axis=1), 1))
    ((2, 2), True)
    """

    alpha: float = 1.0
    random_count: ClassVar[int] = 2

    def check(self, shape: Sequence[int], dtype: np.dtype[Any], layout: str) -> None:
        """Check that rows are images."""
        super().check(shape, dtype, layout)
        if len(shape) != 3:
            raise BadSetting(f"CutMix needs images (height, width, channels), but rows have the shape {tuple(shape)}")

    def mix(self, first: NDArray[Any], second: NDArray[Any], share: float, u: Sequence[float], layout: str) -> float:
        """Exchange."""
        from bitesize.kernels.mix import exchange

        if layout == "CHW":
            first, second = first.transpose(1, 2, 0), second.transpose(1, 2, 0)
        if first.dtype.itemsize == 2:
            first, second = first.view(np.uint16), second.view(np.uint16)
        height, width = first.shape[:2]
        side = math.sqrt(1.0 - share)
        rows, columns = _clipped(u[0] * height, side * height, height), _clipped(u[1] * width, side * width, width)
        exchange(first[rows, columns], second[rows, columns])
        exchanged: int = (rows.stop - rows.start) * (columns.stop - columns.start)
        return float(1.0 - exchanged / (height * width))


def mix_pairs(
    mixes: Sequence[tuple[int, PairMix]],
    x: NDArray[Any],
    y: NDArray[Any] | None,
    good: NDArray[np.bool_],
    key: Key,
    layout: str,
) -> None:
    """Mix the rows at positions 2k and 2k + 1 if both are good; ``key.position`` must be even."""
    pairs = key.position // 2 + np.arange(len(x) // 2, dtype=np.int64)
    for number, mix in mixes:
        shares = beta(key.seed, key.epoch, pairs, number, float(mix.alpha)).tolist()
        random_numbers = uniform(key.seed, key.epoch, pairs, number, mix.random_count).tolist()
        for i, (share, u) in enumerate(zip(shares, random_numbers, strict=True)):
            first, second = 2 * i, 2 * i + 1
            if not (good[first] and good[second]):
                continue
            kept = mix.mix(x[first], x[second], share, u, layout)
            if y is not None:
                blend_rows(y[first : first + 1], y[second : second + 1], kept)


def blend_rows(first: NDArray[Any], second: NDArray[Any], share: float) -> None:
    """Blend two C-contiguous arrays of one shape and dtype in place."""
    from bitesize.kernels.mix import blend

    a, b = first.reshape(-1), second.reshape(-1)
    if first.dtype.kind in "fiu" and first.dtype != np.float16:
        blend(a, b, share, first.dtype.kind in "iu")
        return
    for start in range(0, len(a), _PIECE):
        part = slice(start, start + _PIECE)
        one, other = a[part].astype(np.float32), b[part].astype(np.float32)
        blend(one, other, share, False)
        a[part], b[part] = one.astype(a.dtype), other.astype(b.dtype)


def _clipped(center: float, extent: float, size: int) -> slice[int, int, None]:
    low, high = round(center - extent / 2), round(center + extent / 2)
    return slice(min(max(low, 0), size), min(max(high, 0), size))
