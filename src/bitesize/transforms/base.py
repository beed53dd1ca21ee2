"""Transform: one step of a pipeline."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from bitesize.transforms.view import View

Size = tuple[int, int]  # height, width


@dataclass(frozen=True)
class Transform(ABC):
    """A step that adjusts the View of each row: geometry and colour by arithmetic, no pixels.

    Attributes
    ----------
    draws : int
        How many random numbers in [0, 1) `adjust` is given for a row.
    pictorial : bool
        Whether it needs rows to be images, since it moves pixels or mixes colours; else it changes value by value.
    """

    draws: ClassVar[int] = 0
    pictorial: ClassVar[bool] = False

    @abstractmethod
    def adjust(self, view: View, u: Sequence[float]) -> None:
        """Adjust one row's view.

        Parameters
        ----------
        view
            Changed in place.
        u
            `draws` numbers in [0, 1), keyed by seed, epoch, position and transform.
        """

    def size(self, size: Size | None) -> Size | None:
        """Tell the (height, width) after this step, given that before it; None where rows differ."""
        return size

    def dtype(self, dtype: np.dtype[Any]) -> np.dtype[Any]:
        """Tell the dtype after this step, given that before it."""
        return dtype

    def check(self, channels: int) -> None:
        """Raise `BadSetting` if the step does not fit images of so many channels."""

    def to_dict(self) -> dict[str, Any]:
        """Give the step's name and settings, as JSON can hold them; `from_dict` reads it back."""
        return {"name": type(self).__name__, **dataclasses.asdict(self)}


def from_dict(settings: dict[str, Any]) -> Transform:
    """Make the transform that `Transform.to_dict` described."""
    from bitesize.transforms import image

    rest = dict(settings)
    kind: type[Transform] = getattr(image, rest.pop("name"))
    return kind(**{name: tuple(value) if isinstance(value, list) else value for name, value in rest.items()})
