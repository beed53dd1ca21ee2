"""Packing of whole shards by threads: each thread packs one shard at a time, and keeps what it needs for that."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import NamedTuple

from bitesize.errors import BitesizeError, DoesNotFit, NotFound, TooManyBadRows, one_line
from bitesize.kernels.warm import compiling
from bitesize.memory.budget import Budget
from bitesize.packed.info import SHARD_JSON, ShardInfo
from bitesize.packed.manifest import Skipped
from bitesize.packed.shard import ShardWriter
from bitesize.packing.changes import SourceState, is_of
from bitesize.packing.copying import Copying
from bitesize.packing.decoding import Decoding
from bitesize.packing.destination import Destination
from bitesize.packing.pieces import Failure, Producer
from bitesize.packing.plan import PartPlan, name_of, pipeline_of
from bitesize.packing.reading import LargeRows, RowReader, reader_nbytes
from bitesize.packing.rendering import Rendering, rendering_nbytes
from bitesize.packing.settings import QUALITY, PackSettings
from bitesize.scan.threads import threads_that_fit

# Bytes of rows that a thread reads at once, and the largest number of rows.
_BITE_NBYTES, _MOST_ROWS = 4 << 20, 65_536
# Largest memory for decoding, as a loader reserves.
_POOL = 256 << 20


class PackedShard(NamedTuple):
    """A finished shard: its number, its files (None if all its rows were skipped), and the rows that were skipped."""

    number: int
    info: ShardInfo | None
    skipped: tuple[Skipped, ...]


class Stopped(Exception):
    """Another thread has failed, or the user has interrupted the packing."""


class PartWork:
    """Packs the shards of one source.

    Parameters
    ----------
    plan
        Plan of the source.
    destination
        Where its shards are kept.
    name
        Name of the split; empty without splits.
    settings
        Settings of the user.
    key
        Hash of everything that decides what is stored.
    """

    def __init__(self, plan: PartPlan, destination: Destination, name: str, settings: PackSettings, key: str) -> None:
        self.plan, self.name, self.settings, self.key, self._destination = plan, name, settings, key, destination
        self.folder = destination.folder / name if name else destination.folder
        self._state = SourceState(plan.source)
        self.comparable = self._state.known

    def origin(self, number: int) -> dict[str, object]:
        """Return what a shard is made from, as it is recorded in the shard."""
        start, stop = self.plan.rows_of(number)
        return {"key": self.key, "start": start, "stop": stop, "state": self._state.of(start, stop)}

    def kept(self, number: int) -> PackedShard | None:
        """Return a shard that an earlier run has sealed; remove it if it was made from anything else."""
        folder = self.folder / f"{number:05}"
        try:
            info = self._destination.shard(folder)
            if dict(info.fields) == dict(self.plan.fields) and is_of(info, self.origin(number)):
                skipped = tuple(Skipped(int(row), str(reason)) for row, reason in info.origin.get("skipped", []))
                if not skipped or self.settings.on_error == "skip":
                    return PackedShard(number, info, skipped)
        except NotFound:
            return None
        except BitesizeError:
            if self._destination.keeps and not (folder / SHARD_JSON).is_file():
                raise
        self._destination.remove_shard(folder)
        return None

    def remove_partials(self) -> bool:
        """Remove what killed processes have left of unfinished shards; return whether nothing of this host is left."""
        return self._destination.remove_partials(self.folder)

    def changed_since(self, shards: Sequence[ShardInfo]) -> tuple[int, int] | None:
        """Return the rows of the first shard of a complete store that was made from other files, or None."""
        for shard in shards:
            number = int(shard.folder.name)
            found = self._destination.shard(self.folder / shard.folder.name)
            if self.comparable and not is_of(found, self.origin(number)):
                return self.plan.rows_of(number)
        return None

    def pack(self, number: int, producer: Producer, advance: Callable[[int], None]) -> PackedShard:
        """Pack one shard. ``advance`` is called with numbers of finished rows, and may raise `Stopped`.

        Raises
        ------
        BitesizeError
            If a row cannot be read, and may not be skipped; or the shard cannot be written.
        """
        origin, skipped = self.origin(number), list[Skipped]()
        start, stop = self.plan.rows_of(number)
        row = start
        with ShardWriter(self.folder / f"{number:05}", self.plan.fields, stop - start) as writer:
            for piece in producer.pieces(start, stop):
                if isinstance(piece, Failure):
                    skipped.append(self._skipped(piece))
                    row += 1
                    advance(1)
                else:
                    writer.append({**piece.values, **self._names(row, piece.rows)})
                    row += piece.rows
                    advance(piece.rows)
            assert row == stop
            info = None
            if writer.rows:
                info = writer.seal(origin | {"skipped": [[each.row, each.reason] for each in skipped]})
        if info is not None:
            self._destination.add_shard(info)
        return PackedShard(number, info, tuple(skipped))

    def _names(self, start: int, rows: int) -> dict[str, list[bytes]]:
        """Return the field with the paths of rows, if there is one."""
        if self.plan.names is None:
            return {}
        return {self.plan.names: [name_of(self.plan.source, row) for row in range(start, start + rows)]}

    def _skipped(self, failure: Failure) -> Skipped:
        error = failure.error
        if self.settings.on_error == "raise" or isinstance(error, DoesNotFit):
            if isinstance(error, BitesizeError):
                error.row = failure.row
            raise error
        return Skipped(failure.row, one_line(error))

    @contextmanager
    def producers(self, budget: Budget, most: int) -> Iterator[Sequence[Producer]]:
        """Charge and make what each thread needs, at most ``most`` of them, and free it at the end."""
        with ExitStack() as stack:
            stack.enter_context(compiling())
            made = self._rendering if self.plan.way == "render" else self._reading
            producers = made(budget, most, stack)
            for producer in producers:
                stack.callback(producer.close)
            yield producers

    def _rendering(self, budget: Budget, most: int, stack: ExitStack) -> Sequence[Producer]:
        pipeline = pipeline_of(self.plan.source, self.settings, budget)
        pipeline.warm()
        nbytes = rendering_nbytes(pipeline)
        count = min(most, threads_that_fit(self.settings.threads, nbytes, budget.free // 2).working)
        stack.callback(budget.charge(count * nbytes, "threads that pack").release)
        pool = None
        if pipeline.decodes:
            pool = budget.pool(min(_POOL, budget.free), "decoding")
            stack.callback(pool.close)
        return [Rendering(pipeline, pool) for _ in range(count)]

    def _reading(self, budget: Budget, most: int, stack: ExitStack) -> Sequence[Producer]:
        plan, large = self.plan, LargeRows(budget)
        source, found = plan.source, plan.found
        arena = max(_BITE_NBYTES, 2 * found.largest_files)
        decoding = found.largest_decoding * 3 // 2 if plan.way != "copy" else 0
        arena, decoding = min(arena, budget.free // 8), min(decoding, budget.free // 4)
        stored = sum(found.files.values()) + sum(field.row_nbytes for field in plan.fields.values() if field.kind == "fixed")
        chunks = source.chunks() if source.reads_by_chunk else None
        rows = max(1, min(_MOST_ROWS, plan.rows_per_shard, int(arena / (1.25 * stored + 64))))
        nbytes = reader_nbytes(source, rows, arena) + decoding
        count = min(most, threads_that_fit(self.settings.threads, nbytes, budget.free // 2).working)
        stack.callback(budget.charge(count * nbytes, "threads that pack").release)
        producers: list[Producer] = []
        for _ in range(count):
            reader = RowReader(source, rows, arena)
            if plan.way == "copy":
                producers.append(Copying(source, reader, large, None if chunks is None else chunks.starts))
            else:
                quality = (self.settings.quality or QUALITY) if plan.way == "jpeg" else None
                producers.append(Decoding(source, plan.fields, reader, large, self.settings.max_side, quality, decoding))
        return producers


class Due(NamedTuple):
    """Shards of one split that are missing: the work, their numbers, and the number of rows that were skipped before."""

    work: PartWork
    numbers: Sequence[int]
    bad: int


# What packs the shards of all splits: takes them by split, the budget, and a function that counts finished rows.
Packer = Callable[[Mapping[str, Due], Budget, Callable[[int], None]], Mapping[str, Sequence[PackedShard]]]


def pack_by_threads(
    due: Mapping[str, Due], budget: Budget, progress: Callable[[int], None]
) -> Mapping[str, Sequence[PackedShard]]:  # fmt: skip
    """Pack the shards of all splits in this process, one split after another: a `Packer`."""
    return {
        name: pack_shards(each.work, each.numbers, budget, progress, each.bad) if each.numbers else []
        for name, each in due.items()
    }


def bad_rows(work: PartWork, shard: PackedShard, bad: int) -> int:
    """Add the skipped rows of a shard to ``bad``, and return the sum.

    Raises
    ------
    TooManyBadRows
        If these are more than the settings allow.
    """
    bad += len(shard.skipped)
    total = len(work.plan.source)
    if shard.skipped and bad > max(1, work.settings.max_bad * total):
        raise TooManyBadRows(
            f"{bad:,} of {total:,} rows cannot be read, more than max_bad={work.settings.max_bad:g} allows; the first: "
            f"{shard.skipped[0].reason}"
        )
    return bad


def pack_shards(
    work: PartWork, numbers: Sequence[int], budget: Budget, progress: Callable[[int], None] | None, bad: int = 0
) -> list[PackedShard]:  # fmt: skip
    """Pack shards by several threads. The first error stops all, and is raised; sealed shards stay.

    Parameters
    ----------
    work
        The source.
    numbers
        Numbers of the shards.
    budget
        Budget for all memory.
    progress
        Called in this thread, with the number of rows that were finished since the last call.
    bad
        Number of rows that were skipped before.
    """
    events: queue.SimpleQueue[int | PackedShard | BaseException | None] = queue.SimpleQueue()
    stop, tasks = threading.Event(), iter(numbers)
    lock = threading.Lock()

    def advance(rows: int) -> None:
        """Report finished rows, and end if another thread has failed."""
        if stop.is_set():
            raise Stopped
        events.put(rows)

    def run(producer: Producer) -> None:
        """Pack shards until there are no more."""
        try:
            while not stop.is_set():
                with lock:
                    number = next(tasks, None)
                if number is None:
                    break
                events.put(work.pack(number, producer, advance))
        except Stopped:
            pass
        except BaseException as error:  # noqa: BLE001 - raised in the caller's thread
            stop.set()
            events.put(error)
        finally:
            events.put(None)

    done: list[PackedShard] = []
    with work.producers(budget, len(numbers)) as producers:
        threads = [
            threading.Thread(target=run, args=(producer,), name=f"bitesize-pack-{i}", daemon=True)
            for i, producer in enumerate(producers)
        ]
        try:
            for thread in threads:
                thread.start()
            _collect(events, len(threads), done, progress, work, bad)
        finally:
            stop.set()
            for thread in threads:
                if thread.ident is not None:
                    thread.join()
    return done


def _collect(
    events: queue.SimpleQueue[int | PackedShard | BaseException | None],
    threads: int,
    done: list[PackedShard],
    progress: Callable[[int], None] | None,
    work: PartWork,
    bad: int,
) -> None:
    """Receive what threads report until all have ended; raise the first error."""
    while threads:
        event = events.get()
        if event is None:
            threads -= 1
        elif isinstance(event, BaseException):
            raise event
        elif isinstance(event, PackedShard):
            done.append(event)
            bad = bad_rows(work, event, bad)
        elif progress is not None:
            progress(event)
