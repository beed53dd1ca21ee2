"""Loader: batches of a source, in a reproducible order, within a memory budget."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Literal

from numpy.typing import DTypeLike

from bitesize.engine.batching import Last
from bitesize.engine.build import allocate, infer, plan, resolve
from bitesize.engine.driver import LoaderDriver
from bitesize.engine.iterator import BatchIterator
from bitesize.engine.public_settings import PublicSettings
from bitesize.memory.budget import Budget
from bitesize.memory.plan import Plan
from bitesize.order.order import Order, Shard
from bitesize.packed.cache_settings import Cache
from bitesize.pipeline.inference import Layout
from bitesize.sources.base import Source
from bitesize.transforms.base import Step


class Loader(PublicSettings):
    """Batches of a source in a reproducible order, created by threads within a memory budget.

    A ``for`` loop over a loader is one epoch. A batch is a dict of NumPy arrays, ``{"x": (64, 224, 224, 3) float32, "y":
    (64,) int64}``. Its large fields are views into memory of the loader, which is reused once nothing references them (see `Batch`).

    Parameters
    ----------
    source
        Source of the rows, from `bitesize.open`.
    batch_size
        Rows per batch (total of all ranks), or ``"auto"``: the largest power of two up to 256 that fits the budget.
    transforms
        Transforms of each row, in order.
    memory
        Budget: bytes, a string such as ``"512 MiB"``, a `Budget` that several loaders share, or ``"auto"``: a quarter of the
        memory that this process may still take. An automatic budget grows if the batches need more, up to three quarters.
    shuffle
        Whether each epoch has a new random order; otherwise the natural order.
    seed
        Seed of the orders and of all augmentation.
    order
        An `Order`, which excludes ``shuffle`` and ``seed``; or ``"balanced"``: rows are sampled at random, with replacement,
        and all classes are equally frequent.
    shard
        Rank of this process and number of ranks, if several processes train together. ``"auto"`` takes them from
        `torch.distributed`, `jax.distributed`, Ray Train or torchrun's environment.
    last
        Handling of rows that do not fill a batch: ``"short"``, ``"drop"`` or ``"pad"`` (with a mask). The default is ``"short"``;
        with several ranks, ``"drop"`` when shuffling and ``"pad"`` otherwise.
    threads
        Number of threads that read and decode. By default, one thread per processor of this process, and up to 14 more, which are
        used while other threads wait for the disk or for the interpreter's lock.
    layout
        Position of the channels: ``"HWC"`` or ``"CHW"``.
    dtype
        Dtype of ``x``. By default, the dtype after the transforms: 8-bit images stay uint8, `Normalize` and `Scale` return
        float32.
    on_error
        Handling of a row that cannot be read: ``"raise"``, or ``"skip"``, which replaces it by another random row when shuffling,
        and masks it otherwise.
    max_bad
        Largest share of an epoch's rows that may be skipped. One row is always allowed.
    fast_decode
        Whether to decode a JPEG at a fraction of its size if the result is much smaller anyway.
    cache
        Cache on disk of images after decoding, so that later epochs and runs need not decode them: None, ``"auto"``, a folder, or a
        `Cache` with a size.

    Raises
    ------
    DoesNotFit
        If the budget is too small. The message has the figures, and a setting that fits. Nothing was allocated.
    BadSetting
        If a setting is not valid, or does not fit the source.

    Examples
    --------
    >>> import numpy as np, bitesize as bs
    >>> loader = bs.Loader(bs.open(np.arange(10.0), [0, 1] * 5), batch_size=4, memory="16 MiB", shuffle=False)
    >>> for batch in loader:
    ...     print(batch["x"].tolist(), batch["y"].tolist())
    [0.0, 1.0, 2.0, 3.0] [0, 1, 0, 1]
    [4.0, 5.0, 6.0, 7.0] [0, 1, 0, 1]
    [8.0, 9.0] [0, 1]
    >>> loader.close()
    """

    def __init__(
        self,
        source: Source,
        *,
        batch_size: int | Literal["auto"],
        transforms: Sequence[Step] = (),
        memory: int | str | Budget = "auto",
        shuffle: bool = True,
        seed: int = 0,
        order: Order | Literal["balanced"] | None = None,
        shard: Shard | Literal["auto"] | None = None,
        last: Last | None = None,
        threads: int | None = None,
        layout: Layout = "HWC",
        dtype: DTypeLike | None = None,
        on_error: Literal["raise", "skip"] = "raise",
        max_bad: float = 0.01,
        fast_decode: bool = True,
        cache: Cache | str | os.PathLike[str] | None = None,
    ) -> None:
        settings = resolve(
            source, batch_size=batch_size, transforms=transforms, memory=memory, shuffle=shuffle, seed=seed, order=order, shard=shard,
            last=last, threads=threads, layout=layout, dtype=dtype, on_error=on_error, max_bad=max_bad, fast_decode=fast_decode, cache=cache,
        )  # fmt: skip
        inferred = infer(settings)
        memory_plan = plan(inferred)
        resources = allocate(memory_plan, settings)
        self._driver = LoaderDriver(inferred, memory_plan, resources)
        inferred.pipeline.warm(settings.order, keeps_rows=memory_plan.needs.kept is not None)

    @property
    def plan(self) -> Plan:
        """Plan of the loader's memory."""
        return self._driver.plan

    # --- loops -------------------------------------------------------------------------------------------------------

    def __iter__(self) -> BatchIterator:
        return self._driver.iterate(self._driver.position.begin(), endless=False)

    @property
    def epoch(self) -> int:
        """Epoch of the next ``for`` loop, from 0."""
        return self._driver.position.epoch

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch of the next ``for`` loop. If `load_state_dict` has set the same epoch, the loop still covers its rest only.

        Parameters
        ----------
        epoch
            Epoch, from 0.

        Raises
        ------
        BadSetting
            If the epoch is not a whole number of at least 0.

        Examples
        --------
        >>> import numpy as np, bitesize as bs
        >>> loader = bs.Loader(bs.open(np.arange(8)), batch_size=4, memory="16 MiB", seed=1)
        >>> loader.set_epoch(3)
        >>> next(iter(loader)).epoch
        3
        >>> loader.close()
        """
        self._driver.position.set_epoch(epoch)

    def state_dict(self) -> dict[str, Any]:
        """Return the state of the loop after its last batch, from which another loader can resume.

        Prefetched batches do not count. The position is the same on all ranks, so the state of one rank serves all ranks.

        Returns
        -------
        dict
            A small dict of JSON values.

        Examples
        --------
        >>> import numpy as np, bitesize as bs
        >>> settings = {"batch_size": 4, "memory": "16 MiB", "seed": 3}
        >>> with bs.Loader(bs.open(np.arange(12)), **settings) as loader:
        ...     for batch in loader:
        ...         state = loader.state_dict()  # saved with the model, for example
        ...         break
        ...     rest = [batch["x"].tolist() for batch in loader][1:]
        >>> with bs.Loader(bs.open(np.arange(12)), **settings) as other:
        ...     other.load_state_dict(state)
        ...     [batch["x"].tolist() for batch in other] == rest
        True
        """
        return self._driver.position.state_dict()

    def load_state_dict(self, state: Mapping[str, Any], *, allow_batch_size_change: bool = False) -> None:
        """Resume from the state of another loader of the same data. The next ``for`` loop starts with exactly the next batch.

        Parameters
        ----------
        state
            From `state_dict`. Threads, ranks, budget and transforms may differ.
        allow_batch_size_change
            Whether the batch size may differ too. The remaining rows keep their order, and are cut into other batches.

        Raises
        ------
        BadSetting
            If the data, the order or the batch size differ. The message names the difference.

        Examples
        --------
        >>> import numpy as np, bitesize as bs
        >>> loader = bs.Loader(bs.open(np.arange(8)), batch_size=4, memory="16 MiB", seed=1)
        >>> state = next(iter(loader)).epoch, loader.state_dict()
        >>> loader.load_state_dict(state[1])
        >>> len(list(loader))
        1
        >>> loader.close()
        """
        self._driver.load_state_dict(state, allow_batch_size_change=allow_batch_size_change)

    def measure_bound(self, seconds: float = 1.0) -> float:
        """Measure how many rows per second this loader's threads could read and decode if they did nothing else.

        A running loop over the loader ends.

        Parameters
        ----------
        seconds
            Approximate time to measure. Batches in progress are finished.

        Returns
        -------
        float
            Rows per second, measured from epoch 0 on.

        Raises
        ------
        DoesNotFit
            If the memory for measuring does not fit the budget.

        Examples
        --------
        >>> import numpy as np, bitesize as bs
        >>> loader = bs.Loader(bs.open(np.arange(8)), batch_size=4, memory="16 MiB", seed=1)
        >>> loader.measure_bound(0.2) > 0
        True
        >>> loader.close()
        """
        return self._driver.measure_bound(seconds)

    def close(self) -> None:
        """End the threads and return all bytes to the budget. Batches that are still referenced stay valid.

        In a forked child, nothing is ended, because the threads and bytes belong to the parent.

        Examples
        --------
        >>> import numpy as np, bitesize as bs
        >>> loader = bs.Loader(bs.open(np.arange(8)), batch_size=4, memory="16 MiB", seed=1)
        >>> loader.close()
        >>> loader.budget.in_use
        0
        """
        self._driver.close()

    def __enter__(self) -> Loader:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def driver_of(loader: Loader) -> LoaderDriver:
    """Return the driver of a loader, for outputs and training."""
    return loader._driver
