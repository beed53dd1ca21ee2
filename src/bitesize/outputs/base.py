"""What outputs have in common: epochs of a loader, batch by batch, some of them sent ahead."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import numpy as np

from bitesize.batch import Batch
from bitesize.engine.holding import LOOP, Holder
from bitesize.engine.loader import Loader
from bitesize.errors import BadSetting, DoesNotFit, TooManyBadRows
from bitesize.sources.value_range import value_range
from bitesize.spec import Field, image_channels
from bitesize.transforms.base import Step, Transform
from bitesize.transforms.map import Map

MASK = "mask"
# Names of fields: one, several, or several by the names that a model has for them.
Fields = str | Sequence[str] | Mapping[str, str]
# Values beyond the first are on no scale of 0 to 1, and values up to the second are those of 8 bits.
_GREATEST_OF_UNIT, _BYTE = 1.5, 255
_log = logging.getLogger("bitesize")


class Epochs(ABC):
    """A loader as an iterable of what a framework takes; a ``for`` loop over it is one epoch.

    The place of the loader is that behind the last batch which was handed to the user, whatever was sent ahead: so its
    ``state_dict()``, and that of this object, which is the same, are right at any time.

    Parameters
    ----------
    loader
        Where batches come from.
    ahead
        Batches that are under way to a device while the user has another.
    holder
        What is known of the framework that holds batches.
    """

    def __init__(self, loader: Loader, ahead: int, holder: Holder = LOOP) -> None:
        self._loader = loader
        self._ahead = ahead
        self._holder = holder

    @property
    def loader(self) -> Loader:
        """Where the batches come from."""
        return self._loader

    def __len__(self) -> int:
        return len(self._loader)

    def __iter__(self) -> Iterator[Any]:
        loader = self._loader
        epoch, position = loader.begin()
        batches = loader.iterate((epoch, position), endless=True, holder=self._holder)
        left = loader.steps.batches_from(position)
        sent: deque[tuple[int, Any]] = deque()
        while left or sent:
            while left and len(sent) <= self._ahead:
                batch = next(batches)
                sent.append((batch.position, self._send(batch)))
                del batch
                left -= 1
            place, under_way = sent.popleft()
            loader.took(epoch, place)
            yield self._receive(under_way)
            del under_way
        loader.source.check_unchanged()
        if loader.epoch == epoch:
            loader.set_epoch(epoch + 1)

    @abstractmethod
    def _send(self, batch: Batch) -> Any:
        """Begin to turn a batch into what the framework takes."""

    def _receive(self, under_way: Any) -> Any:
        """Hand it to the user."""
        return under_way

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch that the next loop is; see `Loader.set_epoch`."""
        self._loader.set_epoch(epoch)

    def state_dict(self) -> dict[str, Any]:
        """Tell the place behind the last batch that the user was given; see `Loader.state_dict`."""
        return self._loader.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on at that place with the next loop."""
        self._loader.load_state_dict(state)


def with_mask(loader: Loader, batch: Batch) -> dict[str, Any]:
    """Give a batch as a plain dict, with its mask where rows may be no rows."""
    return {**batch, MASK: batch.mask} if loader.masks else dict(batch)


def check_loader(loader: Any, who: str) -> None:
    """Raise `BadSetting` for what is no loader."""
    if not isinstance(loader, Loader):
        raise BadSetting(
            f"{who} takes a Loader, bs.Loader(source, batch_size=..., memory=...), and was given {type(loader).__name__}"
        )


def check_mask(loader: Loader) -> None:
    """Raise `BadSetting` where the mask would hide a field."""
    if loader.masks and MASK in loader.spec:
        raise BadSetting(
            f"batches of this loader may have rows that are padding or bad, which {MASK!r} tells, and the source has a field of "
            'that name: with last="drop" and on_error="raise" there is no mask'
        )


def pick(batch: Mapping[str, Any], names: Fields) -> Any:
    """Return one field, or several as what names them: a list, a tuple, or a dict of the same keys."""
    if isinstance(names, str):
        return batch[names]
    if isinstance(names, Mapping):
        return {key: batch[name] for key, name in names.items()}
    picked = [batch[name] for name in names]
    return picked if isinstance(names, list) else tuple(picked)


def names_in(fields: Fields | None) -> list[str]:
    """List the fields that are named.

    Raises
    ------
    BadSetting
        If they are named by something else.
    """
    if fields is None or isinstance(fields, str):
        return [] if fields is None else [fields]
    names = [*fields.values()] if isinstance(fields, Mapping) else [*fields] if isinstance(fields, Sequence) else [None]
    if not all(isinstance(name, str) for name in names):
        raise BadSetting(f"fields are named by text, a list of it or a dict, not by {fields!r:.100}")
    return names


def as_tuples(fields: Fields) -> Fields:
    """Return a list of names as a tuple: ``tf.data`` stacks lists of tensors."""
    return tuple(fields) if isinstance(fields, list) else fields


def chosen_fields(
    loader: Loader, inputs: Fields | None, targets: Fields | Literal[False] | None
) -> tuple[Fields, Fields | None]:  # fmt: skip
    """Return the fields that are inputs and targets: those that are named, or the main one and the labels.

    Raises
    ------
    BadSetting
        If the loader has no such field.
    """
    chosen = primary_input(loader) if inputs is None else inputs
    label = label_of(loader)
    if targets is None and label not in names_in(chosen):
        targets = label
    wanted = None if targets is False else targets
    check_fields(loader, chosen, wanted)
    return chosen, wanted


def primary_input(loader: Loader) -> str:
    """Return the field that is the input where none is named.

    Raises
    ------
    BadSetting
        If it is one number, and there are others like it: a model would learn from the first alone.
    """
    source = loader.source
    primary, label = source.primary, source.label_name
    numbers = [
        name
        for name, what in source.spec.items()
        if isinstance(what, Field) and not what.shape and name not in (label, source.weight_name)
    ]
    if primary in numbers and len(numbers) > 1:
        raise BadSetting(
            f"several fields of one number ({', '.join(numbers[:10])}): name those that are inputs with inputs=, or open the data without "
            "fields=, which makes them one row of features"
        )
    return primary


def chosen_weights(
    loader: Loader, inputs: Fields, targets: Fields | None, weights: str | Literal[False] | None, who: str
) -> str | None:
    """Return the field of sample weights: that which is named, or that of the data, which is said; False leaves weights out.

    Raises
    ------
    BadSetting
        If the loader has no such field, or there is no loss to weigh.
    """
    if weights is False:
        return None
    if weights is None:
        name = loader.source.weight_name
        if (
            name is None
            or name not in loader.spec
            or not names_in(targets)
            or name in (*names_in(inputs), *names_in(targets))
        ):
            return None
        _log.info("%s: the field %r weighs each row in the loss (weights=False leaves it out)", who, name)
        return name
    if not isinstance(weights, str):
        raise BadSetting(f"weights must be the name of a field, or False, not {weights!r:.100}")
    check_fields(loader, weights)
    if not names_in(targets):
        raise BadSetting(f"weights={weights!r} weigh a loss, which needs targets")
    return weights


def warn_of_unscaled(loader: Loader, inputs: Fields) -> None:
    """Log a warning where a model is about to be trained on floats of 0 to 255: a scale was forgotten.

    Only where rows of images (height, width, channels) come out as floats, by steps that keep their range, and are shuffled: other
    loaders validate and predict. Rows that do not fit the budget, or cannot be read, are left out of the sample.
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
        found = value_range(loader.source, memory=loader.budget)
    except DoesNotFit:  # nothing is known then
        return
    if found.minimum >= 0 and _GREATEST_OF_UNIT < found.maximum <= _BYTE:
        _log.warning(
            "%s holds %s values from %g to %g, which models without a layer that scales them learn badly from: "
            "transforms=[bs.Scale(1 / 255)] brings them to 0 to 1",
            name, found.dtype, found.minimum, found.maximum
        )  # fmt: skip


def _changes_range(step: Step) -> bool:
    """Whether values may lie in another range after a step: a scale, or whatever a user's own code makes of them."""
    if not type(step).__module__.startswith("bitesize.") or isinstance(step, Map):
        return True
    return isinstance(step, Transform) and step.dtype_after(np.dtype(np.uint8)) != np.uint8


def label_of(loader: Loader) -> str | None:
    """Name the field of a batch that has the labels, or None."""
    label = loader.source.label_name
    return label if label in loader.spec and label != loader.source.primary else None


def check_fields(loader: Loader, *groups: Fields | None) -> None:
    """Raise `BadSetting` for a name that the loader has no field of."""
    for group in groups:
        for name in names_in(group):
            if name not in loader.spec:
                raise BadSetting(f"the loader has no field {name!r}: it has {', '.join(loader.spec)}")


def in_order(loader: Loader) -> bool:
    """Whether a loader takes each row once, in the source's order."""
    order = loader.order
    return order.settings() == type(order)(len(loader.source), order.seed, shuffle=False).settings()


def refuse_unless_in_order(loader: Loader, who: str, *, shards: bool = False) -> None:
    """Raise `BadSetting` unless a loader gives each row once, in the source's order, as one prediction a row needs it.

    Parameters
    ----------
    loader
        Where batches come from.
    who
        What predicts.
    shards
        Whether each rank may predict for its own rows.
    """
    order = loader.order
    if not in_order(loader):
        raise BadSetting(
            f"{who} gives one result a row, in the source's order, and this loader has another order: make one for it with "
            "bs.Loader(source, ..., shuffle=False)"
        )
    if loader.shard.world_size > 1 and not shards:
        raise BadSetting(
            f"{who} needs every row, and this loader has those of rank {loader.shard.rank}: make one without shard="
        )
    rest = order.length % loader.batch_size
    if loader.steps.last == "drop" and rest:
        raise BadSetting(
            f'{who} needs every row, and last="drop" leaves out the last {rest} of {order.length}: make a loader with last="short"'
        )


def check_shard(loader: Loader, rank: int, world_size: int, who: str) -> None:
    """Raise `BadSetting` where several processes would each train on all rows."""
    shard = loader.shard
    if (shard.rank, shard.world_size) != (rank, world_size):
        raise BadSetting(
            f"this process is rank {rank} of {world_size} ({who}), and the loader is of rank {shard.rank} of {shard.world_size}: "
            'make it with Loader(..., shard="auto"), so that each batch is cut among the ranks'
        )


def leave_out(batch: Batch) -> None:
    """Leave out masked rows, moving the others together in place: no memory is taken.

    Raises
    ------
    TooManyBadRows
        If none is left.
    """
    good = batch.mask.nonzero()[0].tolist()
    if not good:
        raise TooManyBadRows(f"no row of the batch at position {batch.position} of epoch {batch.epoch} could be read")
    for name, array in batch.items():
        for to, row in enumerate(good):
            if to != row:
                array[to] = array[row]
        batch[name] = array[: len(good)]
