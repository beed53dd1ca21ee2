"""Check batches that Keras distributes over devices."""

from __future__ import annotations

from bitesize.engine.loader import Loader, driver_of
from bitesize.errors import BadSetting


def refuse_to_divide_again(loader: Loader) -> None:
    """Raise `BadSetting` if Keras would divide the batches of a rank among the processes once more, as versions after 3.15 do."""
    import keras

    distribution = keras.distribution.distribution()
    if loader.shard.world_size > 1 and getattr(distribution, "auto_shard_dataset", False):
        raise BadSetting(
            f"the loader has the rows of {loader.shard} only, and keras.distribution.{type(distribution).__name__} would divide them again: make "
            "it with auto_shard_dataset=False"
        )


def refuse_indivisible(loader: Loader) -> None:
    """Raise `BadSetting` if a distribution of Keras is set whose devices cannot share each batch of a loader.

    JAX would raise only at the batch that cannot be divided: the last of an epoch, after all others were trained.

    Raises
    ------
    BadSetting
        If a batch cannot be divided; the message names the settings that change this.
    """
    import keras

    distribution, batching = keras.distribution.distribution(), driver_of(loader).batching
    if keras.backend.backend() != "jax":
        return
    if _several_processes() and loader.shard.world_size > 1 and (loader.masks or not batching.even):
        world = loader.shard.world_size
        raise BadSetting(
            f"{world} processes run one program on JAX, so that their batches must have one size, and those of batch_size="
            f"{loader.batch_size} may have padding or bad rows: use bs.keras.fit, which leaves them out of the loss, or a multiple of {world} "
            'with last="drop" and on_error="raise"'
        )
    if distribution is None or loader.shard.world_size > 1:
        return
    mesh, name = distribution.device_mesh, distribution.batch_dim_name
    devices = mesh.shape[mesh.axis_names.index(name)] if name in mesh.axis_names else 1
    who = f"keras.distribution.{type(distribution).__name__} spreads each batch over {devices} devices"
    if loader.batch_size % devices:
        raise BadSetting(f"{who}, and batch_size={loader.batch_size} does not divide: set it to a multiple of {devices}")
    rest = loader.order.length % loader.batch_size
    if (
        driver_of(loader).batching.last != "drop" and rest % devices
    ):  # padding is left out of what Keras gets, so it does not help
        ways = 'last="drop" leaves them out of each epoch'
        if not loader.order.length % devices:
            ways += f", or a batch_size that leaves a multiple of {devices}"
        raise BadSetting(
            f"{who}, and the last batch of an epoch has {rest} rows ({loader.order.length:,} rows in batches of {loader.batch_size}): "
            f"{ways}"
        )


def _several_processes() -> bool:
    """Return whether JAX, which Keras has loaded, connects several processes."""
    import jax

    return int(jax.process_count()) > 1
