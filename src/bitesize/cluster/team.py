"""A team: workers of Ray that share the rows of a command, and the connection to them."""

from __future__ import annotations

import logging
import pickle
from collections.abc import Callable, Collection, Generator, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitesize.cluster.needed_files import NeededFiles
from bitesize.cluster.session import Session
from bitesize.cluster.tasks import deal
from bitesize.cluster.workers import Workers
from bitesize.errors import BitesizeError, WorkerFailed, one_line
from bitesize.memory.budget import Budget
from bitesize.scan.rows import spans
from bitesize.sources.base import Source
from bitesize.storage.sending import check_sendable

# Pieces for each worker. Small pieces let all workers end at about the same time, and show progress.
_PIECES = 16
# Most rows of a piece, if there are many: a piece that is lost with its worker is done again.
_MOST_ROWS = 65_536
# Most pieces of each worker whose results wait for the oldest, as `tasks` deals them.
_UNDER_WAY = 4


@dataclass(frozen=True)
class Job:
    """Work that a team shares.

    Parameters
    ----------
    prepare, arguments
        Called once in each worker as ``prepare(*arguments)``; returns the function that does a piece. Arguments, such as sources, are sent
        once, and stored once for each machine.
    sources
        Sources among the arguments.
    paths
        Other files and folders that the workers need.
    result_nbytes
        Most bytes of the result of a piece.
    """

    prepare: Callable[..., Callable[[Any], Any]]
    arguments: tuple[Any, ...]
    sources: Collection[Source]
    paths: Collection[str] = ()
    result_nbytes: int = 0

    def packed(self) -> NDArray[np.uint8]:
        """Return what workers need to prepare, as bytes.

        Raises
        ------
        DoesNotFit
            If a source has more values in memory than are sent.
        """
        for source in self.sources:
            check_sendable(source)
        from ray import cloudpickle

        dumps: Any = cloudpickle.dumps  # also for classes and functions of the program itself
        return np.frombuffer(dumps((self.prepare, self.arguments)), np.uint8)


@dataclass(frozen=True)
class Team:
    """Workers that share the rows of a command.

    Parameters
    ----------
    session
        Connection to Ray.
    workers
        Number of workers, and their resources.
    """

    session: Session
    workers: Workers

    def share(self, job: Job, pieces: Iterable[Any], budget: Budget) -> Generator[Any, None, None]:
        """Yield the results of pieces of work, in their order.

        Parameters
        ----------
        job
            What the workers do.
        pieces
            Pieces of work, such as spans of rows.
        budget
            Memory budget of this process: for results that wait until those before them have come.

        Raises
        ------
        BitesizeError
            The error of the first piece that has failed, or of a worker that lacks files.
        WorkerFailed
            If a worker died before its first piece, or the worker of a piece died several times.
        """
        files = NeededFiles.of(job.sources, job.paths)
        sent = budget.charge(sum(source.nbytes for source in job.sources), "sources sent to workers")
        try:
            reference = self.session.ray.put(job.packed())
        finally:
            sent.release()
        waiting = (_UNDER_WAY * self.workers.most + 1) * job.result_nbytes
        charge = budget.charge(waiting, "results of workers")
        try:
            yield from deal(self.session, self.workers, _begin, (files, reference), pieces)
        except self.session.ray.exceptions.RayActorError as error:
            raise WorkerFailed(
                f"a worker ended before its first piece of work; the system may have ended it for lack of memory (fewer workers need less): {one_line(error)}"
            ) from error
        finally:
            charge.release()

    def spans(self, source: Source, multiple: int = 1, most: int = _MOST_ROWS) -> list[range]:
        """Cut the rows of a source into pieces that start at multiples of a number, and at chunks if it is read by chunk."""
        size = min(most, -(-len(source) // (_PIECES * self.workers.most)))
        chunks = source.chunks() if source.reads_by_chunk else None
        return spans(len(source), size, multiple, None if chunks is None else chunks.starts)


def _begin(files: NeededFiles, reference: Any) -> Callable[[Any], Any]:
    """Prepare a worker, which has the storages and variables of the program already."""
    import ray

    logging.getLogger("bitesize.rows").setLevel(logging.ERROR)  # the program logs the bad rows of all workers
    files.enter()
    prepare, arguments = pickle.loads(ray.get(reference))  # noqa: S301 - made by the program that started this worker
    done: Callable[[Any], Any] = prepare(*arguments)
    return done


def portable(errors: Mapping[int, Exception]) -> dict[int, Exception]:
    """Return errors of rows that can be sent to another process: those of other libraries may not be."""
    return {row: error if isinstance(error, BitesizeError) else BitesizeError(str(error)) for row, error in errors.items()}
