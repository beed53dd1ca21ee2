"""Pieces of work, dealt to workers of Ray; their results come in the order of the pieces."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any, NamedTuple, TypeVar

from bitesize.cluster.session import Session
from bitesize.cluster.worker_start import WorkerStart
from bitesize.cluster.workers import Workers
from bitesize.errors import BitesizeError, WorkerFailed

Piece = TypeVar("Piece")
Result = TypeVar("Result")
# Pieces that each worker has before it: one in work, one that waits for it.
_AHEAD = 2
# How often a piece is given to another worker if the one that had it has died: by a kill, or for lack of memory.
TRIES = 3


def deal(
    session: Session,
    workers: Workers,
    prepare: Callable[..., Callable[[Piece], Result]],
    arguments: tuple[Any, ...],
    pieces: Iterable[Piece],
) -> Iterator[Result]:
    """Yield the results of all pieces, in their order; each piece is done by one of the workers.

    Parameters
    ----------
    session, workers
        Connection to Ray, and the number of workers.
    prepare, arguments
        Called once in each worker as ``prepare(*arguments)``; returns the function that does a piece. All of it can be pickled.
    pieces
        Pieces of work. A piece may be done again if its worker died, so it must not matter how often it is begun.

    Raises
    ------
    BitesizeError
        The error of the first piece that has failed.
    WorkerFailed
        If the worker of a piece died `TRIES` times.
    """
    crew = _Crew(session, workers, prepare, arguments)
    try:
        yield from crew.results(iter(pieces))
    finally:
        crew.close()


class Worker:
    """A process that does pieces of work, as an actor of Ray."""

    def node(self) -> str:
        """Return the machine of this worker, as Ray names it."""
        import ray

        return str(ray.get_runtime_context().get_node_id())

    def begin(self, start: WorkerStart, local_workers: int, prepare: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
        """Prepare for the work."""
        start.apply(local_workers)
        self._work = prepare(*arguments)

    def do(self, piece: Any) -> Any:
        """Do a piece of work."""
        return self._work(piece)


class _Dealt(NamedTuple):
    """A piece, the number of the worker that has it, its actor, and the reference to the result."""

    piece: Any
    number: int
    actor: Any
    reference: Any


class _Crew:
    """The workers of one command."""

    def __init__(self, session: Session, workers: Workers, prepare: Any, arguments: tuple[Any, ...]) -> None:
        self._ray, self._resources = session.ray, workers.resources
        self._start, self._prepared = WorkerStart(), (prepare, arguments)
        self._actors = [self._actor() for _ in range(workers.most)]
        nodes = self._get([actor.node.remote() for actor in self._actors])
        self._local = Counter(nodes)
        self._get([self._begin(actor, self._local[node]) for actor, node in zip(self._actors, nodes, strict=True)])
        self._next = deque(range(len(self._actors)))

    def _actor(self) -> Any:
        kind = self._ray.remote(Worker)
        cpus, gpus = self._resources["CPU"], self._resources.get("GPU", 0)
        return kind.options(num_cpus=cpus, num_gpus=gpus, scheduling_strategy="SPREAD").remote()

    def _begin(self, actor: Any, local: int) -> Any:
        return actor.begin.remote(self._start, local, *self._prepared)

    def results(self, pieces: Iterator[Any]) -> Iterator[Any]:
        """Deal the pieces in turn, a few ahead, and yield the results in order."""
        waiting = deque(self._deal(piece) for piece in islice(pieces, _AHEAD * len(self._actors)))
        while waiting:
            result = self._result(waiting.popleft())
            waiting.extend(self._deal(piece) for piece in islice(pieces, 1))
            yield result

    def _deal(self, piece: Any) -> _Dealt:
        number = self._next[0]
        self._next.rotate(-1)
        actor = self._actors[number]
        return _Dealt(piece, number, actor, actor.do.remote(piece))

    def _result(self, dealt: _Dealt) -> Any:
        """Return a result; if the worker has died, start another one in its place and repeat the piece."""
        for _ in range(TRIES):
            try:
                return self._get(dealt.reference)
            except self._ray.exceptions.RayActorError as error:
                failure = error
                if self._actors[dealt.number] is dealt.actor:  # no other piece has noticed it yet
                    self._replace(dealt.number)
                actor = self._actors[dealt.number]
                dealt = dealt._replace(actor=actor, reference=actor.do.remote(dealt.piece))
        raise WorkerFailed(
            f"a worker ended {TRIES} times at the same piece of work; the system may have ended it for lack of memory: {_cause(failure)}"
        ) from failure

    def _replace(self, number: int) -> None:
        actor = self._actors[number] = self._actor()
        node = self._get(actor.node.remote())
        self._get(self._begin(actor, max(1, self._local[node])))

    def _get(self, references: Any) -> Any:
        """Wait for results; raise the error that a worker has raised."""
        try:
            return self._ray.get(references)
        except self._ray.exceptions.RayTaskError as error:
            cause = error.cause
            if isinstance(cause, BitesizeError | OSError):
                raise cause from None
            raise

    def close(self) -> None:
        """End the workers."""
        for actor in self._actors:
            self._ray.kill(actor)


def _cause(error: Exception) -> str:
    return str(error).strip().splitlines()[0]
