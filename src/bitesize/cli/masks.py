"""Write predicted masks: PNG files of images, NIfTI or `.npy` files of volumes."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path
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
        help="For masks: the folder, or its address, for one PNG per image, with class numbers as gray values, in the size of the image; of volumes one "
        ".nii.gz per NIfTI file, in its orientation, otherwise one .npy. Default: the name of --out with -masks.",
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
    """Writes masks, each file atomically, with the relative path of its image or volume and another suffix.

    Masks of images become .png; those of volumes .nii.gz if the volume is a NIfTI file, else .npy.

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
        self._suffixes: set[str] = set()
        self._charge = budget.charge(len(given) * _NAME_NBYTES, f"names of {len(given):,} masks")

    def write(self, block: Block) -> Iterator[str]:
        """Write the masks of a block; yield their paths, empty for rows without a prediction."""
        import numpy as np

        known = ~np.isnan(block.predictions[:, 0])
        for i, there in enumerate(known.tolist()):
            mask = self._task.held(block.predictions[i : i + 1]).reshape(self._task.size) if there else None
            yield "" if mask is None else self._written(block.start + i, mask)

    @property
    def said(self) -> str:
        """Line on what was written."""
        if self._task.dimensions == 2:
            return "in the sizes of the images; gray values are class numbers"
        ways = {".nii.gz": ".nii.gz with the affine and the orientation of its file", ".npy": ".npy (depth, height, width)"}
        kinds = " or ".join(ways[suffix] for suffix in ways if suffix in self._suffixes)
        return f"one per volume, in its size, as {kinds}; values are class numbers"

    def close(self) -> None:
        """Free the memory of the names."""
        self._charge.release()

    def _written(self, row: int, mask: Any) -> str:
        """Write one mask in the size of its image or volume."""
        from bitesize.files.transfer import replacing_at
        from bitesize.storage import paths
        from bitesize.storage.url import is_url
        from bitesize.training.mask_predictions import resized

        size = self._given.image_size(row, mask.ndim) or mask.shape
        suffix = self._suffix(row)
        path = paths.join(self._folder, *self._name(row, suffix).split("/"))
        self._refuse_input(row, path)
        if not is_url(path):
            os.makedirs(os.path.dirname(path), exist_ok=True)
        charge = self._budget.charge(2 * math.prod(size) * mask.itemsize, "a mask in the size of its image or volume")
        try:
            with replacing_at(path) as temporary:
                self._save(resized(mask, size), row, suffix, temporary)
        finally:
            charge.release()
        return str(path)

    def _suffix(self, row: int) -> str:
        from bitesize.files.nifti_output import is_nifti

        suffix = ".png" if self._task.dimensions == 2 else ".nii.gz" if is_nifti(self._given.path(row)) else ".npy"
        self._suffixes.add(suffix)
        return suffix

    def _save(self, mask: Any, row: int, suffix: str, file: Path) -> None:
        """Save a mask: PNG has 8-bit or 16-bit gray, which every library reads as the same numbers."""
        if suffix == ".png":
            from PIL import Image

            Image.fromarray(mask).save(file, "PNG")
        elif suffix == ".npy":
            import numpy as np

            np.save(file, mask)
        else:
            from bitesize.files.nifti_output import write_mask_over

            volume = self._given.path(row)
            assert volume is not None
            write_mask_over(volume, mask, file, orient=self._given.orient)

    def _refuse_input(self, row: int, path: str) -> None:
        """Raise if a mask would replace the image or volume that it belongs to."""
        from bitesize.errors import BadSetting

        given = self._given.path(row)
        if given is not None and os.path.exists(path) and os.path.exists(given) and os.path.samefile(path, given):
            raise BadSetting(
                f"the mask of {self._given.describe(row)} would replace it: use a folder of its own for --masks"
            )

    def _name(self, row: int, suffix: str) -> str:
        """Return the relative path of a mask; of images with the same name but another suffix, the later ones keep theirs."""
        from bitesize.files.names import stem_of

        relative = self._given.relative(row).lstrip("/")
        parts = [part for part in relative.split("/") if part not in ("", ".", "..")]
        relative = "/".join(parts) or f"row-{row}"
        stem = os.fsdecode(stem_of(os.fsencode(relative)))
        ways = (f"{stem}{suffix}", f"{relative}{suffix}", f"{relative}-{row}{suffix}")
        name = next(name for name in ways if name.lower() not in self._taken)
        self._taken.add(name.lower())
        return name
