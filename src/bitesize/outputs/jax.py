"""Convert a loader's batches to JAX arrays of one shape, on a device or sharded over several."""

from __future__ import annotations

import weakref
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bitesize.engine.holding import PENDING_PATIENCE, Holder
from bitesize.engine.loader import Loader, driver_of
from bitesize.engine.ring import handed_out
from bitesize.errors import BadSetting
from bitesize.outputs.base import MASK, Epochs, check_loader, check_mask, check_shard, import_framework, with_mask
from bitesize.outputs.normalizing import Normalization, Steps, device_normalization

if TYPE_CHECKING:
    from bitesize.batch import Batch
    from bitesize.transforms.normalize import Normalize, Scale


_ADVICE = "Keep copies, jnp.array(x, copy=True), or release earlier batches"


def to_jax(
    loader: Loader, *, sharding: Any = None, device: Any = None, normalize: Steps | None = None, dtype: Any = None
) -> JaxBatches:  # fmt: skip
    """Return an iterable over batches of JAX arrays, all of the same shape, so that a step is compiled once.

    Each batch is a dict of arrays by field name. If rows may be padding or bad, ``batch["mask"]`` is False for these rows. On
    a single CPU device, the primary input and other large fields are views into the loader's memory (use
    ``jnp.array(x, copy=True)`` to keep them). On accelerators, one batch is transferred in advance.

    Parameters
    ----------
    loader
        Source of the batches; its last batch must have full size (``last="pad"`` or ``"drop"``).
    sharding
        A `jax.sharding.Sharding` of the batch axis, for several devices. With several processes, each process loads its part
        of each batch (``Loader(shard="auto")``), and arrays are global.
    device
        A single device; excludes ``sharding``.
    normalize
        `Normalize`, `Scale` or a list of them, applied on the devices to the primary input, which the loader must yield as integers
        of 8 or 16 bits: a quarter or half of the bytes are sent. Images that the loader has resampled or recolored are rounded to whole levels
        before, so values differ by up to half a level from those of a loader that normalizes; otherwise they are the same within
        float32 rounding. Validation needs the same: ``normalize=train_batches.normalize``.
    dtype
        With ``normalize``, dtype of the result: float32 (default), float16 or bfloat16.

    Returns
    -------
    JaxBatches
        The iterable. It has ``state_dict`` and ``load_state_dict``, also under Grain's names ``get_state`` and ``set_state``; and
        ``normalize``, the transforms that the devices apply, with the numbers of ``Normalize("data")``.

    Raises
    ------
    MissingPackage
        If JAX is not installed.
    BadSetting
        If batches differ in size, cannot be divided evenly among the devices, or do not fit ``normalize``, for example because the
        loader normalizes already.
    DoesNotFit
        If the batches that are held, or normalized on one CPU device, do not fit the loader's budget.

    Examples
    --------
    >>> import numpy as np, bitesize as bs
    >>> loader = bs.Loader(bs.open(np.ones((10, 3), np.float32)), batch_size=4, memory="16 MiB", last="pad")
    >>> [(float(batch["x"].sum()), int(batch["mask"].sum())) for batch in bs.to_jax(loader)]
    [(12.0, 4), (12.0, 4), (6.0, 2)]
    >>> loader.close()
    """
    jax = import_framework("jax", "JAX", "jax")
    check_loader(loader, "to_jax")
    check_mask(loader)
    _check_shapes(loader)
    _check_devices(loader, sharding, device, jax)
    normalization = device_normalization(loader, normalize, dtype, "to_jax")
    devices = [device or jax.devices()[0]] if sharding is None else sharding.device_set
    # On the CPU a transfer is a look at the same memory, and a step that was begun still looks at the batch before.
    ahead = 0 if all(one.platform == "cpu" for one in devices) else 1
    driver_of(loader).hold(2 + ahead)
    here = not ahead and len(devices) == 1
    if normalization is not None and here:
        driver_of(loader).hold_normalized(normalization.nbytes)
    return JaxBatches(loader, sharding if sharding is not None else device, ahead, jax, normalization, here)


def _check_shapes(loader: Loader) -> None:
    """Raise unless all batches have one shape, on all ranks."""
    batch = loader.batch_size
    if driver_of(loader).batching.last == "short" and loader.order.length % batch:
        raise BadSetting(
            f"{loader.order.length} rows leave a last batch of {loader.order.length % batch} of {batch}, but JAX compiles a step "
            'for each shape: create the loader with last="pad", which adds a mask, or last="drop"'
        )
    if loader.shard.world_size > 1 and batch % loader.shard.world_size:
        raise BadSetting(
            f"batch_size={batch} is not a multiple of the {loader.shard.world_size} ranks, but JAX needs equal parts"
        )


def _check_devices(loader: Loader, sharding: Any, device: Any, jax: Any) -> None:
    """Raise unless batches can be put on the devices."""
    if sharding is not None and device is not None:
        raise BadSetting("pass either device= or sharding=: a sharding defines its devices")
    if jax.process_count() > 1:
        if sharding is None:
            raise BadSetting(f"{jax.process_count()} processes need a sharding of each batch: pass sharding=")
        check_shard(loader, jax.process_index(), jax.process_count(), "jax.distributed")
    if sharding is not None:
        batch = loader.batch_size
        for name, field in loader.spec.items():
            try:
                sharding.shard_shape((batch, *field.shape))
            except ValueError as error:
                raise BadSetting(f"the field {name!r} of {batch} rows cannot be sharded: {error}") from error


class _Normalizer:
    """Normalizes the arrays of a batch where they are.

    Parameters
    ----------
    jax
        JAX.
    normalization
        What to compute.
    where
        Sharding or device of the result, or None.
    here
        Whether the result is in the memory of this process.
    """

    def __init__(self, jax: Any, normalization: Normalization, where: Any, here: bool) -> None:
        factor, offset = normalization.factor, normalization.offset

        def compute(x: Any, mask: Any) -> Any:
            values = x.astype(np.float32) * factor + offset
            if mask is not None:  # padding and bad rows stay zero
                values = jax.numpy.where(mask.reshape(-1, *(1,) * (x.ndim - 1)), values, 0)
            return values.astype(normalization.dtype)

        self.name, self.steps = normalization.name, normalization.steps
        self._jax, self._where, self._here = jax, where, here
        sharded = isinstance(where, jax.sharding.Sharding)
        self._compute = jax.jit(compute, out_shardings=where) if sharded else jax.jit(compute)

    def __call__(self, sent: Mapping[str, Any], slot: NDArray[Any]) -> Any:
        """Return the field of a batch, normalized; in the memory of this process, it holds the slot.

        JAX may be some steps ahead of the devices. There is then one such array for each slot at most, which is what
        `LoaderDriver.hold_normalized` charges.
        """
        values = self._compute(sent[self.name], sent.get(MASK))
        if not self._here:
            return values
        return self._jax.device_put(handed_out(np.asarray(values), (values, slot)), self._where)


class JaxBatches(Epochs):
    """Iterable over batches of JAX arrays; see `to_jax`."""

    def __init__(
        self, loader: Loader, where: Any, ahead: int, jax: Any, normalization: Normalization | None, here: bool
    ) -> None:  # fmt: skip
        super().__init__(loader, ahead, Holder(_ADVICE, PENDING_PATIENCE, self._keeps))
        self._given: weakref.WeakValueDictionary[tuple[int, str], Any] = weakref.WeakValueDictionary()
        self._count = 0
        self._copied = driver_of(loader).copied | {MASK}  # they do not hold a slot
        self._where = where
        self._jax = jax
        self._normalizer = None if normalization is None else _Normalizer(jax, normalization, where, here)

    def _send(self, batch: Batch) -> dict[str, Any]:
        arrays, jax = with_mask(self._loader, batch), self._jax
        if jax.process_count() == 1:
            sent: dict[str, Any] = jax.device_put(arrays, self._where)
        else:
            sent = {name: jax.make_array_from_process_local_data(self._where, array) for name, array in arrays.items()}
        if self._normalizer is not None:
            name = self._normalizer.name
            sent[name] = self._normalizer(sent, arrays[name])
        self._count += 1
        self._given.update({(self._count, name): sent[name] for name in sent.keys() - self._copied})
        return sent

    @property
    def normalize(self) -> tuple[Normalize | Scale, ...] | None:
        """Transforms that the devices apply, for the output of another loader; None without."""
        return None if self._normalizer is None else self._normalizer.steps

    def _keeps(self, busy: float) -> bool:
        """Return whether every slot is held by arrays of the program; a running step holds memory, but no array."""
        return len({batch for batch, _ in self._given}) >= driver_of(self._loader).slots

    def get_state(self) -> dict[str, Any]:
        """`state_dict`, as Grain calls it."""
        return self.state_dict()

    def set_state(self, state: Mapping[str, Any]) -> None:
        """`load_state_dict`, as Grain calls it."""
        self.load_state_dict(state)
