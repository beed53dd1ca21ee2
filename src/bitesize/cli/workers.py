"""The options of commands that can run on several workers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
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
