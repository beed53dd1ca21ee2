"""The options of commands that can run on several workers."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from bitesize.cli.console import in_options, plain, say

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

    @contextlib.contextmanager
    def team(self, memory: str, *, quiet: bool) -> Iterator[Team | None]:
        """Connect to the workers within the block, and print a line about them; None if this process does the work.

        Parameters
        ----------
        memory
            Option ``--memory``, the budget of each worker.
        quiet
            Whether to print nothing.
        """
        chosen = self.chosen
        if chosen is None:
            yield None
            return
        from bitesize.cluster.team import team_of

        with team_of(chosen) as team:
            if not quiet:
                budget = "" if memory == "auto" else f"; --memory {memory} is for each worker"
                say(f"[bold]{'workers':<9}[/] {chosen}: {plain(in_options(team.session.described))}{plain(budget)}")
            yield team
