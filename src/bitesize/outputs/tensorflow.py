"""Convert a loader to a ``tf.data.Dataset``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from bitesize.engine.holding import PENDING_PATIENCE, Holder
from bitesize.engine.loader import Loader, driver_of
from bitesize.errors import BadSetting
from bitesize.outputs.base import (
    Epochs,
    check_loader,
    import_framework,
    leave_out,
)
from bitesize.outputs.fields import (
    Fields,
    as_tuples,
    chosen_fields,
    chosen_weights,
    pick,
)
from bitesize.outputs.tensorflow_calls import Waiting

if TYPE_CHECKING:
    from bitesize.batch import Batch

# Batches that TensorFlow has while it asks for the next: tensors look at the loader's memory where they can.
_HELD = 3
_ADVICE = (
    "Keep tf.raw_ops.DeepCopy(x=x) of what you need (tf.identity copies nothing), before .cache() or .shuffle() by "
    ".map(lambda x, y: (tf.raw_ops.DeepCopy(x=x), y)), or let go of earlier batches"
)


def to_tensorflow(
    loader: Loader,
    *,
    inputs: Fields | None = None,
    targets: Fields | Literal[False] | None = None,
    weights: str | Literal[False] | None = None,
) -> Any:
    """Return a ``tf.data.Dataset`` of whole batches, for example for ``fit`` of Keras.

    Each iteration is one epoch of the loader. The dataset does not prefetch; the loader does, within its budget, and
    ``loader.state_dict()`` is the position after the last batch taken from the dataset.

    Parameters
    ----------
    loader
        Source of the batches.
    inputs, targets
        Names of the fields; several as a list, or as ``{name in the model: field}``. Default: ``"x"`` and ``"y"``, or, for data
        with other field names, `Source.primary` and the labels, if any. ``targets=False`` leaves out labels.
    weights
        Name of a field with the weight of each row in loss and weighted metrics. Default: `Source.weight_name`. False for no
        weights.

    Returns
    -------
    tf.data.Dataset
        Dataset of ``x``, ``(x, y)`` or ``(x, y, weights)``, with its number of batches. Padding rows and rows that could not be
        read are removed from their batch. ``predict`` of Keras returns results in the loader's order: create the loader with
        ``shuffle=False`` for it; this is not checked.

    Raises
    ------
    MissingPackage
        If TensorFlow is not installed.
    BadSetting
        If the source does not have a field, or TensorFlow does not support its dtype.
    DoesNotFit
        If the batches that TensorFlow holds do not fit the loader's budget.

    Examples
    --------
    >>> import numpy as np, bitesize as bs
    >>> with bs.Loader(bs.open(np.ones((8, 3), np.float32)), batch_size=4, memory="16 MiB") as loader:
    ...     [tuple(x.shape) for x in bs.to_tensorflow(loader)]
    [(4, 3), (4, 3)]
    """
    tf = import_framework("tensorflow", "TensorFlow", "tensorflow")
    check_loader(loader, "to_tensorflow")
    driver_of(loader).batching.refuse_empty_shares("TensorFlow")
    inputs, targets = chosen_fields(loader, inputs, targets)
    weights = chosen_weights(loader, inputs, targets, weights, "to_tensorflow")
    fields = [as_tuples(name) for name in (inputs, targets, weights) if name is not None]
    driver_of(loader).hold(_HELD)
    signature = _picked(_specs(loader, tf), fields)
    dataset = tf.data.Dataset.from_generator(_Batches(loader, fields).epoch, output_signature=signature)
    options = tf.data.Options()
    options.autotune.enabled = False
    options.threading.private_threadpool_size = 1
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
    return dataset.apply(tf.data.experimental.assert_cardinality(len(loader))).with_options(options)


def _specs(loader: Loader, tf: Any) -> dict[str, Any]:
    """Return the shape and the dtype of each field of a batch, for TensorFlow."""
    rows = None if loader.masks or loader.order.length % loader.batch_size else driver_of(loader).batching.rows_of_rank
    if driver_of(loader).batching.last == "drop" and not loader.masks:
        rows = driver_of(loader).batching.rows_of_rank
    try:
        return {name: tf.TensorSpec((rows, *field.shape), tf.as_dtype(field.dtype)) for name, field in loader.spec.items()}
    except TypeError as error:
        raise BadSetting(f"TensorFlow does not support this dtype: {error}") from error


class _Batches(Epochs):
    """The batches that TensorFlow's generator yields."""

    def __init__(self, loader: Loader, fields: Sequence[Fields]) -> None:
        super().__init__(loader, 0, Holder(_ADVICE, PENDING_PATIENCE, Waiting(loader)))
        self._fields = fields

    def epoch(self) -> Iterator[Any]:
        """Begin an epoch."""
        return iter(self)

    def _send(self, batch: Batch) -> Any:
        if self._loader.masks and not batch.mask.all():
            leave_out(batch)
        return _picked(batch, self._fields)


def _picked(batch: Mapping[str, Any], fields: Sequence[Fields]) -> Any:
    """Return one field alone, and several as a tuple."""
    picked = tuple(pick(batch, names) for names in fields)
    return picked if len(picked) > 1 else picked[0]
