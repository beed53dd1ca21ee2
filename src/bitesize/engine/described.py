"""Public settings of a loader."""

from __future__ import annotations

from typing import Any, NoReturn

from bitesize.engine.batching import BadRowPolicy, Batching, SkippedRow
from bitesize.engine.ring import copied_fields
from bitesize.errors import BadSetting
from bitesize.memory.budget import Budget
from bitesize.order.order import Order, Shard
from bitesize.pipeline.inference import Layout
from bitesize.pipeline.pipeline import Pipeline
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


class Described:
    """Base of `Loader` with its public settings."""

    source: Source
    budget: Budget
    steps: Batching
    _pipeline: Pipeline
    _policy: BadRowPolicy

    def __len__(self) -> int:
        """Return the number of batches in an epoch."""
        return len(self.steps)

    @property
    def batch_size(self) -> int:
        """Rows in a (global) batch."""
        return self.steps.batch_size

    @property
    def order(self) -> Order:
        """Order of rows in each epoch."""
        return self.steps.order

    @property
    def spec(self) -> dict[str, Field]:
        """Shape of one row, and dtype, for each field of a batch."""
        return dict(self._pipeline.out)

    @property
    def copied(self) -> frozenset[str]:
        """Fields of a batch that own their memory and can be kept: up to 64 bytes per row, except the primary input."""
        return copied_fields(self._pipeline.out, self.source.primary)

    @property
    def transforms(self) -> tuple[Step, ...]:
        """Transforms of each row, in order."""
        return self._pipeline.transforms

    @property
    def layout(self) -> Layout:
        """Position of the channels of images: ``"HWC"`` or ``"CHW"``."""
        return self._pipeline.layout

    @property
    def shard(self) -> Shard:
        """Rank of this process and number of ranks."""
        return self.steps.shard

    @property
    def masks(self) -> bool:
        """Return whether a batch may have rows that are padding or bad, which its ``mask`` marks."""
        return self.steps.last == "pad" or self._policy.skips  # also when shuffled, because every replacement may be bad too

    @property
    def bad(self) -> list[SkippedRow]:
        """Skipped rows so far as (row, path, reason), sorted by row number."""
        return [self._policy.bad[row] for row in sorted(self._policy.bad)]

    def __array__(self, dtype: Any = None, copy: Any = None) -> NoReturn:
        """Raise `BadSetting`. Functions that take arrays, such as ``fit`` of Keras and scikit-learn, would treat a loader as one value."""
        raise NoArray(_NO_ARRAY)

    @property
    def shape(self) -> NoReturn:
        """Raise `BadSetting`, which is also an `AttributeError` here, because Keras reads ``shape`` first."""
        raise NoArray(_NO_ARRAY)

    def __repr__(self) -> str:
        out = f", {self.steps.left_out} rows unused in each epoch" if self.steps.left_out else ""
        return f"Loader({len(self)} batches of {self.batch_size}{out}, {self.source!r}, {self.budget!r})"
