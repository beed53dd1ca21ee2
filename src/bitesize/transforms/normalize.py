"""Transforms of the range of values: normalization and scaling."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from bitesize.errors import BadSetting
from bitesize.transforms.base import Transform, is_number
from bitesize.transforms.view import View

# Mean and deviation of ImageNet's channels, for pixels of 0 to 1, as expected by models trained on it.
_NAMED = {"imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))}
_OF_DATA = "data"


@dataclass(frozen=True, repr=False)
class Normalize(Transform):
    """Subtract a mean and divide by a standard deviation, per channel; the result is float32.

    Parameters
    ----------
    mean
        ``"imagenet"``; ``"data"``, for which the loader first measures its source (`bitesize.statistics`); one number, or one
        per channel (the last axis; alpha, the fourth channel of images, needs none). For 8-bit data, mean and std apply to
        values of 0 to 1, as usual; for other types they apply to the values themselves, and a loader raises if the values are
        clearly on another scale. With ``"data"``, other loaders of the same run, such as validation, must use the measured
        numbers: ``transforms=train_loader.transforms``.
    std
        Standard deviation, one number or one per channel; not with a name.

    Raises
    ------
    BadSetting
        If the settings are not numbers or a name, or a standard deviation is not positive.

    Examples
    --------
    >>> import numpy as np, bitesize as bs
    >>> images = bs.open(np.full((1, 2, 2, 3), 255, np.uint8))
    >>> with bs.Loader(images, batch_size=1, memory="16 MiB", transforms=[bs.Normalize(0.5, 0.25)]) as loader:
    ...     next(iter(loader))["x"][0, 0, 0].round(3).tolist()
    [2.0, 2.0, 2.0]
    >>> bs.Normalize((0.5, 0.4, 0.3), (0.2, 0.2, 0.2)).count
    3
    """

    whole_pixels: ClassVar[bool] = True

    mean: str | float | tuple[float, ...]
    std: float | tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if isinstance(self.mean, str):
            if self.mean not in (*_NAMED, _OF_DATA) or self.std is not None:
                raise BadSetting(
                    f'Normalize takes "imagenet", "data", or a mean and a std, not {self.mean!r} and {self.std!r}'
                )
            return
        if self.std is None:
            raise BadSetting("Normalize needs both a mean and a std")
        for name in ("mean", "std"):
            value = getattr(self, name)
            numbers = tuple(value) if isinstance(value, tuple | list) else (value,)
            if not numbers or not all(map(is_number, numbers)) or (name == "std" and min(numbers) <= 0):
                raise BadSetting(
                    f"Normalize: mean must be numbers and std positive numbers, not {self.mean!r} and {self.std!r}"
                )
            if isinstance(value, tuple | list):
                object.__setattr__(self, name, tuple(map(float, numbers)))

    @property
    def of_data(self) -> bool:
        """Return whether its numbers have not been measured yet."""
        return self.mean == _OF_DATA

    @property
    def count(self) -> int:
        """Number of channels with numbers; 1 if one number applies to all."""
        if isinstance(self.mean, str):
            return 3
        return max(len(given) if isinstance(given, tuple) else 1 for given in (self.mean, self.std))

    @cached_property
    def numbers(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Mean and deviation of each channel with numbers."""
        if isinstance(self.mean, str):
            return _NAMED[self.mean]
        mean, std = (
            given if isinstance(given, tuple) else (float(given),) * self.count  # type: ignore[arg-type]
            for given in (self.mean, self.std)
        )
        return mean, std

    @cached_property
    def _three(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        mean, std = self.numbers
        return (mean * 3)[:3], (std * 3)[:3]

    def check(self, channels: int) -> None:
        """Check the number of channels; a fourth channel is alpha and unchanged, unless it has its own mean."""
        if self.of_data:
            raise BadSetting('Normalize("data") has no numbers until a loader has measured them')
        mean, std = self.numbers
        if len(mean) != len(std):
            raise BadSetting(
                f"Normalize has {_counted(len(mean), 'mean')} and {_counted(len(std), 'deviation')}: their numbers must be equal"
            )
        if self.count not in (1, channels) and (self.count, channels) != (3, 4):
            name = f'Normalize("{self.mean}")' if isinstance(self.mean, str) else "Normalize"
            raise BadSetting(
                f"{name} has {self.count} means and deviations, but the rows have {_counted(channels, 'channel')}: pass one of "
                'each per channel, or use Normalize("data")'
            )

    def dtype_after(self, dtype: np.dtype[Any]) -> np.dtype[Any]:
        """Return float32."""
        return np.dtype(np.float32)

    def adjust(self, view: View, u: Sequence[float]) -> None:
        """Multiply and add per channel; a fourth channel is scaled to 0 to 1."""
        whole = view.whole
        if view.gains is not None:
            mean, std = self.numbers
            view.per_channel([1 / (whole * s) for s in std], [-m / s for m, s in zip(mean, std, strict=True)])
            view.whole = 1.0
            return
        (m0, m1, m2), (s0, s1, s2) = self._three
        view.per_channel((1 / (whole * s0), 1 / (whole * s1), 1 / (whole * s2)), (-m0 / s0, -m1 / s1, -m2 / s2))
        view.alpha /= whole
        view.whole = 1.0


@dataclass(frozen=True, repr=False)
class Scale(Transform):
    """Multiply all values; ``Scale(1 / 255)`` scales 8-bit data to 0 to 1. The result is float32.

    A loader raises for ``Scale(1 / 255)`` if values are floats within -1 to 1 already, or far outside 0 to 255.

    Parameters
    ----------
    factor
        Any number except 0.
    offset
        Number added afterwards.

    Raises
    ------
    BadSetting
        If the factor is 0, or a setting is not a number.

    Examples
    --------
    >>> import numpy as np, bitesize as bs
    >>> images = bs.open(np.array([[0, 255]], np.uint8))
    >>> with bs.Loader(images, batch_size=1, memory="16 MiB", transforms=[bs.Scale(1 / 255)]) as loader:
    ...     next(iter(loader))["x"].tolist()
    [[0.0, 1.0]]
    """

    whole_pixels: ClassVar[bool] = True

    factor: float
    offset: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not is_number(self.factor) or not self.factor or not is_number(self.offset):
            raise BadSetting(f"Scale needs a factor other than 0 and an offset, not {self.factor!r} and {self.offset!r}")

    def dtype_after(self, dtype: np.dtype[Any]) -> np.dtype[Any]:
        """Return float32."""
        return np.dtype(np.float32)

    def adjust(self, view: View, u: Sequence[float]) -> None:
        """Multiply and add; alpha is only multiplied."""
        view.per_channel((self.factor,) * 3, (self.offset,) * 3)
        view.alpha *= self.factor
        view.whole = 1.0


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"
