"""Standardize rows of features to mean 0 and deviation 1, column by column."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitesize.engine.loader import Loader, driver_of
from bitesize.errors import BadFile, BadSetting
from bitesize.memory.budget import Budget
from bitesize.outputs.finite import find_odd
from bitesize.sources.base import Source
from bitesize.spec import Field
from bitesize.training.finite_rows import WAYS
from bitesize.transforms.map import Map

# Number of rows to read at a time for measuring.
_ROWS = 256


class Standardize(Map):
    """Subtract a mean and divide by a deviation for each feature of a row.

    Parameters
    ----------
    mean, std
        One number per feature; deviations are above 0.

    Raises
    ------
    BadSetting
        If the numbers of means and deviations differ, or a deviation is not above 0.

    Examples
    --------
    >>> import numpy as np, bitesize as bs
    >>> rows = bs.open(np.array([[1.0, 10.0], [3.0, 30.0]]))
    >>> steps = [Standardize((2.0, 20.0), (1.0, 10.0))]
    >>> with bs.Loader(rows, batch_size=2, shuffle=False, memory="8 MiB", transforms=steps) as loader:
    ...     next(iter(loader))["x"].tolist()
    [[-1.0, -1.0], [1.0, 1.0]]
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        if len(mean) != len(std) or not len(mean) or not min(std) > 0:
            raise BadSetting("Standardize needs one mean and one deviation above 0 for every feature")
        object.__setattr__(self, "mean", tuple(map(float, mean)))
        object.__setattr__(self, "std", tuple(map(float, std)))
        super().__init__(_standardizer(self.mean, self.std), batch=True, output=Field((len(mean),), np.dtype(np.float32)))

    def to_dict(self) -> dict[str, Any]:
        """Return name and settings as a dict for JSON."""
        return {"name": "Standardize", "mean": list(self.mean), "std": list(self.std)}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Standardize) and (self.mean, self.std) == (other.mean, other.std)

    def __hash__(self) -> int:
        return hash((self.mean, self.std))

    def __repr__(self) -> str:
        return f"Standardize({len(self.mean)} means, {len(self.std)} deviations)"


def _standardizer(mean: Sequence[float], std: Sequence[float]) -> Any:
    """Return the function that standardizes a batch."""
    center, factor = np.asarray(mean), 1 / np.asarray(std)

    def standardize(x: NDArray[Any]) -> NDArray[Any]:
        return np.asarray((x - center) * factor, np.float32)

    return standardize


def measure_features(source: Source, budget: Budget, on_error: Any = "raise", max_bad: float = 0.01) -> Standardize:
    """Measure mean and deviation of every feature in one pass over rows of shape (features,).

    Raises
    ------
    BadFile
        If a value is NaN or infinite: the loss would become NaN, too.
    """
    (features,) = source.spec["x"].shape  # type: ignore[union-attr]
    count, mean, squares = 0, np.zeros(features), np.zeros(features)
    with Loader(
        source, batch_size=_ROWS, shuffle=False, memory=budget, dtype=np.float64, on_error=on_error, max_bad=max_bad
    ) as loader:
        for batch in loader:
            rows = batch["x"][batch.mask]
            if not len(rows):
                continue
            odd = ~np.isfinite(rows).all(axis=0)
            if odd.any():
                where = find_odd(source, budget)
                raise BadFile(f"{_named(source, odd)} NaN or infinite values: {where}. {WAYS}")
            # Chan's formula to combine two means: stable, and in one pass.
            step, apart = len(rows), rows.mean(axis=0) - mean
            squares += ((rows - rows.mean(axis=0)) ** 2).sum(axis=0) + apart**2 * count * step / (count + step)
            mean += apart * step / (count + step)
            count += step
    std = np.sqrt(squares / max(count, 1))
    return Standardize(mean.tolist(), np.where(std > 0, std, 1.0).tolist())


def features_nbytes(source: Source) -> int:
    """Return the least bytes that `measure_features` needs."""
    with Loader(source, batch_size=_ROWS, shuffle=False, memory=1 << 60, dtype=np.float64) as loader:
        return driver_of(loader).least


def _named(source: Source, odd: NDArray[np.bool_]) -> str:
    names = source.feature_names
    numbers = np.flatnonzero(odd).tolist()
    shown = ", ".join(names[i] if names else str(i) for i in numbers[:10])
    one = len(numbers) == 1
    if names:
        return f"the column {shown} has" if one else f"the columns {shown} have"
    return f"feature {shown} of the rows has" if one else f"the features {shown} of the rows have"
