"""The options of commands that can run on several workers."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from bitesize.cli.console import plain, say

if TYPE_CHECKING:
    from bitesize.cluster.team import Team
    from bitesize.cluster.workers import Workers


@dataclass(frozen=True)
class WorkerOptions:
    """Options about the workers of a command."""

    workers: Annotated[
        str | None,
        typer.Option(
            metavar="N",
            help="Divide the work among N processes of Ray, on one machine or several. Default: this process does it.",
        ),
    ] = None
    address: Annotated[
        str | None,
        typer.Option(
            metavar="auto|HOST:PORT|ray://HOST:PORT",
            help="Cluster of Ray for --workers. Default: RAY_ADDRESS; without it, Ray is started on this machine.",
        ),
    ] = None
    gpus_per_worker: Annotated[int, typer.Option(metavar="K", help="GPUs that Ray reserves for each of --workers.")] = 0

    @property
    def chosen(self) -> Workers | None:
        """Return the workers; None if this process does the work."""
        from bitesize.cluster.workers import Workers
        from bitesize.errors import BadSetting

        if self.workers is None:
            if self.address is not None or self.gpus_per_worker:
                raise BadSetting("--address and --gpus-per-worker are about --workers: add it, such as --workers 2")
            return None
        return Workers.parse(self.workers, self.address, self.gpus_per_worker)

    def team(self, memory: str, *, quiet: bool) -> contextlib.AbstractContextManager[Team | None]:
        """Return a context that connects to the workers and prints a line about them; None if this process does the work.

        Parameters
        ----------
        memory
            Option ``--memory``, the budget of each worker.
        quiet
            Whether to print nothing.

        Raises
        ------
        BadSetting
            If the number of workers is a range, which is for training only.
        """
        from bitesize.errors import BadSetting

        chosen = self.chosen
        if chosen is not None and chosen.least is not None:
            raise BadSetting(
                f"--workers {chosen} is a range, which is for training: use one number, such as --workers {chosen.most}"
            )
        return contextlib.nullcontext() if chosen is None else _connected(chosen, memory, quiet=quiet)


@contextlib.contextmanager
def _connected(workers: Workers, memory: str, *, quiet: bool) -> Iterator[Team]:
    from bitesize.cluster.session import connected
    from bitesize.cluster.team import Team

    with connected(workers) as session:
        if not quiet:
            budget = "" if memory == "auto" else f"; --memory {memory} is for each worker"
            say(f"[bold]{'workers':<9}[/] {workers}: {plain(session.described + budget)}")
        yield Team(session, workers)
