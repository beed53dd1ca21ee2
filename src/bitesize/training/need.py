"""What loading for training needs: one computation for `bitesize train` and `bitesize plan`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from bitesize.engine.loader import Loader
from bitesize.errors import DoesNotFit
from bitesize.memory.budget import Budget
from bitesize.memory.plan import Part, Plan
from bitesize.memory.sizes import counted, format_size
from bitesize.sources.base import Source
from bitesize.training.settings import TrainSettings, geometry

_SIZES = (256, 128, 64, 32, 16, 8, 4, 2, 1)  # batch sizes that "auto" and refusals choose from
_UNLIMITED = 1 << 60  # bytes, for asking what a loader would need; nothing of it is touched


class TrainingLoaders:
    """Makes the loaders of a run, and works out beforehand what they need.

    Parameters
    ----------
    settings
        Of the run; ``image_size`` and ``batch_size`` may still be left open.
    train, val
        The data to train on, and to validate on, if there is any.
    scaling
        What happens to pixel values.
    held
        Batches that the framework holds while it asks for the next.
    val_scaling
        What happens to pixel values of the validation data; None for the same.
    """

    def __init__(
        self,
        settings: TrainSettings,
        train: Source,
        val: Source | None,
        scaling: Sequence[Any],
        held: int,
        val_scaling: Sequence[Any] | None = None,
    ) -> None:
        self._settings, self._train, self._val = settings, train, val
        self._scaling, self._held = scaling, held
        self._val_scaling = scaling if val_scaling is None else val_scaling
        self._known: dict[int, tuple[int, int]] = {}

    def need(self, batch_size: int) -> int:
        """Return the least bytes for both loaders."""
        return sum(self._least(batch_size))

    def choose_batch_size(self, budget: Budget) -> int:
        """Return the batch size of the settings; for ``"auto"`` the largest power of two, up to 256, that fits the budget."""
        chosen = self._settings.batch_size
        if chosen != "auto":
            return chosen
        return next((size for size in self._sizes() if self.need(size) <= budget.total), 1)

    def grow_or_refuse(self, batch_size: int, budget: Budget) -> None:
        """Let an automatic budget grow to the need of both loaders.

        Raises
        ------
        DoesNotFit
            If that is not enough, with the need, the room and the options that would make it fit.
        """
        need, beside = self.need(batch_size), " and validation" if self._val is not None else ""
        fits = budget.grow(
            need, f"training{beside} with batches of {counted(batch_size, 'row')} need{'' if beside else 's'} it"
        )
        limit = budget.limit
        if fits and need <= limit.room:
            return
        room = limit.room if fits else budget.most
        smaller = next((size for size in self._sizes() if size < batch_size and self.need(size) <= room), None)
        if fits:
            state, way = (
                f"the budget allows it, but {limit.name} leaves {format_size(room)} to this process",
                "raise that limit",
            )
        else:
            state, way = (
                f"the budget is {format_size(budget.total)}{budget.bound}",
                f"give --memory {format_size(need, ceil=True).replace(' ', '')}",
            )
        ways = f"Lower --batch-size to {smaller} or {way}" if smaller else f"No batch fits: {way}"
        raise DoesNotFit(
            f"Loading for training{beside} needs {format_size(need, ceil=True)} with batches of {counted(batch_size, 'row')}, and {state}. {ways}."
        )

    def open(self, batch_size: int, budget: Budget) -> tuple[Loader, Loader | None]:
        """Make both loaders on one budget, each with room for the batches that the framework holds."""
        # What validation needs is kept free while the first loader chooses how much it sets aside for decoding.
        kept = budget.pool(self._least(batch_size)[1], "validation")
        train = self._make(self._train, batch_size, budget, training=True)
        try:
            kept.close()
            val = None if self._val is None else self._make(self._val, batch_size, budget, training=False)
        except BaseException:
            train.close()
            raise
        return train, val

    def _sizes(self) -> list[int]:
        return [size for size in _SIZES if size <= len(self._train)]

    def _least(self, batch_size: int) -> tuple[int, int]:
        """Return the least bytes that training and validation could do with."""
        if batch_size not in self._known:
            self._known[batch_size] = (
                self._probe(self._train, batch_size, training=True)[0],
                0 if self._val is None else self._probe(self._val, batch_size, training=False)[0],
            )
        return self._known[batch_size]

    def _probe(self, source: Source, batch_size: int, *, training: bool) -> tuple[int, int]:
        """Return the least bytes of a loader, and those of them for the further batches that the framework holds."""
        with self._loader(source, batch_size, Budget(_UNLIMITED), training=training) as loader:
            alone = loader.least
            loader.hold(self._held)
            return loader.least, loader.least - alone

    def _make(self, source: Source, batch_size: int, budget: Budget, *, training: bool) -> Loader:
        held = budget.pool(self._probe(source, batch_size, training=training)[1], "batches that the framework holds")
        loader = self._loader(source, batch_size, budget, training=training)
        held.close()
        loader.hold(self._held)
        return loader

    def _loader(self, source: Source, batch_size: int, budget: Budget, *, training: bool) -> Loader:
        settings = self._settings
        scaling = self._scaling if training else self._val_scaling
        return Loader(
            source,
            batch_size=batch_size,
            transforms=[*geometry(source, settings.image_size, settings.augment and training), *scaling],
            memory=budget,
            shuffle=training,
            seed=settings.seed,
            # A short batch would make JAX compile the training step again; other rows are left out each epoch.
            last="drop" if training and len(source) >= batch_size else "short",
            dtype=np.float32,
            on_error=settings.on_error,
            max_bad=settings.max_bad,
        )


def plan_of(train: Loader, val: Loader | None) -> Plan:
    """Return the plan of a training: that of its loader, with the one for validation as a part of it."""
    if val is None:
        return train.plan
    beside = val.plan
    part = Part("validation", beside.total, f"a second loader, for {counted(beside.rows, 'row')}")
    return replace(train.plan, parts=(*train.plan.parts, part))
