"""The work of one worker that packs shards."""

from __future__ import annotations

import contextlib
import itertools
import os
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from bitesize.cluster.shared_folder import check_marked
from bitesize.errors import NotFound, PackedError
from bitesize.memory.budget import Budget
from bitesize.packing.destination import Destination, RemoteDestination
from bitesize.packing.pieces import Producer
from bitesize.packing.plan import PartPlan
from bitesize.packing.settings import PackSettings
from bitesize.packing.work import PackedShard, PartWork
from bitesize.sources.base import Source
from bitesize.sources.known_lists import SentList
from bitesize.storage.url import is_url

Piece = tuple[str, int]  # the name of a split, and the number of a shard
Packed = tuple[PackedShard, int]  # a shard, and the peak of the budget


@dataclass(frozen=True)
class Job:
    """How the shards of one split are packed; see `PartWork`."""

    plan: PartPlan
    settings: PackSettings
    key: str

    @classmethod
    def of(cls, work: PartWork) -> Job:
        """Return the job of the program's own `PartWork`, which knows a folder on its machine."""
        return cls(work.plan, work.settings, work.key)


class Sent(NamedTuple):
    """Lists of objects, and a reference of Ray to the jobs by split, which are opened after the lists."""

    lists: tuple[SentList, ...]
    jobs: Any


def begin_packing(
    out: str, marker: Path | None, memory: int | str, sent: Sent
) -> Callable[[Piece], Packed]:  # fmt: skip
    """Prepare this process to pack shards, and return the function that packs one.

    Parameters
    ----------
    out
        Folder or address of the store.
    marker
        A file in the folder that this process must see; None for an address.
    memory
        Memory budget.
    sent
        What is packed.

    Raises
    ------
    NotFound
        If this process does not see the folder, or the files of the data.
    """
    import ray

    if marker is not None:
        check_marked(marker)
    for each in sent.lists:
        each.use()
    jobs = ray.get(sent.jobs)
    for job in jobs.values():
        check_visible(job.plan.source)
    return _Packing(out, marker, Budget(memory), jobs)


class _Packing:
    """Packs shards, and keeps the memory for those of one split."""

    def __init__(self, out: str, marker: Path | None, budget: Budget, jobs: Mapping[str, Job]) -> None:
        self._marker, self._budget = marker, budget
        self._locked, self._producing = contextlib.ExitStack(), contextlib.ExitStack()
        destination = _own_working_folder(out, self._locked) if is_url(out) else Destination(Path(out))
        self._works = {name: PartWork(job.plan, destination, name, job.settings, job.key) for name, job in jobs.items()}
        self._producer: tuple[str, Producer] | None = None
        for work in self._works.values():
            work.folder.mkdir(exist_ok=True)
            work.remove_partials()

    def __call__(self, piece: Piece) -> Packed:
        """Pack a shard, unless another worker had finished it before it died."""
        if self._marker is not None:
            check_marked(self._marker)  # the program may have ended
        name, number = piece
        work = self._works[name]
        shard = work.kept(number) or work.pack(number, self._producer_of(name), lambda _: None)
        return shard, self._budget.peak

    def _producer_of(self, name: str) -> Producer:
        if self._producer is None or self._producer[0] != name:
            self._producing.close()
            self._producer = name, self._producing.enter_context(self._works[name].producers(self._budget, 1))[0]
        return self._producer[1]


def _own_working_folder(address: str, stack: contextlib.ExitStack) -> Destination:
    """Return a destination with the first working folder that no process uses; killed workers may have left files in it."""
    for number in itertools.count():
        destination = RemoteDestination(address, f"-{number}")
        with contextlib.suppress(PackedError):
            stack.enter_context(destination.locked())
            destination.clear()
            return destination
    raise AssertionError


def check_visible(source: Source) -> None:
    """Raise unless this process sees the files of a source; of a source with a file for each row, the first one."""
    source.check_unchanged()
    missing = [path for path in source.paths(0) if not is_url(path) and not os.path.exists(path)]
    if missing:
        raise NotFound(
            f"the worker on {socket.gethostname()} does not see {os.fsdecode(missing[0])}: put the data into a folder that all machines "
            "share, or at an address such as s3://bucket/photos"
        )
