"""Open the run that a command names: a folder, or the newest numbered run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from bitesize.cli.console import errors, plain, print_warning

if TYPE_CHECKING:
    from bitesize.training.run import RunFolder


def open_run(run: str, *, uses_model: bool = True) -> RunFolder:
    """Open the folder of a run with a model; print the folder behind ``runs/latest``, and a note on an unfinished run."""
    from bitesize.training import trained
    from bitesize.training.saved_epoch import read_saved_epoch

    folder = trained.open_run(run)
    if not folder.address and folder.path != Path(run) and not Path(run).is_file():
        errors.print(f"{plain(run)} is {plain(folder.path)}", highlight=False, soft_wrap=True)
    if uses_model and (line := read_saved_epoch(folder).unfinished) is not None:
        print_warning(f"{folder.shown}: {line}")
    return folder
