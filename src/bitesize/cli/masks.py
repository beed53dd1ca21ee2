"""Write predicted masks as PNG files."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from bitesize.memory.budget import Budget
    from bitesize.training.given import Given
    from bitesize.training.predicting import Block
    from bitesize.training.tasks.base import Task

Masks = Annotated[
    str | None,
    typer.Option(
        metavar="DIR",
        help="For masks: the folder, or its address, for one PNG per image, with class numbers as gray values, in the size of the image. Default: the "
        "name of --out with -masks.",
    ),
]
# Bytes to remember that a name is taken.
_NAME_NBYTES = 128


def masks_folder(task: Task, masks: str | None, out: str | None, overwrite: bool) -> str | None:
    """Return the folder for masks, or None if there are none to write.

    Raises
    ------
    BadSetting
        If the run does not predict masks, or the folder has files and is not to be overwritten.
    """
    from bitesize.errors import BadSetting
    from bitesize.storage import paths
    from bitesize.training.tasks.segment import Segment

    if not isinstance(task, Segment):
        if masks is not None:
            raise BadSetting(f"--masks is for runs that predict masks, but this run has the task {task.name}")
        return None
    if masks is None and out is None:
        return None
    folder = masks or f"{os.path.splitext(str(out))[0]}-masks"
    if not overwrite and paths.isdir(folder) and paths.listdir(folder):
        raise BadSetting(
            f"{folder} has files already: use --overwrite to replace those of the same names, or another --masks"
        )
    return folder


class MaskFiles:
    """Writes masks, each file atomically, with the relative path of its image and the suffix .png.

    Parameters
    ----------
    folder
        Folder or address.
    task
        What the model has learned.
    given
        The rows that are predicted.
    budget
        Memory budget, which is charged for the names.
    """

    def __init__(self, folder: str, task: Any, given: Given, budget: Budget) -> None:
        self._folder, self._task, self._given, self._budget = folder, task, given, budget
        self._taken: set[str] = set()
        self._charge = budget.charge(len(given) * _NAME_NBYTES, f"names of {len(given):,} masks")

    def write(self, block: Block) -> Iterator[str]:
        """Write the masks of a block; yield their paths, empty for rows without a prediction."""
        import numpy as np

        masks = self._task.held(block.predictions).reshape(-1, *self._task.size)
        known = ~np.isnan(block.predictions[:, 0])
        for i, mask in enumerate(masks):
            yield self._written(block.start + i, mask) if known[i] else ""

    def close(self) -> None:
        """Free the memory of the names."""
        self._charge.release()

    def _written(self, row: int, mask: Any) -> str:
        """Write one mask in the size of its image; 8-bit or 16-bit gray, which every library reads as the same numbers."""
        from PIL import Image

        from bitesize.files.transfer import replacing_at
        from bitesize.storage import paths
        from bitesize.storage.url import is_url
        from bitesize.training.mask_predictions import resized

        size = self._given.image_size(row) or mask.shape
        path = paths.join(self._folder, *self._name(row).split("/"))
        if not is_url(path):
            os.makedirs(os.path.dirname(path), exist_ok=True)
        charge = self._budget.charge(2 * size[0] * size[1] * mask.itemsize, "a mask in the size of its image")
        try:
            with replacing_at(path) as temporary:
                Image.fromarray(resized(mask, size)).save(temporary, "PNG")
        finally:
            charge.release()
        return str(path)

    def _name(self, row: int) -> str:
        """Return the relative path of a mask; of images with the same name but another suffix, the later ones keep theirs."""
        relative = self._given.relative(row).lstrip("/")
        parts = [part for part in relative.split("/") if part not in ("", ".", "..")]
        relative = "/".join(parts) or f"row-{row}"
        ways = (str(PurePosixPath(relative).with_suffix(".png")), f"{relative}.png", f"{relative}-{row}.png")
        name = next(name for name in ways if name.lower() not in self._taken)
        self._taken.add(name.lower())
        return name
