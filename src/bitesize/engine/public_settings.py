"""Public settings of a loader."""

from __future__ import annotations

from typing import Any, NoReturn

from bitesize.engine.bad_rows import SkippedRow
from bitesize.engine.driver import LoaderDriver
from bitesize.engine.loader_html import loader_html
from bitesize.engine.stats import Stats
from bitesize.errors import BadSetting
from bitesize.memory.budget import Budget
from bitesize.order.order import Order, Shard
from bitesize.pipeline.inference import Layout
from bitesize.sources.base import Source
from bitesize.spec import Field
from bitesize.transforms.base import Step

_NO_ARRAY = (
    "a loader yields batches and is not an array: loop over it, or pass bs.to_keras(loader) to Keras, as in "
    "model.fit(bs.to_keras(loader)). For other frameworks, use bs.to_torch(loader), bs.to_jax(loader), bs.to_tensorflow(loader), "
    "or bs.sklearn.partial_fit(model, loader) for scikit-learn"
)


class NoArray(BadSetting, AttributeError):
    """A loader was used as an array. Also an `AttributeError`, so that ``hasattr(loader, "shape")`` is False."""


class PublicSettings:
    """Base of `Loader` with its public settings."""

    _driver: LoaderDriver

    def __len__(self) -> int:
        """Return the number of batches in an epoch."""
        return len(self._driver.batching)

    @property
    def source(self) -> Source:
        """Source of the rows."""
        return self._driver.source

    @property
    def budget(self) -> Budget:
        """Budget of all memory of the loader."""
        return self._driver.budget

    @property
    def stats(self) -> Stats:
        """Figures of the speed of the loader and its caller."""
        return self._driver.stats

    @property
    def threads(self) -> int:
        """Number of threads that read and decode, including those in reserve."""
        return self._driver.threads

    @property
    def batch_size(self) -> int:
        """Rows in a (global) batch."""
        return self._driver.batching.batch_size

    @property
    def order(self) -> Order:
        """Order of rows in each epoch."""
        return self._driver.batching.order

    @property
    def spec(self) -> dict[str, Field]:
        """Shape of one row, and dtype, for each field of a batch."""
        return dict(self._driver.spec)

    @property
    def transforms(self) -> tuple[Step, ...]:
        """Transforms of each row, in order."""
        return self._driver.pipeline.transforms

    @property
    def layout(self) -> Layout:
        """Position of the channels of images: ``"HWC"`` or ``"CHW"``."""
        return self._driver.pipeline.layout

    @property
    def shard(self) -> Shard:
        """Rank of this process and number of ranks."""
        return self._driver.batching.shard

    @property
    def masks(self) -> bool:
        """Return whether a batch may have rows that are padding or bad, which its ``mask`` marks."""
        # Also when shuffled, because every replacement may be bad too.
        return self._driver.batching.last == "pad" or self._driver.bad_rows.skips

    @property
    def bad(self) -> list[SkippedRow]:
        """Skipped rows so far as (row, path, reason), sorted by row number."""
        skipped = self._driver.bad_rows.bad
        return [skipped[row] for row in sorted(skipped)]

    def __array__(self, dtype: Any = None, copy: Any = None) -> NoReturn:
        """Raise `BadSetting`. Functions that take arrays, such as ``fit`` of Keras and scikit-learn, would treat a loader as one value."""
        raise NoArray(_NO_ARRAY)

    @property
    def shape(self) -> NoReturn:
        """Raise `BadSetting`, which is also an `AttributeError` here, because Keras reads ``shape`` first."""
        raise NoArray(_NO_ARRAY)

    def _repr_html_(self) -> str:
        """Return the source in short, the settings, the position and the plan, for notebooks."""
        return loader_html(self._driver, len(self))

    def __repr__(self) -> str:
        left_out = self._driver.batching.left_out
        unused = f", {left_out} rows unused in each epoch" if left_out else ""
        return f"Loader({len(self)} batches of {self.batch_size}{unused}, {self.source!r}, {self.budget!r})"
