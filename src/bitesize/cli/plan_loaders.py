"""Open data for `bitesize plan` as training would, without reading more than a few rows, and make its loaders."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from bitesize.memory.sizes import format_size

if TYPE_CHECKING:
    from bitesize.cli.options import Opening
    from bitesize.engine.loader import Loader
    from bitesize.memory.budget import Budget
    from bitesize.memory.limits import Limit
    from bitesize.memory.plan import Plan
    from bitesize.sources.base import Source
    from bitesize.training.need import TrainingLoaders
    from bitesize.training.settings import TrainSettings
    from bitesize.training.tasks.base import Task


class Opened(NamedTuple):
    """Data as for training, its task and warnings; if training would refuse it, the data alone and the reason."""

    train: Source
    val: Source | None = None
    task: Task | None = None
    warnings: Sequence[str] = ()
    said: Sequence[str] = ()
    refusal: str | None = None

    @property
    def outputs(self) -> int | Task:
        """The argument of `build_model`: the task, or the number of classes."""
        return self.task or max(2, len(self.train.classes or ()))


def open_as_training(settings: TrainSettings, opening: Opening) -> Opened:
    """Open the data as for training."""
    from bitesize.errors import BadSetting
    from bitesize.sources.splits import SplitRequired
    from bitesize.training.data import open_data

    if opening.split is not None:
        return Opened(opening.open(settings.data))
    try:
        data = open_data(settings)
    except SplitRequired:
        raise
    except BadSetting as error:
        return Opened(opening.open(settings.data), refusal=str(error))
    return Opened(data.train, data.val, data.task, data.warnings, data.said)


def machine_of(ram: str) -> Limit:
    """Return the memory for data on a machine with ``ram``."""
    from bitesize.memory.limits import Limit
    from bitesize.memory.overhead import measure_overhead
    from bitesize.memory.sizes import parse_size

    nbytes = parse_size(ram)
    return Limit(f"a machine with {format_size(nbytes)}", max(0, nbytes - measure_overhead(0)))


def read_first_row(source: Source, settings: TrainSettings, budget: Budget) -> None:
    """Read one row as in training, to report a damaged first file instead of a plan."""
    import bitesize as bs
    from bitesize.errors import BitesizeError
    from bitesize.training.settings import preparation

    steps = preparation(source, settings.image_size, augment=False)
    try:
        with bs.Loader(
            source.subset([0]), batch_size=1, transforms=steps, memory=budget, threads=1, shuffle=False, dtype="float32"
        ) as loader:
            next(iter(loader))
    except BitesizeError as error:
        error.row = 0  # makes the message name the commands that find damaged files
        raise


def prepare_training(
    settings: TrainSettings, train: Source, val: Source | None, budget: Budget
) -> tuple[TrainSettings, TrainingLoaders, int]:
    """Return the settings, the loaders of a training, and their batch size; raise for data that training would refuse."""
    from bitesize.errors import MissingPackage
    from bitesize.outputs.keras import batches_held
    from bitesize.training.backend import choose_backend
    from bitesize.training.models import choose_image_size
    from bitesize.training.need import TrainingLoaders

    try:
        held = batches_held(choose_backend())
    except MissingPackage:  # then the backend is not known yet
        held = batches_held("")
    settings, _ = choose_image_size(settings, train.spec["x"])
    # Only training measures the normalization of values; the memory does not depend on it.
    loaders = TrainingLoaders(settings, train, val, (), held)
    batch_size = loaders.choose_batch_size(budget)
    loaders.grow_or_refuse(batch_size, budget)
    return settings, loaders, batch_size


def plan_training(loaders: TrainingLoaders, batch_size: int, budget: Budget) -> tuple[Loader, Plan, int]:
    """Create the loader of a training, and return its plan and the smallest budget."""
    from bitesize.training.need import plan_of

    loader, val_loader = loaders.open(batch_size, budget)
    plan = plan_of(loader, val_loader)
    if val_loader is not None:
        val_loader.close()
    return loader, plan, loaders.need(batch_size)


def open_loader(settings: TrainSettings, source: Source, budget: Budget) -> Loader:
    """Create a loader alone, without training."""
    import numpy as np

    import bitesize as bs
    from bitesize.training.settings import preparation

    transforms = preparation(source, settings.image_size, augment=False)
    return bs.Loader(
        source,
        batch_size=settings.batch_size,
        transforms=transforms,
        memory=budget,
        dtype=np.float32,
        cache=settings.caching,
    )
