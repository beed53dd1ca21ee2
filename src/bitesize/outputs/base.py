"""Base of all outputs: iterate over epochs of a loader, with some batches sent to the device in advance."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Any

import numpy as np

from bitesize.batch import Batch
from bitesize.engine.holding import LOOP, Holder
from bitesize.engine.loader import Loader, driver_of
from bitesize.errors import BadSetting, DoesNotFit, MissingPackage, TooManyBadRows
from bitesize.outputs.fields import Fields, names_in
from bitesize.packages import pip_install
from bitesize.sources.value_range import value_range
from bitesize.spec import Field, image_channels
from bitesize.transforms.base import Step, Transform
from bitesize.transforms.map import Map

MASK = "mask"
# Values above the first are not on a scale of 0 to 1; values up to the second are 8-bit values.
_GREATEST_OF_UNIT, _BYTE = 1.5, 255
_log = logging.getLogger("bitesize")


class Epochs(ABC):
    """Iterable of a loader's batches in the format of a framework; a ``for`` loop over it is one epoch.

    The position of the loader is after the last batch that was returned to the user; batches sent in advance do not count.
    So its ``state_dict()``, which is also the ``state_dict()`` of this object, is correct at any time.

    Parameters
    ----------
    loader
        Source of the batches.
    ahead
        Number of batches that are transferred to a device in advance.
    holder
        Description of the framework that holds batches.
    """

    def __init__(self, loader: Loader, ahead: int, holder: Holder = LOOP) -> None:
        self._loader = loader
        self._ahead = ahead
        self._holder = holder

    @property
    def loader(self) -> Loader:
        """Loader of the batches."""
        return self._loader

    def __len__(self) -> int:
        return len(self._loader)

    def __iter__(self) -> Iterator[Any]:
        loader = self._loader
        epoch, position = driver_of(loader).position.begin()
        batches = driver_of(loader).iterate((epoch, position), endless=True, holder=self._holder)
        left = driver_of(loader).batching.batches_from(position)
        sent: deque[tuple[int, Any]] = deque()
        while left or sent:
            while left and len(sent) <= self._ahead:
                batch = next(batches)
                sent.append((batch.position, self._send(batch)))
                del batch
                left -= 1
            place, under_way = sent.popleft()
            driver_of(loader).position.advance(epoch, place)
            yield self._receive(under_way)
            del under_way
        loader.source.check_unchanged()
        if loader.epoch == epoch:
            loader.set_epoch(epoch + 1)

    @abstractmethod
    def _send(self, batch: Batch) -> Any:
        """Start to convert a batch to the format of the framework."""

    def _receive(self, under_way: Any) -> Any:
        """Finish the conversion, and return the batch to the user."""
        return under_way

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch of the next loop; see `Loader.set_epoch`."""
        self._loader.set_epoch(epoch)

    def state_dict(self) -> dict[str, Any]:
        """Return the position after the last batch returned to the user; see `Loader.state_dict`."""
        return self._loader.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue at that position in the next loop."""
        self._loader.load_state_dict(state)


def import_framework(module: str, name: str, *packages: str, more: str = "") -> Any:
    """Import a framework.

    Parameters
    ----------
    module, name
        Name of the module, and of the framework.
    packages
        Packages to install.
    more
        The end of the message, if the framework is missing.

    Raises
    ------
    MissingPackage
        If it is not installed.
    """
    try:
        return import_module(module)
    except ImportError as error:
        raise MissingPackage(f"{name} cannot be imported ({error}): {pip_install(*packages)}{more}") from error


def with_mask(loader: Loader, batch: Batch) -> dict[str, Any]:
    """Return a batch as a plain dict, with its mask if rows may be padding or bad."""
    return {**batch, MASK: batch.mask} if loader.masks else dict(batch)


def check_loader(loader: Any, who: str) -> None:
    """Raise `BadSetting` unless an object is a loader."""
    if not isinstance(loader, Loader):
        raise BadSetting(f"{who} takes a Loader, bs.Loader(source, batch_size=..., memory=...), not {type(loader).__name__}")


def check_mask(loader: Loader) -> None:
    """Raise `BadSetting` if the mask would hide a field."""
    if loader.masks and MASK in loader.spec:
        raise BadSetting(
            f"batches of this loader may have padding or bad rows, which need the mask {MASK!r}, but the source has a field of "
            'that name: use last="drop" and on_error="raise", which need no mask'
        )


def warn_of_unscaled(loader: Loader, inputs: Fields) -> None:
    """Log a warning if a model is about to be trained on floats of 0 to 255, which usually means a missing scale.

    Only for shuffled loaders whose rows are images (height, width, channels) and floats, with transforms that keep their range:
    other loaders validate and predict. Rows that do not fit the budget, or cannot be read, are not in the sample.
    """
    name = loader.source.primary
    stored = loader.source.spec[name]
    if not isinstance(stored, Field) or name not in names_in(inputs) or name not in loader.spec:
        return
    drawn, shuffled = loader.spec[name].dtype, not in_order(loader)
    floats = drawn.kind == "f" or drawn.name == "bfloat16"
    image = len(stored.shape) == 3 and image_channels(stored.shape) is not None and stored.dtype.kind in "iuf"
    if not (floats and image and shuffled) or any(map(_changes_range, loader.transforms)):
        return
    try:
        values = value_range(loader.source, memory=loader.budget)
    except DoesNotFit:  # then the range is unknown
        return
    if values.minimum >= 0 and _GREATEST_OF_UNIT < values.maximum <= _BYTE:
        _log.warning(
            "%s has %s values from %g to %g; models without a scaling layer learn badly from them: "
            "use transforms=[bs.Scale(1 / 255)] to scale them to 0 to 1",
            name, values.dtype, values.minimum, values.maximum
        )  # fmt: skip


def _changes_range(step: Step) -> bool:
    """Return whether a step may change the range of values: a scale, or user code."""
    if not type(step).__module__.startswith("bitesize.") or isinstance(step, Map):
        return True
    return isinstance(step, Transform) and step.dtype_after(np.dtype(np.uint8)) != np.uint8


def in_order(loader: Loader) -> bool:
    """Return whether a loader yields each row once, in the source's order."""
    order = loader.order
    return order.settings() == type(order)(len(loader.source), order.seed, shuffle=False).settings()


def refuse_unless_in_order(loader: Loader, who: str, *, shards: bool = False) -> None:
    """Raise `BadSetting` unless a loader yields each row once, in the source's order, as needed for predictions.

    Parameters
    ----------
    loader
        Source of the batches.
    who
        Name of the predicting function.
    shards
        Whether each rank may predict its own rows.
    """
    order = loader.order
    if not in_order(loader):
        raise BadSetting(
            f"{who} returns one result per row, in the source's order, but this loader has another order: create one with "
            "bs.Loader(source, ..., shuffle=False)"
        )
    if loader.shard.world_size > 1 and not shards:
        raise BadSetting(
            f"{who} needs every row, but this loader has only the rows of rank {loader.shard.rank}: create one without shard="
        )
    rest = order.length % loader.batch_size
    if driver_of(loader).batching.last == "drop" and rest:
        raise BadSetting(
            f'{who} needs every row, but last="drop" leaves out the last {rest} of {order.length}: create a loader with last="short"'
        )


def check_shard(loader: Loader, rank: int, world_size: int, who: str) -> None:
    """Raise `BadSetting` if several processes would each train on all rows."""
    shard = loader.shard
    if (shard.rank, shard.world_size) != (rank, world_size):
        raise BadSetting(
            f"this process is rank {rank} of {world_size} ({who}), but the loader is for rank {shard.rank} of {shard.world_size}: "
            'create it with Loader(..., shard="auto"), which divides each batch among the ranks'
        )


def leave_out(batch: Batch) -> None:
    """Remove masked rows in place, without allocating memory.

    Raises
    ------
    TooManyBadRows
        If no row is left.
    """
    good = batch.mask.nonzero()[0].tolist()
    if not good:
        raise TooManyBadRows(f"no row of the batch at position {batch.position} of epoch {batch.epoch} could be read")
    for name, array in batch.items():
        for to, row in enumerate(good):
            if to != row:
                array[to] = array[row]
        batch[name] = array[: len(good)]
