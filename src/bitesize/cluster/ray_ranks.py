"""Run a function on the ranks of Ray Train: started together, started again after a failure, with messages to the program."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import tempfile
import threading
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bitesize.cluster.join import connect_jax
from bitesize.cluster.mailbox import Event, Mailbox
from bitesize.cluster.session import Session
from bitesize.cluster.worker_start import WorkerStart
from bitesize.cluster.workers import Workers
from bitesize.errors import BadSetting, MissingPackage, WorkerFailed, one_line
from bitesize.files.atomic import write_json
from bitesize.storage.stores import options_of
from bitesize.storage.url import is_url
from bitesize.training.backend import choose_backend
from bitesize.training.find_ranks import ranks_of_this_process
from bitesize.training.ranks import OneProcess, Ranks
from bitesize.training.timeout import rank_timeout

# How often the workers are started again after one of them has ended or stopped to answer.
FAILURES = 3


@dataclass(frozen=True)
class RankTask:
    """Task of each rank.

    Parameters
    ----------
    function
        Called on each rank as ``function(ranks, again, out, send, *arguments)``: the ranks; how often they were started before; the
        folder that an earlier start has sent, or None; and the function that sends an `Event` and returns whether to stop.
    arguments
        Arguments that can be pickled.
    folder
        Folder or address for the small files of Ray, which all machines reach; None for one machine.
    backend
        Framework of Keras: ``"jax"`` or ``"torch"``.
    """

    function: Callable[..., None]
    arguments: tuple[Any, ...]
    folder: str | None
    backend: str = field(default_factory=choose_backend)


class RankedRun:
    """Ranks of Ray Train at work, in the background of this program.

    Parameters
    ----------
    session, workers
        Connection to Ray, and the number of ranks.
    task
        What they do.
    """

    def __init__(self, session: Session, workers: Workers, task: RankTask) -> None:
        _check(workers, task)
        self._ray = session.ray
        self._mailbox = session.ray.remote(Mailbox).options(num_cpus=0).remote()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._fit, args=(workers, task), name="bitesize-ray", daemon=True)
        self._failure: Exception | None = None
        self._thread.start()

    def events(self, every: float = 0.2) -> Iterator[list[Event]]:
        """Yield the messages of the ranks until they have ended, several times a second; the list may be empty.

        Raises
        ------
        WorkerFailed
            If ranks have ended more than `FAILURES` times.
        """
        while not self._done.wait(every):
            yield self._take()
        yield self._take()
        if self._failure is not None:
            raise WorkerFailed(
                f"workers have ended, or did not answer, and were started again {FAILURES} times: {_reason(self._failure)}"
            ) from self._failure

    def _take(self) -> list[Event]:
        try:
            events: list[Event] = self._ray.get(self._mailbox.take.remote())
        except Exception as error:  # Ray raises many types when its head is gone
            raise _lost(error) from error
        return events

    def stop(self) -> None:
        """Make the ranks save, and stop."""
        self._ray.get(self._mailbox.stop.remote())

    def _fit(self, workers: Workers, task: RankTask) -> None:
        try:
            with _storage(task.folder) as storage:
                trainer = _trainer(workers, task, self._mailbox, storage)
                if self._ray.is_initialized():  # else Ray would look for another cluster
                    trainer.fit()
        except Exception as error:  # noqa: BLE001 - raised in the thread that takes the messages
            self._failure = error
        finally:
            self._done.set()


def _lost(error: Exception) -> WorkerFailed:
    why = one_line(error, 900)  # the reason comes after the names of the actor
    return WorkerFailed(f"the connection to the cluster of Ray is lost: {why}. The same command continues the run")


def _check(workers: Workers, task: RankTask) -> None:
    """Raise for what no worker could do."""
    if task.backend not in ("jax", "torch"):
        raise BadSetting(
            f"several workers train on JAX or PyTorch, but Keras runs on {task.backend}: set the environment variable KERAS_BACKEND to jax or "
            "torch"
        )
    if workers.least is not None and workers.least == workers.most == 0:
        raise BadSetting("at least one worker is needed")


def _trainer(workers: Workers, task: RankTask, mailbox: Any, storage: dict[str, Any]) -> Any:
    """Return the trainer of Ray Train."""
    try:
        from ray.train import FailureConfig, RunConfig, ScalingConfig
        from ray.train.backend import BackendConfig
        from ray.train.v2.api.data_parallel_trainer import DataParallelTrainer
    except ImportError as error:
        raise MissingPackage(f"--workers needs Ray Train: {error}; pip install 'bitesize[ray]'") from error
    backend: Any = BackendConfig()
    if task.backend == "torch":
        from ray.train.torch import TorchConfig

        backend = TorchConfig(timeout_s=int(rank_timeout().total_seconds()))
    return DataParallelTrainer(
        _run_rank,
        train_loop_config={"task": task, "mailbox": mailbox, "start": WorkerStart()},
        backend_config=backend,
        scaling_config=ScalingConfig(
            num_workers=workers.most if workers.least is None else (workers.least, workers.most),
            use_gpu=workers.gpus_per_worker > 0,
            resources_per_worker=workers.resources,
            placement_strategy="SPREAD",
        ),
        run_config=RunConfig(
            name=f"bitesize-{uuid.uuid4().hex[:12]}", failure_config=FailureConfig(max_failures=FAILURES), **storage
        ),
    )


def _run_rank(config: dict[str, Any]) -> None:
    """Connect a worker with the others, and do the task."""
    import ray
    import ray.train
    import ray.train.collective

    context, mailbox, task = ray.train.get_context(), config["mailbox"], config["task"]
    config["start"].apply(context.get_local_world_size())
    os.environ["LOCAL_RANK"] = str(context.get_local_rank())
    os.environ["KERAS_BACKEND"] = task.backend

    def send(kind: str, value: Any = None) -> bool:
        """Send a message; return whether to stop."""
        return bool(ray.get(mailbox.put.remote(Event(kind, value))))

    again, ends, out = ray.train.collective.broadcast_from_rank_zero(
        ray.get(mailbox.start.remote()) if context.get_world_rank() == 0 else None
    )
    if not ends:
        task.function(_connected(context, task.backend), again, out, send, *task.arguments)


def report(figures: dict[str, Any], checkpoints: str, *, first: bool) -> None:
    """Report the figures of an epoch to Ray Train, on all ranks; rank 0 adds a checkpoint that points to the run's own.

    Ray would copy each checkpoint again; those of a run are complete, and any number of ranks resumes from them.
    """
    import ray.train

    if not first:
        ray.train.report(figures)
        return
    with tempfile.TemporaryDirectory(prefix="bitesize-") as folder:
        write_json(Path(folder) / "checkpoint.json", {"uri": checkpoints})
        ray.train.report(figures, checkpoint=ray.train.Checkpoint.from_directory(folder))


def _connected(context: Any, backend: str) -> Ranks:
    """Return the ranks; Ray has connected those of torch."""
    from ray.train.collective import broadcast_from_rank_zero

    if context.get_world_size() == 1:
        return OneProcess()
    if backend != "jax":
        return ranks_of_this_process()
    first = context.get_world_rank() == 0
    address = broadcast_from_rank_zero(_free_address() if first else None)
    return connect_jax(
        {
            "coordinator_address": address,
            "num_processes": context.get_world_size(),
            "process_id": context.get_world_rank(),
        }
    )


def _free_address() -> str:
    """Return this machine's address in the cluster, with a free port."""
    import ray.util

    host = ray.util.get_node_ip_address()
    with socket.socket() as probe:
        probe.bind(("", 0))
        return f"{host}:{probe.getsockname()[1]}"


@contextlib.contextmanager
def _storage(folder: str | None) -> Iterator[dict[str, Any]]:
    """Yield the settings of the place for the small files of Ray; remove a folder of this machine afterwards."""
    if folder is None:
        path = tempfile.mkdtemp(prefix="bitesize-ray-")
        try:
            yield {"storage_path": path}
        finally:
            shutil.rmtree(path, ignore_errors=True)
    elif is_url(folder) and (options := options_of(folder)):
        yield {
            "storage_path": folder.partition("://")[2],
            "storage_filesystem": _filesystem(folder, options),
        }
    else:
        yield {"storage_path": folder}


def _filesystem(address: str, options: dict[str, Any]) -> Any:
    """Return the file system of pyarrow for an address with options."""
    from pyarrow import fs

    if not address.startswith("s3://"):
        raise BadSetting(
            f"{address} has storage options, which Ray takes for s3:// only: set its credentials in the environment of the workers"
        )
    names = {
        "access_key": "access_key_id",
        "secret_key": "secret_access_key",
        "session_token": "session_token",
        "region": "region",
        "endpoint_override": "endpoint",
    }
    given = {name: options.get(ours) or options.get(f"aws_{ours}") for name, ours in names.items()}
    return fs.S3FileSystem(**{name: value for name, value in given.items() if value})


def _reason(error: Exception) -> str:
    failures = getattr(error, "worker_failures", None) or {}
    first = next(iter(failures.values()), error)
    lines = [line for line in str(first).strip().splitlines() if line.strip()]
    return lines[-1].strip() if lines else type(first).__name__
