"""A team: workers of Ray that share the rows of a command, and the connection to them."""

from __future__ import annotations

import contextlib
import pickle
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from bitesize.cluster.needed_files import NeededFiles
from bitesize.cluster.session import Session, connected
from bitesize.cluster.tasks import deal
from bitesize.cluster.workers import Workers
from bitesize.errors import BadSetting, BitesizeError
from bitesize.scan.rows import spans
from bitesize.sources.base import Source

Piece = TypeVar("Piece")
Result = TypeVar("Result")
# Pieces for each worker: so many that all end at about the same time, and progress is seen.
_PIECES = 16
# Most rows of a piece, if there are many: a piece that is lost with its worker is done again.
_MOST_ROWS = 65_536


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

    def share(
        self,
        files: NeededFiles,
        prepare: Callable[..., Callable[[Piece], Result]],
        arguments: tuple[Any, ...],
        pieces: Iterable[Piece],
    ) -> Generator[Result, None, None]:
        """Yield the results of pieces of work, in their order.

        Parameters
        ----------
        files
            Files that the workers read.
        prepare, arguments
            Called once in each worker as ``prepare(*arguments)``; returns the function that does a piece. Arguments, such as sources, are
            sent once, and stored once for each machine.
        pieces
            Pieces of work, such as spans of rows.

        Raises
        ------
        BitesizeError
            The error of the first piece that has failed, or of a worker that lacks files.
        """
        from ray import cloudpickle

        dumps: Any = cloudpickle.dumps  # also for classes and functions of the program itself
        packed = np.frombuffer(dumps((prepare, arguments)), np.uint8)
        yield from deal(self.session, self.workers, _begin, (files, self.session.ray.put(packed)), pieces)

    def spans(self, source: Source, multiple: int = 1, most: int = _MOST_ROWS) -> list[range]:
        """Cut the rows of a source into pieces that start at multiples of a number, and at chunks if it is read by chunk."""
        size = min(most, -(-len(source) // (_PIECES * self.workers.most)))
        chunks = source.chunks() if source.reads_by_chunk else None
        return spans(len(source), size, multiple, None if chunks is None else chunks.starts)


@contextlib.contextmanager
def team_of(workers: Workers) -> Iterator[Team]:
    """Connect to Ray for the work of a team; the connection ends after the block.

    Raises
    ------
    BadSetting
        If the number of workers is a range, or as `session.connected`.
    """
    if workers.least is not None:
        raise BadSetting(
            f"--workers {workers} is a range, from which only training can take any number of workers: use one number, such as "
            f"--workers {workers.most}"
        )
    with connected(workers) as session:
        yield Team(session, workers)


def _begin(files: NeededFiles, reference: Any) -> Callable[[Any], Any]:
    """Prepare a worker, which has the storages and variables of the program already."""
    import ray

    files.enter()
    prepare, arguments = pickle.loads(ray.get(reference))  # noqa: S301 - made by the program that started this worker
    done: Callable[[Any], Any] = prepare(*arguments)
    return done


def portable(errors: Mapping[int, Exception]) -> dict[int, Exception]:
    """Return errors of rows that can be sent to another process: those of other libraries may not be."""
    return {row: error if isinstance(error, BitesizeError) else BitesizeError(str(error)) for row, error in errors.items()}
