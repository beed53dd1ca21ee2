"""The run that a command is given: a folder, or the newest of the numbered ones."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from bitesize.cli.console import errors, plain

if TYPE_CHECKING:
    from bitesize.training.run import RunFolder


def open_run(run: str) -> RunFolder:
    """Open the folder of a run that has a model; where ``runs/latest`` is another folder, say which."""
    from bitesize.training import trained

    folder = trained.open_run(run)
    if folder.path != Path(run) and not Path(run).is_file():
        errors.print(f"{plain(run)} is {plain(folder.path)}", highlight=False, soft_wrap=True)
    return folder
