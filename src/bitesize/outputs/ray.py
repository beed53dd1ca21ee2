"""Convert a source to a `ray.data.Dataset`, whose read tasks read ranges of rows on any machine."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike

from bitesize.engine.loader import Loader
from bitesize.errors import BadSetting, MissingPackage
from bitesize.memory.budget import Budget
from bitesize.memory.sizes import parse_size
from bitesize.sources.base import Source
from bitesize.sources.known_lists import lists_of
from bitesize.spec import Field
from bitesize.storage.sending import check_sendable
from bitesize.transforms.base import Step

# The most bytes of a block, and its share of the budget, which also holds the slots of a loader and a copy of the block.
_BLOCK, _SHARE = 32 << 20, 8
_NAME = "_name"


def to_ray(
    source: Source,
    *,
    transforms: Sequence[Step] = (),
    dtype: DTypeLike | None = None,
    class_names: bool = False,
    memory: int | str = "256 MiB",
    override_num_blocks: int | None = None,
) -> Any:
    """Return a dataset of Ray Data with the rows of a source, for ``iter_torch_batches``, ``map_batches`` and training with Ray.

    Each field is a column: numbers, or tensors of one shape. Encoded images are decoded. Every read task reads a range of neighboring
    rows, which ends where a chunk of the source ends, so that each chunk is read once. Its blocks have at most 32 MiB and an eighth of
    the budget; Ray may join them, up to ``DataContext.target_max_block_size``.

    Parameters
    ----------
    source
        Source of the rows, from `bitesize.open`. Its files are at addresses, or in a folder that all machines see; arrays in memory are
        sent to the tasks, up to 2 GiB.
    transforms
        Transforms of each row, in order, such as ``[bs.Resize(224)]``, which images of several sizes need. Random ones are refused:
        they would be the same in each epoch.
    dtype
        Dtype of the primary field, as in `Loader`.
    class_names
        Whether to add a column with the name of each row's class, ``"y_name"`` for the labels ``"y"``.
    memory
        Memory budget of each read task: bytes, or a string such as ``"256 MiB"``. Ray runs one task per processor.
    override_num_blocks
        Number of read tasks. Default: Ray chooses it by the size of the data and the number of processors.

    Returns
    -------
    ray.data.Dataset
        The dataset. Each row is in it once. Ray returns blocks in the order of the rows only if
        ``ray.data.DataContext.get_current().execution_options.preserve_order`` is True.

    Raises
    ------
    MissingPackage
        If Ray is not installed.
    BadSetting
        If the transforms are random, or do not fit the source; or Arrow has no type for a field.
    DoesNotFit
        If a row does not fit the budget, or the source has more than 2 GiB in memory.

    Examples
    --------
    >>> import numpy as np, bitesize as bs
    >>> source = bs.open(np.arange(12.0).reshape(6, 2), ["cat", "dog"] * 3)
    >>> data = bs.to_ray(source, class_names=True)  # doctest: +SKIP
    >>> data.take(1)  # doctest: +SKIP
    [{'x': array([0., 1.]), 'y': 0, 'y_name': 'cat'}]
    """
    ray = _import_ray()
    if not isinstance(source, Source):
        raise BadSetting(f"to_ray takes a Source, such as the result of bs.open(...), not {type(source).__name__}")
    reading = _reading(source, transforms, dtype, class_names, parse_size(memory))
    check_sendable(source)
    datasource = _datasource_class()(source, reading)
    return ray.data.read_datasource(datasource, override_num_blocks=override_num_blocks)


def _import_ray() -> Any:
    try:
        import ray.data
    except ImportError as error:
        raise MissingPackage(f"to_ray needs Ray Data ({error}): pip install 'bitesize[ray]'") from error
    return ray


@dataclass(frozen=True)
class _Reading:
    """How read tasks read rows.

    Attributes
    ----------
    transforms, dtype
        Of the loader; numbers that the loader has measured are included.
    memory : int
        Budget in bytes.
    rows_per_block : int
        Most rows of a block.
    spec : Mapping of str to Field
        Fields of the rows.
    labels : str or None
        Field of which the names of classes are added.
    """

    transforms: tuple[Step, ...]
    dtype: DTypeLike | None
    memory: int
    rows_per_block: int
    spec: Mapping[str, Field]
    labels: str | None

    @property
    def row_nbytes(self) -> int:
        """Bytes of one row of all fields."""
        return sum(field.nbytes for field in self.spec.values())

    def loader(self, source: Source, budget: Budget) -> Loader:
        """Return a loader of the rows of a source, in order."""
        return Loader(
            source, batch_size=self.rows_per_block, transforms=self.transforms, dtype=self.dtype, memory=budget, shuffle=False,
            threads=1, last="short",
        )  # fmt: skip

    def blocks(self, source: Source, start: int, stop: int) -> Iterator[Any]:
        """Yield the rows from ``start`` to ``stop`` as blocks of Ray Data."""
        part = source if (start, stop) == (0, len(source)) else source.subset(np.arange(start, stop))
        budget = Budget(self.memory)
        charge = budget.charge(min(self.rows_per_block, stop - start) * self.row_nbytes, "block of Ray Data")
        with self.loader(part, budget) as loader:
            if loader.spec != self.spec:  # each loader takes the shape of its first row
                primary = source.primary
                raise BadSetting(
                    f"{source.describe(start)} is {loader.spec[primary]}, but the first row is {self.spec[primary]}: make all rows the "
                    "same size, such as with transforms=[bs.Resize(224)]"
                )
            for batch in loader:
                # The copy belongs to Ray, which puts it into its object store; a view would keep a slot.
                arrays = {name: array.copy() for name, array in batch.items()}
                del batch
                yield _block(self.named(arrays, source))
        charge.release()

    def named(self, arrays: dict[str, Any], source: Source) -> dict[str, Any]:
        """Add the names of classes to the columns of a block."""
        if self.labels is not None:
            arrays[self.labels + _NAME] = np.array(source.classes)[arrays[self.labels]]
        return arrays


def _reading(
    source: Source, transforms: Sequence[Step], dtype: DTypeLike | None, class_names: bool, memory: int
) -> _Reading:  # fmt: skip
    """Check the settings, and measure what the transforms need, with a loader that reads nothing else."""
    for step in transforms:
        if getattr(step, "random_count", 0):
            raise BadSetting(
                f"to_ray: {step!r} is random, but a dataset has the same rows in each epoch: use a Loader, or map_batches"
            )
    labels = source.label_name if class_names else None
    if class_names and (labels is None or source.classes is None or source.labels is None):
        raise BadSetting("to_ray: class_names=True needs data with one class per row")
    reading = _Reading(tuple(transforms), dtype, memory, 1, {}, labels)
    with reading.loader(source, Budget(memory)) as loader:
        spec, steps = loader.spec, loader.transforms
    for name, field in spec.items():
        if field.dtype.kind not in "biuf":
            raise BadSetting(
                f"to_ray: the field {name!r} is {field.dtype}, which Arrow does not have: choose another dtype="
            )
    nbytes = max(1, sum(field.nbytes for field in spec.values()))
    rows = max(1, min(_BLOCK, memory // _SHARE) // nbytes)
    return _Reading(steps, dtype, memory, min(rows, len(source)), spec, labels)


def ranges(source: Source, parts: int) -> list[tuple[int, int]]:
    """Return the first row and the end of up to ``parts`` parts of nearly the same size; chunks that are read as a whole stay whole.

    Examples
    --------
    >>> import bitesize as bs
    >>> ranges(bs.open(np.zeros((7, 2))), 3)
    [(0, 2), (2, 4), (4, 7)]
    """
    edges = np.linspace(0, len(source), min(parts, len(source)) + 1).astype(np.int64)
    chunks = source.chunks() if source.reads_by_chunk else None
    if chunks is not None:
        edges = chunks.starts[np.searchsorted(chunks.starts, edges)]
    edges = np.unique(edges)
    return list(zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True))


def _block(arrays: dict[str, Any]) -> Any:
    from ray.data.block import BlockAccessor

    return BlockAccessor.batch_to_block(arrays)


class _Sent(NamedTuple):
    """References to a source in Ray's object store, and to the lists of objects that are needed before it is opened."""

    lists: Any
    source: Any


def _read(sent: _Sent, reading: _Reading, start: int, stop: int) -> Iterator[Any]:
    """Read a range of rows in a task of Ray."""
    import ray

    for each in ray.get(sent.lists):
        each.use()
    yield from reading.blocks(ray.get(sent.source), start, stop)


def _datasource_class() -> type[Any]:
    """Create the class on first use, because its base class is Ray's."""
    global _class
    if _class is None:
        import ray
        from ray.data.block import BlockAccessor, BlockMetadata
        from ray.data.datasource import Datasource, ReadTask

        class SourceDatasource(Datasource):  # type: ignore[misc]
            """Datasource of the rows of a source; see `to_ray`."""

            def __init__(self, source: Source, reading: _Reading) -> None:
                Datasource.__init__(self)
                self._source, self._reading = source, reading
                self._sent: _Sent | None = None

            def get_name(self) -> str:
                """Return the name of the read tasks."""
                return type(self._source).__name__

            def estimate_inmemory_data_size(self) -> int:
                """Return the bytes of all rows."""
                return len(self._source) * self._reading.row_nbytes

            def get_read_tasks(
                self, parallelism: int, per_task_row_limit: int | None = None, data_context: Any = None
            ) -> list[Any]:  # fmt: skip
                """Return up to ``parallelism`` tasks, which get the source from Ray's object store."""
                reading = self._reading
                if self._sent is None:  # Ray asks more than once
                    self._sent = _Sent(ray.put(lists_of(self._source)), ray.put(self._source))
                row = {name: np.zeros((1, *field.shape), field.dtype) for name, field in reading.spec.items()}
                schema = BlockAccessor.for_block(_block(reading.named(row, self._source))).schema()
                tasks = []
                for start, stop in ranges(self._source, parallelism):
                    last = stop if per_task_row_limit is None else min(stop, start + per_task_row_limit)
                    rows = last - start
                    metadata = BlockMetadata(rows, rows * reading.row_nbytes, exec_stats=None, input_files=None)
                    tasks.append(
                        ReadTask(partial(_read, self._sent, reading, start, last), metadata, schema, per_task_row_limit)
                    )
                return tasks

        _class = SourceDatasource
    return _class


_class: type[Any] | None = None
