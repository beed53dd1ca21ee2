"""`bitesize.pack` by several workers on Ray: each packs one shard at a time, with the same bytes as one process."""

from __future__ import annotations

import contextlib
import logging
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from bitesize.cluster.packing_worker import Job, Sent, begin_packing
from bitesize.cluster.session import Session, connected
from bitesize.cluster.shared_folder import marked
from bitesize.cluster.tasks import deal
from bitesize.cluster.workers import Workers
from bitesize.errors import BadSetting
from bitesize.memory.budget import Budget
from bitesize.memory.sizes import format_size, parse_size
from bitesize.packing.pack import pack_with
from bitesize.packing.report import PackReport
from bitesize.packing.run import Progress
from bitesize.packing.settings import Kind, PackSettings
from bitesize.packing.work import Due, PackedShard, bad_rows
from bitesize.sources.base import Source
from bitesize.sources.known_lists import lists_of
from bitesize.storage.sending import check_sendable
from bitesize.storage.url import is_url

_log = logging.getLogger("bitesize.pack")
# Seconds until the system has ended workers that were killed.
_GONE = 5.0


def pack(
    data: Source | Mapping[str, Source],
    out: str | os.PathLike[str],
    *,
    workers: int | Workers,
    address: str | None = None,
    transforms: Sequence[Any] = (),
    kind: Kind = "auto",
    max_side: int | None = None,
    quality: int | None = None,
    memory: int | str = "auto",
    threads: int | None = None,
    shard_size: int | str | None = None,
    on_error: Literal["raise", "skip"] = "raise",
    max_bad: float = 0.01,
    verify: bool = False,
    progress: Progress | None = None,
) -> PackReport:
    """Collect or decode data once into a packed store, by several workers on Ray.

    The store has the same bytes as that of `bitesize.pack`, whose other settings are the same, and an interrupted run continues in the
    same way, with any number of workers or without. Each worker packs one shard at a time. If one is killed, another one takes its
    place and packs its shard again.

    Parameters
    ----------
    data
        A source, or splits by name. Its files are at addresses, or in a folder that all machines see; values in memory are sent to
        the workers, up to 2 GiB.
    out
        Address of the store, or a folder that all machines see.
    workers
        Number of workers, or `Workers`.
    address
        Address of a cluster: ``"auto"`` for the one on this machine, ``"host:port"`` or ``"ray://host:port"``. Default: the environment
        variable ``RAY_ADDRESS``; without it, Ray is started on this machine until the store is packed.
    transforms, kind, max_side, quality, shard_size, on_error, max_bad, verify
        As in `bitesize.pack`.
    memory
        Memory budget of each worker, and of this process while it plans: bytes, or a string such as ``"512 MiB"``. ``"auto"``: a quarter
        of the available memory, divided by the number of workers on the machine.
    threads
        None or 1: each worker packs with one thread.
    progress
        Called with the number of rows done and the total number of rows, after each shard.

    Returns
    -------
    PackReport
        What was packed, and what was decided.

    Raises
    ------
    MissingPackage
        If Ray is not installed.
    BadSetting
        If settings do not fit the data or each other, or there are too few processors for the workers.
    NotFound
        If a worker does not see the folder of the store, or the files of the data.
    WorkerFailed
        If the worker of a shard ended several times, for example for lack of memory.
    DoesNotFit
        If the data has more than 2 GiB in memory.

    Examples
    --------
    >>> import bitesize as bs
    >>> source = bs.open("s3://bucket/photos")  # doctest: +SKIP
    >>> bs.ray.pack(source, "s3://bucket/packed", workers=16, address="auto")  # doctest: +SKIP
    """
    crew = Workers.of(workers, address)
    crew.refuse_range("packing")
    if threads not in (None, 1):
        raise BadSetting(
            "threads= is for packing by one process: each of the workers packs with one thread, so use more workers"
        )
    if isinstance(memory, Budget):
        raise BadSetting('memory must be a size or "auto": each of the workers has a budget of its own')
    settings = PackSettings(kind, transforms, max_side, quality, shard_size, on_error, max_bad, 1)
    with connected(crew) as session:
        _log.info("workers: %s: %s", crew, session.described)
        dealer = _Dealer(session, crew, out, memory)
        report = pack_with(data, out, settings, memory=memory, verify=verify, progress=progress, packer=dealer)
    return replace(report, peak_nbytes=max(report.peak_nbytes, dealer.peak), notes=(*report.notes, dealer.note))


class _Dealer:
    """Deals shards to workers: a `Packer`.

    Parameters
    ----------
    session, crew
        Connection to Ray, and the workers.
    out
        Folder or address of the store.
    memory
        Budget of each worker.

    Attributes
    ----------
    peak : int
        Largest number of bytes that the budget of a worker held.
    note : str
        What the memory budget is about.
    """

    def __init__(self, session: Session, crew: Workers, out: str | os.PathLike[str], memory: int | str) -> None:
        self._session, self._crew, self._memory = session, crew, memory
        text = os.fspath(out)
        self._out, self._remote = (text if is_url(text) else os.path.abspath(text)), is_url(text)
        self.peak = 0
        each = "a share of its machine" if memory == "auto" else format_size(parse_size(memory))
        self.note = f"memory: {each} for each of {crew} workers (memory= is the budget of one)"

    def __call__(
        self, due: Mapping[str, Due], budget: Budget, progress: Callable[[int], None]
    ) -> Mapping[str, Sequence[PackedShard]]:  # fmt: skip
        """Pack the shards of all splits. The first error ends the workers, and is raised; sealed shards stay."""
        _log.info("%s", self.note)
        pieces = [(name, number) for name, each in due.items() for number in each.numbers]
        jobs = {name: Job.of(each.work) for name, each in due.items()}
        crew = replace(self._crew, most=min(self._crew.most, len(pieces)), least=None)
        done: dict[str, list[PackedShard]] = {name: [] for name in due}
        bad = {name: each.bad for name, each in due.items()}
        with contextlib.ExitStack() as stack:
            stack.callback(budget.charge(check_sendable(jobs), "sources sent to workers").release)
            lists = lists_of(*(job.plan.source for job in jobs.values()))
            sent = Sent(lists, self._session.ray.put(jobs))
            arguments = (self._out, stack.enter_context(self._shared(due)), self._memory, sent)
            dealt = deal(self._session, crew, begin_packing, arguments, pieces, queued=1)
            results = stack.enter_context(contextlib.closing(dealt))
            for (name, number), (shard, peak) in zip(pieces, results, strict=True):
                work = due[name].work
                if shard.info is not None:  # its folder is that of the worker
                    shard = shard._replace(info=replace(shard.info, folder=work.folder / f"{number:05}"))
                done[name].append(shard)
                self.peak = max(self.peak, peak)
                bad[name] = bad_rows(work, shard, bad[name])
                start, stop = work.plan.rows_of(number)
                progress(stop - start)
        return done

    @contextlib.contextmanager
    def _shared(self, due: Mapping[str, Due]) -> Iterator[Path | None]:
        """Mark the folder of the store, so that workers know it; afterwards remove what ended workers have left in it."""
        if self._remote:
            yield None
            return
        with marked(Path(self._out)) as marker:
            try:
                yield marker
            finally:
                deadline = time.monotonic() + _GONE
                while not all(each.work.remove_partials() for each in due.values()) and time.monotonic() < deadline:
                    time.sleep(0.05)
