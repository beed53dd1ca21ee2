"""Color transforms: every step is a 3 x 4 matrix, so that all of them are combined to one matrix."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from bitesize.errors import BadSetting
from bitesize.transforms.base import Transform, between, is_number, probability_setting, range_setting
from bitesize.transforms.color_math import brighten, saturate, stretch, turn_hue
from bitesize.transforms.view import View

Range = float | tuple[float, float]
# Limits of the amount, and the neutral amount: for factors, and for hue rotations.
_FACTORS, _TURNS = (0.0, 100.0, 1.0), (-0.5, 0.5, 0.0)


@dataclass(frozen=True, repr=False)
class _Mixing(Transform):
    """Step that needs red, green and blue."""

    whole_pixels: ClassVar[bool] = True
    needs_image: ClassVar[bool] = True

    def check(self, channels: int) -> None:
        """Check that channels are colors."""
        if channels not in (3, 4):
            raise BadSetting(
                f"{type(self).__name__} needs images with red, green and blue, not {_counted(channels, 'channel')}"
            )

    @property
    def needs_colors(self) -> bool:
        """Yes."""
        return True


@dataclass(frozen=True, repr=False)
class ColorMatrix(_Mixing):
    """Mix colors by a matrix; the result is float32.

    Parameters
    ----------
    matrix
        12 numbers, row by row: ``out[i] = m[i, 0] * red + m[i, 1] * green + m[i, 2] * blue + m[i, 3]``, on stored
        values (0 to 255 for 8-bit images).

    Raises
    ------
    BadSetting
        If the matrix is not 12 numbers. A loader raises it if rows are not images with red, green and blue.

    Examples
    --------
    >>> import numpy as np, bitesize as bs
    >>> images = bs.open(np.array([200, 100, 0], np.uint8).reshape(1, 1, 1, 3))
    >>> swap = bs.ColorMatrix((0, 0, 1, 0, 0, 1, 0, 0, 1, 0, 0, 0))
    >>> with bs.Loader(images, batch_size=1, memory="16 MiB", transforms=[swap]) as loader:
    ...     next(iter(loader))["x"][0, 0, 0].tolist()
    [0.0, 100.0, 200.0]
    """

    matrix: tuple[float, ...]

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.matrix, Sequence) or len(self.matrix) != 12 or not all(map(is_number, self.matrix)):
            raise BadSetting(f"ColorMatrix needs a matrix of 3 x 4 numbers in a row, not {self.matrix!r}")
        object.__setattr__(self, "matrix", tuple(map(float, self.matrix)))

    def dtype_after(self, dtype: np.dtype[Any]) -> np.dtype[Any]:
        """Return float32."""
        return np.dtype(np.float32)

    def adjust(self, view: View, u: Sequence[float]) -> None:
        """Compose with the color matrix."""
        view.paint(self.matrix)
        view.whole = 1.0


@dataclass(frozen=True, repr=False)
class _Amount(Transform):
    """Step with one random amount, uniformly distributed in a range.

    Attributes
    ----------
    limits : tuple of 3 float
        Least and greatest allowed amount, and the neutral amount.
    """

    amount: Range
    whole_pixels: ClassVar[bool] = True
    random_count: ClassVar[int] = 1
    limits: ClassVar[tuple[float, float, float]] = _FACTORS

    def __post_init__(self) -> None:
        super().__post_init__()
        _ = self._bounds  # checked when created

    @cached_property
    def _bounds(self) -> tuple[float, float]:
        return range_setting(type(self).__name__, "amount", self.amount, *self.limits)

    @abstractmethod
    def change(self, view: View, amount: float) -> None:
        """Adjust a view by an amount."""

    def adjust(self, view: View, u: Sequence[float]) -> None:
        """Change by a random amount."""
        self.change(view, between(u[0], self._bounds))


@dataclass(frozen=True, repr=False)
class Brightness(_Amount):
    """Multiply all channels by one random factor.

    Values are not clamped between the steps of a pipeline, only at a cast to integers. This holds for all color steps.

    Parameters
    ----------
    amount
        Largest deviation from 1, or (least, greatest) factor, at least 0.

    Raises
    ------
    BadSetting
        If the amount is not one number of at least 0, or two numbers in order from 0 to 100.

    Examples
    --------
    >>> import numpy as np, bitesize as bs
    >>> images = bs.open(np.array([200, 100, 0], np.uint8).reshape(1, 1, 1, 3))
    >>> with bs.Loader(images, batch_size=1, memory="16 MiB", transforms=[bs.Brightness((0.5, 0.5))]) as loader:
    ...     next(iter(loader))["x"][0, 0, 0].tolist()
    [100, 50, 0]
    """

    amount: Range = 0.2

    def change(self, view: View, amount: float) -> None:
        """Multiply."""
        brighten(view, amount)


@dataclass(frozen=True, repr=False)
class Contrast(_Amount):
    """Scale all values by one random factor around middle gray: 127.5 for 8-bit images, 0.5 for other types.

    For other types, a loader raises if values are not within about 0 to 1.

    Parameters
    ----------
    amount
        Largest deviation from 1, or (least, greatest) factor, at least 0.

    Raises
    ------
    BadSetting
        If the amount is not one number of at least 0, or two numbers in order from 0 to 100.

    Examples
    --------
    >>> import numpy as np, bitesize as bs
    >>> images = bs.open(np.array([[[[200], [55]]]], np.uint8))
    >>> with bs.Loader(images, batch_size=1, memory="16 MiB", transforms=[bs.Contrast((0.0, 0.0))]) as loader:
    ...     next(iter(loader))["x"][0, 0, :, 0].tolist()
    [128, 128]
    """

    amount: Range = 0.2

    def change(self, view: View, amount: float) -> None:
        """Stretch."""
        stretch(view, amount)


@dataclass(frozen=True, repr=False)
class Saturation(_Mixing, _Amount):
    """Increase or decrease saturation by one random factor; 0 is gray.

    Parameters
    ----------
    amount
        Largest deviation from 1, or (least, greatest) factor, at least 0.

    Raises
    ------
    BadSetting
        If the amount is not one number of at least 0, or two numbers in order from 0 to 100. A loader raises it if rows are not
        images with red, green and blue.

    Examples
    --------
    >>> import numpy as np, bitesize as bs
    >>> images = bs.open(np.array([200, 100, 0], np.uint8).reshape(1, 1, 1, 3))
    >>> with bs.Loader(images, batch_size=1, memory="16 MiB", transforms=[bs.Saturation((0, 0))]) as loader:
    ...     next(iter(loader))["x"][0, 0, 0].tolist()
    [119, 119, 119]
    """

    amount: Range = 0.2

    def change(self, view: View, amount: float) -> None:
        """Mix with gray."""
        saturate(view, amount)


@dataclass(frozen=True, repr=False)
class Hue(_Mixing, _Amount):
    """Rotate colors around the gray axis by a random angle, in the IQ plane of YIQ; brightness is unchanged.

    Parameters
    ----------
    amount
        Largest rotation in either direction, or (least, greatest), as a fraction of the full circle from -0.5 to 0.5.

    Raises
    ------
    BadSetting
        If the amount is not one number of at least 0, or two numbers in order from -0.5 to 0.5. A loader raises it if rows are
        not images with red, green and blue.

    Examples
    --------
    >>> import numpy as np, bitesize as bs
    >>> images = bs.open(np.array([200, 100, 0], np.uint8).reshape(1, 1, 1, 3))
    >>> with bs.Loader(images, batch_size=1, memory="16 MiB", transforms=[bs.Hue((0.5, 0.5))]) as loader:
    ...     next(iter(loader))["x"][0, 0, 0].tolist()
    [37, 137, 237]
    """

    amount: Range = 0.05
    limits: ClassVar[tuple[float, float, float]] = _TURNS

    def change(self, view: View, amount: float) -> None:
        """Turn."""
        turn_hue(view, amount)


@dataclass(frozen=True, repr=False)
class ColorJitter(Transform):
    """Apply `Brightness`, `Contrast`, `Saturation` and `Hue`, in this order; steps with amount 0 are left out.

    Parameters
    ----------
    brightness, contrast, saturation, hue
        The ``amount`` of each step.

    Raises
    ------
    BadSetting
        If an amount is not valid for its step. A loader raises it if saturation or hue is changed and rows are not images with
        red, green and blue.

    Examples
    --------
    >>> import numpy as np, bitesize as bs
    >>> images = bs.open(np.array([200, 100, 0], np.uint8).reshape(1, 1, 1, 3))
    >>> jitter = bs.ColorJitter(brightness=(0.5, 0.5), saturation=(0, 0))
    >>> with bs.Loader(images, batch_size=1, memory="16 MiB", transforms=[jitter]) as loader:
    ...     next(iter(loader))["x"][0, 0, 0].tolist()
    [59, 59, 59]
    """

    brightness: Range = 0.0
    contrast: Range = 0.0
    saturation: Range = 0.0
    hue: Range = 0.0
    whole_pixels: ClassVar[bool] = True
    random_count: ClassVar[int] = 4
    needs_image: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        _ = self._steps  # checked when created

    @cached_property
    def _steps(self) -> list[tuple[Callable[[View, float], None], int, tuple[float, float]]]:
        """Active steps: function, index of the random number, and its range."""
        steps: list[tuple[Callable[[View, float], None], int, tuple[float, float]]] = []
        for i, (name, change) in enumerate(
            (("brightness", brighten), ("contrast", stretch), ("saturation", saturate), ("hue", turn_hue))
        ):
            limits = _TURNS if name == "hue" else _FACTORS
            bounds = range_setting("ColorJitter", name, getattr(self, name), *limits)
            if bounds != (limits[2], limits[2]):
                steps.append((change, i, bounds))
        return steps

    def check(self, channels: int) -> None:
        """Check that channels are colors, if colors are changed."""
        if channels not in (3, 4) and self.needs_colors:
            raise BadSetting(
                f"ColorJitter: saturation and hue need red, green and blue, not {_counted(channels, 'channel')}"
            )

    @property
    def changes_contrast(self) -> bool:
        """Return whether contrast is changed."""
        return any(change is stretch for change, _, _ in self._steps)

    @property
    def needs_colors(self) -> bool:
        """Return whether saturation or hue is changed."""
        return any(change in (saturate, turn_hue) for change, _, _ in self._steps)

    def adjust(self, view: View, u: Sequence[float]) -> None:
        """Compose all four."""
        for change, i, bounds in self._steps:
            change(view, between(u[i], bounds))


@dataclass(frozen=True, repr=False)
class Grayscale(_Mixing):
    """Convert to gray at random; the number of channels is unchanged, and all are equal.

    Parameters
    ----------
    p
        Probability, from 0 to 1.

    Raises
    ------
    BadSetting
        If the probability is not from 0 to 1. A loader raises it if rows are not images with red, green and blue.

    Examples
    --------
    >>> import numpy as np, bitesize as bs
    >>> images = bs.open(np.array([200, 100, 0], np.uint8).reshape(1, 1, 1, 3))
    >>> with bs.Loader(images, batch_size=1, memory="16 MiB", transforms=[bs.Grayscale()]) as loader:
    ...     next(iter(loader))["x"][0, 0, 0].tolist()
    [119, 119, 119]
    """

    p: float = 1.0
    random_count: ClassVar[int] = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        probability_setting("Grayscale", "p", self.p)

    def adjust(self, view: View, u: Sequence[float]) -> None:
        """Mix all channels."""
        if u[0] < self.p:
            saturate(view, 0.0)


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"
