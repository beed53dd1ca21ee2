"""What a loader is: the settings that can be asked for, and rows that sit out."""

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
    "a loader gives batches, and is no array: loop over it, or give bs.to_keras(loader) to Keras, as in model.fit(bs.to_keras(loader)); "
    "for others there are bs.to_torch(loader), bs.to_jax(loader), bs.to_tensorflow(loader), and bs.partial_fit(model, loader) for "
    "scikit-learn"
)


class NoArray(BadSetting, AttributeError):
    """A loader was taken for an array; ``hasattr(loader, "shape")`` is False."""


class Described:
    """The part of a `Loader` that says what it is."""

    source: Source
    budget: Budget
    steps: Batching
    _pipeline: Pipeline
    _policy: BadRowPolicy

    def __len__(self) -> int:
        """Count the batches of an epoch."""
        return len(self.steps)

    @property
    def batch_size(self) -> int:
        """Rows of a (global) batch."""
        return self.steps.batch_size

    @property
    def order(self) -> Order:
        """Which row stands where in each epoch."""
        return self.steps.order

    @property
    def spec(self) -> dict[str, Field]:
        """Shape of one row and dtype of each field of a batch."""
        return dict(self._pipeline.out)

    @property
    def copied(self) -> frozenset[str]:
        """Fields of a batch that come as arrays of their own, and may be kept: up to 64 bytes a row, but for the primary input."""
        return copied_fields(self._pipeline.out, self.source.primary)

    @property
    def transforms(self) -> tuple[Step, ...]:
        """What happens to each row."""
        return self._pipeline.transforms

    @property
    def layout(self) -> Layout:
        """Where the channels of images stand."""
        return self._pipeline.layout

    @property
    def shard(self) -> Shard:
        """What this process has of each batch."""
        return self.steps.shard

    @property
    def masks(self) -> bool:
        """Whether a batch may have rows that are padding or bad: then its ``mask`` must be minded."""
        return self.steps.last == "pad" or self._policy.skips  # also when shuffled: every replacement may be bad, too

    @property
    def bad(self) -> list[SkippedRow]:
        """Rows that were skipped so far: (row, path, reason), by row number."""
        return [self._policy.bad[row] for row in sorted(self._policy.bad)]

    def __array__(self, dtype: Any = None, copy: Any = None) -> NoReturn:
        """Raise `BadSetting`: what takes arrays, such as ``fit`` of Keras and of scikit-learn, would take a loader for one value."""
        raise NoArray(_NO_ARRAY)

    @property
    def shape(self) -> NoReturn:
        """Raise `BadSetting`, which is an `AttributeError` here: Keras asks for it first."""
        raise NoArray(_NO_ARRAY)

    def __repr__(self) -> str:
        out = f", {self.steps.left_out} rows sit out each epoch" if self.steps.left_out else ""
        return f"Loader({len(self)} batches of {self.batch_size}{out}, {self.source!r}, {self.budget!r})"
