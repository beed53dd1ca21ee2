"""Pieces of work, dealt to workers of Ray; their results come in the order of the pieces."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator
from typing import Any, NamedTuple, TypeVar

from bitesize.cluster.session import Session
from bitesize.cluster.worker_start import WorkerStart
from bitesize.cluster.workers import Workers
from bitesize.errors import BitesizeError, WorkerFailed

Piece = TypeVar("Piece")
Result = TypeVar("Result")
# Pieces of each worker that may be dealt before the oldest result is taken, so that a slow worker does not delay others.
AHEAD = 4
# Pieces that each worker has before it: one in work, one that waits for it.
_QUEUED = 2
# How often a piece is given to another worker if the one that had it has died: by a kill, or for lack of memory.
TRIES = 3
# Seconds to wait until workers that were ended are gone, so that they write nothing afterwards.
_GONE = 10.0
_NO_PIECE = object()


def deal(
    session: Session,
    workers: Workers,
    prepare: Callable[..., Callable[[Piece], Result]],
    arguments: tuple[Any, ...],
    pieces: Iterable[Piece],
    *,
    queued: int = _QUEUED,
) -> Generator[Result, None, None]:
    """Yield the results of all pieces, in their order; each piece is done by the worker that is free first.

    Parameters
    ----------
    session, workers
        Connection to Ray, and the number of workers.
    prepare, arguments
        Called once in each worker as ``prepare(*arguments)``; returns the function that does a piece. All of it can be pickled.
    pieces
        Pieces of work. A piece may be done again if its worker died, so it must not matter how often it is begun.
    queued
        Pieces that each worker has before it, with the one in work: 1 for long pieces, so that none waits for a slow worker.

    Raises
    ------
    BitesizeError
        The error of the first piece that has failed.
    WorkerFailed
        If the worker of a piece died `TRIES` times.
    """
    crew = _Crew(session, workers, queued)
    try:
        crew.begin(prepare, arguments)
        yield from crew.results(iter(pieces))
    finally:
        crew.close()


class Worker:
    """A process that does pieces of work, as an actor of Ray."""

    def node(self) -> str:
        """Return the machine of this worker, as Ray names it."""
        import ray

        return str(ray.get_runtime_context().get_node_id())

    def begin(self, start: WorkerStart, local_workers: int) -> None:
        """Prepare the process, before data is opened in it."""
        start.apply(local_workers)

    def prepare(self, prepared: tuple[Callable[..., Any], tuple[Any, ...]]) -> None:
        """Prepare for the work."""
        prepare, arguments = prepared
        self._work = prepare(*arguments)

    def do(self, piece: Any) -> Any:
        """Do a piece of work."""
        return self._work(piece)


class _Dealt(NamedTuple):
    """A piece that a worker has: its position, the number of the worker, its actor, and how often it was begun."""

    position: int
    piece: Any
    number: int
    actor: Any
    tries: int


class _Crew:
    """The workers of one command."""

    def __init__(self, session: Session, workers: Workers, queued: int) -> None:
        self._ray, self._workers, self._queued = session.ray, workers, queued
        self._start, self._actors = WorkerStart(), list[Any]()
        self._under_way: dict[Any, _Dealt] = {}  # by the reference to the result
        self._local: Counter[str] = Counter()

    def begin(self, prepare: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
        """Start the workers, and prepare them."""
        self._prepared = self._ray.put((prepare, arguments))
        self._actors += [self._actor() for _ in range(self._workers.most)]
        nodes = self._get([actor.node.remote() for actor in self._actors])
        self._local.update(nodes)
        begun = [self._begin(actor, self._local[node]) for actor, node in zip(self._actors, nodes, strict=True)]
        for references in begun:
            self._get(references)

    def _actor(self) -> Any:
        kind, resources = self._ray.remote(Worker), self._workers.resources
        options = {"num_cpus": resources["CPU"], "num_gpus": resources.get("GPU", 0), "scheduling_strategy": "SPREAD"}
        return kind.options(**options).remote()

    def _begin(self, actor: Any, local: int) -> list[Any]:
        return [actor.begin.remote(self._start, local), actor.prepare.remote(self._prepared)]

    def results(self, pieces: Iterator[Any]) -> Iterator[Any]:
        """Deal the pieces, a few ahead, and yield the results in order."""
        finished: dict[int, Any] = {}  # results, and errors, that came before those of earlier pieces
        dealt = due = 0
        while True:
            while dealt - due < AHEAD * len(self._actors) and (number := self._free()) is not None:
                piece = next(pieces, _NO_PIECE)
                if piece is _NO_PIECE:
                    break
                self._deal(_Dealt(dealt, piece, number, self._actors[number], 1))
                dealt += 1
            if due == dealt:
                return
            if due not in finished:
                self._wait(finished)
                continue
            result = finished.pop(due)
            due += 1
            if isinstance(result, Exception):
                raise result
            yield result

    def _free(self) -> int | None:
        """Return the worker with the fewest pieces; None if each has enough."""
        loads = [0] * len(self._actors)
        for dealt in self._under_way.values():
            loads[dealt.number] += 1
        return loads.index(min(loads)) if min(loads) < self._queued else None

    def _deal(self, dealt: _Dealt) -> None:
        self._under_way[dealt.actor.do.remote(dealt.piece)] = dealt

    def _wait(self, finished: dict[int, Any]) -> None:
        """Wait for a result, or the error that a worker has raised; a piece whose worker has died is dealt again."""
        (reference,), _ = self._ray.wait(list(self._under_way))
        dealt = self._under_way.pop(reference)
        try:
            finished[dealt.position] = self._get(reference)
        except self._ray.exceptions.RayActorError as error:
            if dealt.tries == TRIES:
                finished[dealt.position] = _worker_failed(error)
                return
            if self._actors[dealt.number] is dealt.actor:  # no other piece has noticed it yet
                self._replace(dealt.number)
            self._deal(dealt._replace(actor=self._actors[dealt.number], tries=dealt.tries + 1))
        except Exception as error:  # noqa: BLE001 - raised when it is due
            finished[dealt.position] = error

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
            if isinstance(
                cause, self._ray.exceptions.RaySystemError
            ):  # Ray has only the text of errors while it opens what was sent
                text = str(cause).removeprefix("System error: ").partition("\n")[0]
                raise WorkerFailed(
                    f"a worker cannot open the data: {text}. Use a folder that all machines share, or addresses such as s3://bucket/data"
                ) from error
            raise

    def close(self) -> None:
        """End the workers, and wait until they are gone."""
        if not self._ray.is_initialized():  # the connection is lost, and Ray ends them
            return
        for actor in self._actors:
            self._ray.kill(actor)
        gone = [actor.node.remote() for actor in self._actors]
        if gone:
            self._ray.wait(gone, num_returns=len(gone), timeout=_GONE)


def _worker_failed(error: Exception) -> WorkerFailed:
    cause = str(error).strip().splitlines()[0]
    failure = WorkerFailed(
        f"a worker ended {TRIES} times at the same piece of work; the system may have ended it for lack of memory: {cause}"
    )
    failure.__cause__ = error
    return failure
