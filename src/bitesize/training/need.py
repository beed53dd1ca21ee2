"""Compute the memory of loading for training, for both `bitesize train` and `bitesize plan`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np

from bitesize.engine.batching import Last
from bitesize.engine.loader import Loader, driver_of
from bitesize.engine.memory_plan import POOL_LEAST
from bitesize.errors import DoesNotFit
from bitesize.memory.budget import Budget
from bitesize.memory.plan import Plan
from bitesize.memory.request import MemoryRequest
from bitesize.memory.sizes import counted, format_size
from bitesize.order.order import Shard
from bitesize.scan.percentiles import percentiles_nbytes
from bitesize.scan.statistics import statistics_nbytes
from bitesize.sources.base import Source
from bitesize.sources.decoding_need import DecodingNeed, decoding_need
from bitesize.sources.value_range import sample_nbytes
from bitesize.spec import Encoded
from bitesize.training.normalize_setting import measures_all
from bitesize.training.settings import TrainSettings, geometry
from bitesize.training.standardize import features_nbytes
from bitesize.training.user_model import is_file

_SIZES = (256, 128, 64, 32, 16, 8, 4, 2, 1)  # batch sizes that "auto" and error messages choose from
_UNLIMITED = 1 << 60  # bytes, to compute the need of a loader; this memory is never allocated
# Number of images whose headers are read: those in the sample for measuring.
_SAMPLE = 64
# With this much memory left, images of 85 megapixels can be decoded, and no header is read.
_AMPLE = 512 << 20
# A larger budget has a few more idle threads, which use a part of it, too.
_MARGIN = 24
# If no batch fits, the error message also suggests this fraction of the batch size.
_SMALLER = 8
ONE_RANK = Shard()


class TrainingLoaders:
    """Factory of a run's loaders, which also computes their memory in advance.

    Parameters
    ----------
    settings
        Settings of the run; ``image_size`` and ``batch_size`` may not be chosen yet.
    train, val
        Training data, and validation data or None.
    scaling
        Scaling of values.
    held
        Number of batches that the framework holds while it requests the next one.
    val_scaling
        Scaling of values of the validation data; None for the same scaling.
    shard
        Rank of this process among those that train together.
    """

    def __init__(
        self,
        settings: TrainSettings,
        train: Source,
        val: Source | None,
        scaling: Sequence[Any],
        held: int,
        val_scaling: Sequence[Any] | None = None,
        shard: Shard = ONE_RANK,
    ) -> None:
        self._settings, self._train, self._val = settings, train, val
        self._scaling, self._held = scaling, held
        self._val_scaling = scaling if val_scaling is None else val_scaling
        self._shard = shard
        self._known: dict[int, tuple[int, int]] = {}

    def need(self, batch_size: int, room: int | None = None) -> int:
        """Return the least bytes for measuring values, and then for both loaders.

        Parameters
        ----------
        batch_size
            Rows of a batch.
        room
            Available bytes: if they are ample, no image headers are read. None: always read headers.
        """
        loading = sum(self._least(batch_size))
        if room is not None and loading + _AMPLE <= room:
            return loading
        # For both loaders, even if images are large in only one source: the other reserves the same.
        more = len(self._decoding) * max((max(0, need.small - POOL_LEAST) for need in self._decoding), default=0)
        more += (loading + more) // _MARGIN if more else 0
        return max(loading + more, self._measuring[0])

    @contextmanager
    def measuring(self, batch_size: int, budget: Budget) -> Iterator[None]:
        """Raise errors of measuring values with the budget that is enough for the whole training."""
        try:
            yield
        except DoesNotFit as error:
            enough = max(self.need(batch_size), self._measuring[1], error.enough)
            raise DoesNotFit(
                f"Measuring the values of a sample of rows needs {format_size(max(self._measuring[1], error.enough), ceil=True)}, and the "
                f"budget is {format_size(budget.total)}{budget.bound}. Give --memory {_option(enough)}."
            ) from error

    def choose_batch_size(self, budget: Budget) -> int:
        """Return the batch size of the settings; for ``"auto"`` the largest power of two, up to 256, that fits the budget."""
        chosen = self._settings.batch_size
        if chosen != "auto":
            return chosen
        return next((size for size in self._sizes() if self.need(size, budget.total) <= budget.total), 1)

    def grow_or_refuse(self, batch_size: int, budget: Budget) -> None:
        """Increase an automatic budget to the need of both loaders.

        Raises
        ------
        DoesNotFit
            If that is not possible; the message has the need, the available memory and the options that make it fit.
        """
        need, beside = self.need(batch_size, budget.most), " and validation" if self._val is not None else ""
        fits = budget.grow(
            need, f"training{beside} with batches of {counted(batch_size, 'row')} need{'' if beside else 's'} it"
        )
        limit = budget.limit
        if fits and need <= limit.room:
            return
        room = limit.room if fits else budget.most
        smaller = next((size for size in self._sizes() if size < batch_size and self.need(size, room) <= room), None)
        if fits:
            state, way = (
                f"the budget allows it, but {limit.name} leaves {format_size(room)} to this process",
                "raise that limit",
            )
        else:
            need = self._enough(batch_size)
            state, way = (
                f"the budget is {format_size(budget.total)}{budget.bound}",
                f"give --memory {_option(need)}",
            )
        ways = f"Lower --batch-size to {smaller} or {way}" if smaller else f"No batch fits: {way}"
        if (
            not smaller
            and not fits
            and (less := _option(self._enough(few := max(1, batch_size // _SMALLER)))) != _option(need)
        ):
            ways += f", or {less} with --batch-size {few}"
        raise DoesNotFit(
            f"Loading for training{beside} needs {format_size(need, ceil=True)} with batches of {counted(batch_size, 'row')}, and {state}. {ways}."
        )

    def open(self, batch_size: int, budget: Budget) -> tuple[Loader, Loader | None]:
        """Create both loaders on one budget, each with slots for the batches that the framework holds."""
        # The need of validation is kept free while the first loader chooses its reserve for decoding.
        kept = budget.pool(self._least(batch_size)[1], "validation")
        train = self._make(self._train, batch_size, budget, training=True)
        try:
            kept.close()
            val = None if self._val is None else self._make(self._val, batch_size, budget, training=False)
        except BaseException:
            train.close()
            raise
        return train, val

    def _enough(self, batch_size: int) -> int:
        """Return the advised budget: the need, plus the largest need of measuring, which depends on the model."""
        return max(self.need(batch_size), self._measuring[1])

    @cached_property
    def _decoding(self) -> list[DecodingNeed]:
        """Yield the memory of decoding for each source with images."""
        sources = [self._train] if self._val is None else [self._train, self._val]
        return [decoding_need(each, _SAMPLE) for each in sources if isinstance(each.spec["x"], Encoded)]

    @cached_property
    def _measuring(self) -> tuple[int, int]:
        """Minimum and maximum bytes of measuring values, depending on the model."""
        settings, what = self._settings, self._train.spec["x"]
        counts = percentiles_nbytes(self._train) if measures_all(settings.normalize) and what.dtype.kind in "biuf" else 0
        if isinstance(what, Encoded):
            whole = max(need.whole for need in self._decoding) + counts
            certain = (
                settings.normalize == "data"
                or counts > 0
                or what.dtype != np.uint8
                or (settings.normalize, settings.model) == ("model", "mlp")
            )
            return (whole if certain else 0), (whole if certain or is_file(settings.model) else 0)
        if what.dtype.kind not in "biuf":
            return 0, 0
        by_column = len(what.shape) == 1 and settings.normalize in ("model", "data")
        nbytes = max(sample_nbytes(self._train), counts or statistics_nbytes(self._train))
        return nbytes, max(nbytes, features_nbytes(self._train) if by_column else 0)

    def _sizes(self) -> list[int]:
        return [size for size in _SIZES if size <= len(self._train)]

    def _least(self, batch_size: int) -> tuple[int, int]:
        """Return the least bytes for training and validation."""
        if batch_size not in self._known:
            self._known[batch_size] = (
                self._probe(self._train, batch_size, training=True)[0],
                0 if self._val is None else self._probe(self._val, batch_size, training=False)[0],
            )
        return self._known[batch_size]

    def _probe(self, source: Source, batch_size: int, *, training: bool) -> tuple[int, int]:
        """Return the least bytes of a loader, and the part of them for batches held by the framework."""
        with self._loader(source, batch_size, Budget(_UNLIMITED), training=training) as loader:
            driver = driver_of(loader)
            alone = driver.least
            driver.hold(self._held)
            return driver.least, driver.least - alone

    def _make(self, source: Source, batch_size: int, budget: Budget, *, training: bool) -> Loader:
        held = budget.pool(self._probe(source, batch_size, training=training)[1], "batches that the framework holds")
        loader = self._loader(source, batch_size, budget, training=training)
        held.close()
        driver_of(loader).hold(self._held)
        return loader

    def _loader(self, source: Source, batch_size: int, budget: Budget, *, training: bool) -> Loader:
        settings = self._settings
        scaling = self._scaling if training else self._val_scaling
        rest: Last = (
            "short" if self._shard.world_size == 1 else "pad"
        )  # on several ranks, padding counts in neither loss nor metrics
        return Loader(
            source,
            batch_size=batch_size,
            transforms=[*geometry(source, settings.image_size, settings.augment and training), *scaling],
            memory=budget,
            shuffle=training,
            seed=settings.seed,
            # A short batch would make JAX compile the training step again; different rows are left out in each epoch.
            last="drop" if training and len(source) >= batch_size else rest,
            shard=self._shard,
            dtype=np.float32,
            on_error=settings.on_error,
            max_bad=settings.max_bad,
            cache=settings.caching,
        )


def _option(nbytes: int) -> str:
    """Format bytes for the option --memory."""
    return format_size(nbytes, ceil=True).replace(" ", "")


def plan_of(train: Loader, val: Loader | None) -> Plan:
    """Return the plan of a training: the plan of its loader, which includes the loader of validation."""
    if val is None:
        return train.plan
    beside = val.plan
    part = MemoryRequest("validation", beside.total, "loader", f"a second loader, for {counted(beside.rows, 'row')}")
    plan = train.plan
    cached = tuple(f"Validation: {hint}" for hint in beside.hints if beside.cache is not None and hint.startswith("Cache"))
    return replace(plan, parts=(*plan.parts, part), hints=(*plan.hints, *cached))
