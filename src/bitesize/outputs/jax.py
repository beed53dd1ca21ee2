"""Convert a loader's batches to JAX arrays of one shape, on a device or sharded over several."""

from __future__ import annotations

import weakref
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from bitesize.engine.holding import PENDING_PATIENCE, Holder
from bitesize.engine.loader import Loader, driver_of
from bitesize.errors import BadSetting
from bitesize.outputs.base import MASK, Epochs, check_loader, check_mask, check_shard, import_framework, with_mask

if TYPE_CHECKING:
    from bitesize.batch import Batch


_ADVICE = "Keep copies, jnp.array(x, copy=True), or release earlier batches"


def to_jax(loader: Loader, *, sharding: Any = None, device: Any = None) -> JaxBatches:
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

    Returns
    -------
    JaxBatches
        The iterable. It has ``state_dict`` and ``load_state_dict``, also under Grain's names ``get_state`` and ``set_state``.

    Raises
    ------
    MissingPackage
        If JAX is not installed.
    BadSetting
        If batches differ in size, or cannot be divided evenly among the devices.

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
    devices = [device or jax.devices()[0]] if sharding is None else sharding.device_set
    # On the CPU a transfer is a look at the same memory, and a step that was begun still looks at the batch before.
    ahead = 0 if all(one.platform == "cpu" for one in devices) else 1
    driver_of(loader).hold(2 + ahead)
    return JaxBatches(loader, sharding if sharding is not None else device, ahead, jax)


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


class JaxBatches(Epochs):
    """Iterable over batches of JAX arrays; see `to_jax`."""

    def __init__(self, loader: Loader, where: Any, ahead: int, jax: Any) -> None:
        super().__init__(loader, ahead, Holder(_ADVICE, PENDING_PATIENCE, self._keeps))
        self._given: weakref.WeakValueDictionary[tuple[int, str], Any] = weakref.WeakValueDictionary()
        self._count = 0
        self._copied = driver_of(loader).copied | {MASK}  # they do not hold a slot
        self._where = where
        self._jax = jax

    def _send(self, batch: Batch) -> dict[str, Any]:
        arrays, jax = with_mask(self._loader, batch), self._jax
        if jax.process_count() == 1:
            sent: dict[str, Any] = jax.device_put(arrays, self._where)
        else:
            sent = {name: jax.make_array_from_process_local_data(self._where, array) for name, array in arrays.items()}
        self._count += 1
        self._given.update({(self._count, name): sent[name] for name in sent.keys() - self._copied})
        return sent

    def _keeps(self, busy: float) -> bool:
        """Return whether every slot is held by arrays of the program; a running step holds memory, but no array."""
        return len({batch for batch, _ in self._given}) >= driver_of(self._loader).slots

    def get_state(self) -> dict[str, Any]:
        """`state_dict`, as Grain calls it."""
        return self.state_dict()

    def set_state(self, state: Mapping[str, Any]) -> None:
        """`load_state_dict`, as Grain calls it."""
        self.load_state_dict(state)
