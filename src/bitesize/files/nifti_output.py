"""Write masks as NIfTI files that lie over the volume they were made from."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitesize.errors import BadFile
from bitesize.files.names import show
from bitesize.files.nifti import raw_header, read_nifti_header
from bitesize.files.pread import with_file

# The level that nibabel uses: masks are long runs of few numbers, of which higher levels save little.
_LEVEL = 1


def is_nifti(path: bytes | None) -> bool:
    """Return whether a path is one of a NIfTI file, by its suffix.

    Examples
    --------
    >>> is_nifti(b"scan.NII.gz"), is_nifti(b"scan.npy"), is_nifti(None)
    (True, False, False)
    """
    return path is not None and path.lower().endswith((b".nii", b".nii.gz"))


def write_mask_over(path: bytes, mask: NDArray[Any], out: Path, *, orient: bool = True) -> None:
    """Write a mask as ``.nii.gz`` with the axes, the affine and the units of the volume that it belongs to.

    Viewers then show it over the volume, and ``nibabel.load(out).dataobj`` has the voxels in the order of ``nibabel.load(path).dataobj``.

    Parameters
    ----------
    path
        The volume: a NIfTI file, or its address.
    mask
        Class numbers, uint8 or uint16, shape (depth, height, width), in the orientation in which the volume is read.
    out
        File to write.
    orient
        Whether the volume is read in its closest canonical orientation; see `read_nifti_header`.

    Raises
    ------
    BadFile
        If the file is not NIfTI, or its volume has another size.
    """
    import nibabel

    header, own = with_file(path, lambda fd: (read_nifti_header(fd, path, orient=orient), raw_header(fd, path)))
    if header.row_shape[:3] != mask.shape:
        raise BadFile(f"{show(path)} is {header.row_shape}, but its mask is {mask.shape}: the file has changed")
    stored = header.stored_view(mask)
    kind = nibabel.Nifti2Image if isinstance(own, nibabel.Nifti2Header) else nibabel.Nifti1Image
    image = kind(stored, own.get_best_affine(), _of_mask(own, stored))
    with out.open("wb") as raw, gzip.GzipFile("", "wb", _LEVEL, raw, mtime=0) as stream:
        image.file_map["image"].fileobj = stream
        image.to_file_map()


def _of_mask(own: Any, stored: NDArray[np.generic]) -> Any:
    """Return the header of a volume with shape and dtype of its mask, and no statement about the values of the volume."""
    header = own.copy()
    header.set_data_offset(0)  # chosen when it is written: extensions are not copied
    header.set_data_dtype(stored.dtype)
    header.set_data_shape(stored.shape)
    header.set_slope_inter(1, 0)
    header.set_intent("label")
    header["cal_min"] = header["cal_max"] = 0
    header["pixdim"][4:] = 1
    return header
