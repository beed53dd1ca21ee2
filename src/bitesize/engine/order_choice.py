"""Choice of the order of rows: sequential, shuffled, balanced, or in windows for a source that is read chunk by chunk."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from bitesize.errors import BadSetting
from bitesize.order.order import Order
from bitesize.order.weighted import balanced
from bitesize.sources.base import Source
from bitesize.sources.protocol import ChunkStarts
from bitesize.spec import Field

# Number of streams for a source that is read chunk by chunk; fewer if chunks are large, and more if batches are larger than all of them.
_MOST_STREAMS, _STREAMS_NBYTES = 8, 16 << 20


def choose_order(
    source: Source, order: Order | str | None, seed: int, shuffle: bool, batch_size: int | str
) -> tuple[Order, ChunkStarts | None]:
    """Return the order for the settings of a loader, and the chunks of its window if it has one.

    Raises
    ------
    BadSetting
        If the order does not fit the source or the other settings.
    """
    order = _chosen_order(source, order, seed, shuffle, batch_size)
    if order.window is None:
        return order, None
    chunks = source.chunks() if order.chunks is None else ChunkStarts(np.asarray(order.chunks))
    if chunks is None:
        raise BadSetting(
            f"window: {source!r} has no chunks of rows that are cheaper to read together. Remove window to shuffle all rows at once"
        )
    if order.batch_size is None and not isinstance(batch_size, int | np.integer):
        raise BadSetting('window: the streams divide each batch among them, so batch_size must be a number, not "auto"')
    groups = chunks.groups if order.chunks is None else order.groups
    order = replace(order, chunks=chunks.starts, groups=groups, batch_size=order.batch_size or max(1, int(batch_size)))
    assert order.windows is not None
    return order, ChunkStarts(order.windows.starts, chunks.nbytes)


def _chosen_order(source: Source, order: Order | str | None, seed: int, shuffle: bool, batch_size: int | str) -> Order:
    """Return the order for the settings of a loader. Check an order that is passed."""
    n = len(source)
    if order is None and shuffle and source.mixture is None and source.reads_by_chunk:
        return _order_by_chunk(source, seed, batch_size)
    if order is None:
        return Order(n, seed, shuffle, mixture=source.mixture)
    if order == "balanced":
        if source.labels is None:
            raise BadSetting(f'order="balanced" needs class labels, but {source!r} has none')
        return Order(n, seed, shuffle, weights=balanced(source.labels))
    if not isinstance(order, Order):
        raise BadSetting(f'order must be an Order or "balanced", not {order!r}')
    if seed != 0 or not shuffle:
        raise BadSetting("pass either order= or shuffle=/seed=; an Order defines both")
    if order.n != n:
        raise BadSetting(f"the order has {order.n} rows, but the source has {n}")
    return order


def _order_by_chunk(source: Source, seed: int, batch_size: int | str) -> Order:
    """Return an order with windows for a source that is read chunk by chunk. It depends on data and batch size only, not on the machine.

    Ranks that divide a stream read the same chunks. A batch for many ranks is large, and memory that holds it has room for as many rows
    in chunks, so it has a stream for each chunk of rows that it could hold: a power of two, which numbers of ranks usually divide. If
    chunks share what they read, there are no more streams than those for which the source keeps it.
    """
    chunks = source.chunks()
    assert chunks is not None
    rows = int(np.diff(chunks.starts).max())
    fixed = sum(field.nbytes for field in source.spec.values() if isinstance(field, Field))
    encoded = 0 if chunks.nbytes is None else int(chunks.nbytes.max())
    streams = min(max(_STREAMS_NBYTES // max(1, rows * fixed + encoded), 1), _MOST_STREAMS)
    if chunks.groups is not None and chunks.streams is not None:
        streams = chunks.streams
    elif isinstance(batch_size, int | np.integer) and batch_size >= rows:
        of_batch = min(int(batch_size), len(source)) // rows
        streams = max(streams, 1 << (of_batch.bit_length() - 1))
    return Order(len(source), seed, window=streams * rows, streams=streams)
