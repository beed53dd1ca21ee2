"""Checks that every source must pass: sources of bitesize and sources of users."""

from __future__ import annotations

import os
import pickle
import tracemalloc
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitesize.engine.loader import Loader, driver_of
from bitesize.errors import BadRows, BitesizeError
from bitesize.files.names import show
from bitesize.memory.budget import Budget
from bitesize.order.order import Order
from bitesize.sources.base import Source
from bitesize.sources.sinks import EncodedSink, new_buffers
from bitesize.spec import Encoded, Field
from bitesize.storage import paths
from bitesize.transforms.crop import Resize

__all__ = ["check_bad_rows", "check_source"]

# Allowed in addition to Source.scratch: Python objects, and small buffers of libraries.
_SLACK = 2 << 20
_MOST_ROWS = 500
Rows = dict[str, list[bytes]]


def read_rows(source: Source, rows: Sequence[int] | NDArray[np.int64]) -> Rows:
    """Read rows by one call of `Source.read`.

    Returns
    -------
    dict of str to list of bytes
        For each field, the bytes of each row, in the order of ``rows``.
    """
    numbers = np.asarray(rows, np.int64)
    into = new_buffers(source.spec, len(numbers))
    source.read(numbers, into)
    return {
        name: [bytes(buffer.files.get(i, b"")) for i in range(len(numbers))]
        if isinstance(buffer, EncodedSink)
        else [row.tobytes() for row in buffer]
        for name, buffer in into.items()
    }


def check_source(source: Source, *, threads: int = 4) -> None:
    """Check that a source fulfills the contract of `Source`; up to 500 rows are read several times.

    Parameters
    ----------
    source
        Source with at least 8 rows, all of which can be read.
    threads
        Number of threads that read at the same time.

    Raises
    ------
    AssertionError
        If the source breaks the contract. The message names the broken rule.

    Examples
    --------
    >>> import numpy as np, bitesize as bs
    >>> from bitesize.testing import check_source
    >>> check_source(bs.open(np.arange(40.0).reshape(20, 2), np.arange(20) % 2))
    """
    _check_spec(source)
    count = min(len(source), _MOST_ROWS)
    known = read_rows(source, range(count))
    _check_rows(source, known, count)
    _check_memory(source, count)
    _check_threads(source, known, count, threads)
    _check_places(source, known, count)
    _check_runs(source)
    _check_copies(source, known, count)
    _check_parts(source, known, count)
    source.close()
    _same(read_rows(source, [0, count - 1]), known, [0, count - 1], "after close()")
    _check_loader(source)
    source.close()


def check_bad_rows(source: Source, bad: Sequence[int]) -> None:
    """Check how a source handles rows that cannot be read: each is reported, and all other rows are read.

    Parameters
    ----------
    source
        Source with at most 500 rows.
    bad
        Numbers of the rows that cannot be read, at least one.

    Raises
    ------
    AssertionError
        If the source breaks the contract. The message names the broken rule.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> import numpy as np, bitesize as bs
    >>> from bitesize.testing import check_bad_rows
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> for i in range(9):
    ...     np.save(folder / f"{i}.npy", np.ones((4, 3)))
    >>> _ = (folder / "5.npy").write_bytes(b"no array")
    >>> check_bad_rows(bs.open(folder), [5])
    """
    count, wanted = len(source), set(bad)
    assert wanted, "name at least one row that cannot be read"
    assert count <= _MOST_ROWS, f"{count} rows are more than {_MOST_ROWS}"
    causes: dict[int, Exception] = {}
    try:
        read_rows(source, range(count))
    except BadRows as error:  # damage inside an image is found only by decoding
        causes = error.causes
    assert set(causes) <= wanted, f"rows {sorted(set(causes) - wanted)} were not read, although they are not bad"
    for i, cause in causes.items():
        assert isinstance(cause, BitesizeError), f"row {i}: {cause!r} is not a BitesizeError, such as BadFile"
    steps = [Resize(8)] if isinstance(source.spec[source.primary], Encoded) else []
    settings: dict[str, Any] = {"batch_size": 4, "memory": "1 GiB", "transforms": steps, "shuffle": False}
    with Loader(source, **settings, on_error="skip", max_bad=1.0) as loader:
        seen = [row for batch in loader for row in batch.rows[~batch.mask].tolist()]
        assert seen == sorted(wanted), f"a loop skipped rows {seen}, but the bad rows are {sorted(wanted)}"
        assert [row for row, *_ in loader.bad] == sorted(wanted), "loader.bad lists other rows"
    message = ""
    with Loader(source.subset([min(wanted)]), **settings) as loader:
        try:
            next(iter(loader))
        except BitesizeError as error:
            message = str(error)
    assert message, f"row {min(wanted)} can be read alone, although it is bad"
    file = source.path(min(wanted))
    assert "row 0" in message, f"the error does not name the row: {message}"
    assert file is None or show(os.path.basename(file)) in message, f"the error does not name the file: {message}"
    source.close()


def _check_spec(source: Source) -> None:
    assert len(source) >= 8, f"{source!r} has {len(source)} rows: the check needs at least 8"
    assert source.spec, "spec is empty"
    for name, field in source.spec.items():
        assert isinstance(field, Field | Encoded), f"spec[{name!r}] is {field!r}, not a Field or an Encoded"
        assert not isinstance(field, Field) or field.dtype.isnative, (
            f"spec[{name!r}] is {field.dtype}, not in native byte order"
        )
    labels = source.labels
    if labels is not None:
        assert labels.shape == (len(source),), f"labels have the shape {labels.shape}, not ({len(source)},)"
        assert labels.dtype == np.int64, f"labels are {labels.dtype}, not int64"
        if source.classes is not None:
            assert 0 <= labels.min() <= labels.max() < len(source.classes), "labels are not class numbers"
    for row in (0, len(source) - 1):
        assert isinstance(source.describe(row), str), f"describe({row}) does not return a str"
        assert source.describe(row), f"describe({row}) is empty"
    assert source.nbytes >= 0, "nbytes is negative"


def _check_rows(source: Source, known: Rows, count: int) -> None:
    for row in (0, 1, count // 2, count - 1):
        _same(read_rows(source, [row]), known, [row], "alone")
    random = np.random.default_rng(0)
    mixed = random.permutation(count)
    _same(read_rows(source, mixed), known, mixed, "in another order")
    again = random.integers(0, count, count)
    _same(read_rows(source, again), known, again, "with repeats")
    labels = source.labels
    name = source.label_name
    if labels is not None and name in known:
        field = source.spec[name]
        assert isinstance(field, Field), f"labels need a field of numbers, but {name} is {field}"
        given = np.frombuffer(b"".join(known[name]), field.dtype)
        assert (given == labels[:count]).all(), f"the field {name} differs from labels"


def _check_memory(source: Source, count: int) -> None:
    rows = np.arange(min(count, 16), dtype=np.int64)
    read_rows(source, rows)  # one-time allocations are not counted
    tracemalloc.start()
    try:
        values = read_rows(source, rows)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    handed = 3 * sum(len(row) for rows_of in values.values() for row in rows_of)  # into, its copy, and the result
    assert peak <= handed + source.scratch(len(rows)) + _SLACK, (
        f"reading {len(rows)} rows took {peak:,} bytes: {handed:,} are expected for the rows, and scratch() returns {source.scratch(len(rows)):,}"
    )


def _check_threads(source: Source, known: Rows, count: int, threads: int) -> None:
    def read(seed: int) -> None:
        rows = np.random.default_rng(seed).integers(0, count, max(1, count // 4))
        _same(read_rows(source, rows), known, rows, f"by one of {threads} threads")

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(read, range(4 * threads)))


def _check_places(source: Source, known: Rows, count: int) -> None:
    rows = np.random.default_rng(1).permutation(count)
    location = source.locate(rows)
    if location is None or location.in_memory:
        return
    for row, which, offset in zip(rows.tolist(), location.which.tolist(), location.offsets.tolist(), strict=True):
        with paths.open(location.paths[which]) as file:
            assert file.read(len(location.header)) == location.header, (
                f"locate() names a header for row {row} that its file does not have"
            )
            file.seek(offset)
            there = file.read(len(known[source.primary][row]))
        assert there == known[source.primary][row], f"row {row} is not at the offset that locate() returns"


def _check_runs(source: Source) -> None:
    chunks = source.chunks()
    if chunks is None:
        return
    starts = chunks.starts
    assert starts[0] == 0, "chunks do not start at row 0"
    assert starts[-1] == len(source), "the last chunk does not end at the last row"
    assert (np.diff(starts) > 0).all(), "chunk starts do not ascend"
    encoded = [name for name, what in source.spec.items() if isinstance(what, Encoded)]
    if not encoded:
        return
    assert chunks.nbytes is not None, "chunks of encoded rows have no nbytes"
    for i in range(min(4, len(starts) - 1)):
        found = read_rows(source, np.arange(starts[i], starts[i + 1]))
        nbytes = sum(len(row) for name in encoded for row in found[name])
        assert nbytes <= chunks.nbytes[i], (
            f"chunk {i} has {nbytes:,} encoded bytes, but chunks() reports {chunks.nbytes[i]:,}"
        )


def _check_copies(source: Source, known: Rows, count: int) -> None:
    assert source.fingerprint() == source.fingerprint(), "two calls of fingerprint() return different values"
    copy = pickle.loads(pickle.dumps(source))  # noqa: S301 - made a moment ago
    assert copy.fingerprint() == source.fingerprint(), "a pickled copy has a different fingerprint"
    assert len(copy) == len(source), "a pickled copy has a different number of rows"
    _same(read_rows(copy, range(count)), known, range(count), "by a pickled copy")
    copy.close()


def _check_parts(source: Source, known: Rows, count: int) -> None:
    chosen = [count - 1, 0, 3, 3]
    part = source.subset(chosen)
    _same(read_rows(part, range(4)), known, chosen, "of a subset")
    assert part.fingerprint() != source.fingerprint(), "a subset has the fingerprint of the whole source"
    first, second = source.split(0.75, seed=1)
    assert len(first) + len(second) == len(source), "a split loses or repeats rows"


def _check_loader(source: Source) -> None:
    steps = [Resize(8)] if isinstance(source.spec[source.primary], Encoded) else []
    orders: list[Order | None] = [None]
    chunks = source.chunks()
    if chunks is not None:
        orders.append(Order(len(source), seed=3, window=max(8, len(source) // 3)))
    with Loader(source, batch_size=4, memory="1 GiB", transforms=steps) as loader:
        budget = Budget(max(driver_of(loader).least * 2, 16 << 20))
    for order in orders:
        settings: dict[str, Any] = {"batch_size": 4, "memory": budget, "transforms": steps, "order": order, "threads": 3}
        with Loader(source, **settings) as loader:
            whole, states = [], []
            for batch in loader:
                whole.append({name: array.copy() for name, array in batch.items()} | {" rows": batch.rows.copy()})
                states.append(loader.state_dict())
        rows = np.concatenate([batch[" rows"] for batch in whole])
        assert len(set(rows.tolist())) == len(rows), "an epoch contains a row twice"
        assert len(rows) > len(source) - 4, "an epoch leaves rows out"
        half = len(whole) // 2
        with Loader(source, **settings) as loader:
            loader.load_state_dict(states[half - 1])
            for batch, expected in zip(loader, whole[half:], strict=True):
                for name, array in batch.items():
                    assert np.array_equal(array, expected[name], equal_nan=array.dtype.kind in "fc"), (
                        f"a loop that resumes at batch {half} returns different values of {name}"
                    )
                del array
                del batch
    assert budget.in_use == 0, f"{budget.in_use:,} bytes are still charged after all loaders are closed"


def _same(actual: Rows, known: Rows, rows: Sequence[int] | NDArray[np.int64], how: str) -> None:
    for name, values in known.items():
        for i, row in enumerate(rows):
            assert actual[name][i] == values[row], f"row {row}, read {how}, has a different {name}"
