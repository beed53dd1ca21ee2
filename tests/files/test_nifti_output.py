"""Masks as NIfTI files: voxels, affine and units as in the file of the volume, compared with nibabel."""

import os

import numpy as np
import pytest

import bitesize as bs
from bitesize.files.nifti_output import write_mask_over

nibabel = pytest.importorskip("nibabel")

# Axes to the right, to the back and down; oblique; and with x, y and z in another order.
AFFINES = {
    "as stored": np.diag([2.0, 1.0, 3.0, 1.0]),
    "reversed": np.array([[-2.0, 0, 0, 9], [0, 1, 0, 5], [0, 0, -3, 1], [0, 0, 0, 1]]),
    "permuted": np.array([[0, -2.0, 0.1, 5], [0.1, 0, 3, 7], [1.5, 0, 0, -4], [0, 0, 0, 1]]),
}


def volume(path, affine, shape=(5, 6, 7), kind=nibabel.Nifti1Image):
    """Write a volume of random numbers, and return it."""
    values = np.random.default_rng(0).integers(0, 900, shape).astype(np.int16)
    image = kind(values, affine)
    image.header.set_xyzt_units("mm", "sec")
    image.header["cal_max"] = 900
    image.set_qform(affine, 2)
    image.set_sform(affine, 1)
    image.to_filename(path)
    return values


def read(path, orient):
    """Return the row of a file, (depth, height, width)."""
    source = bs.open(str(path), orient=orient)
    row = np.empty((1, *source.spec["x"].shape), source.spec["x"].dtype)
    source.read(np.array([0]), {"x": row})
    return row[0]


@pytest.mark.parametrize("orient", [True, False])
@pytest.mark.parametrize("kind", [nibabel.Nifti1Image, nibabel.Nifti2Image])
@pytest.mark.parametrize("affine", AFFINES.values(), ids=AFFINES)
def test_voxels_lie_over_those_of_the_volume(tmp_path, affine, kind, orient):
    values = volume(tmp_path / "a.nii.gz", affine, kind=kind)
    mask = (read(tmp_path / "a.nii.gz", orient) > 450).astype(np.uint8)
    write_mask_over(os.fsencode(tmp_path / "a.nii.gz"), mask, tmp_path / "mask.nii.gz", orient=orient)
    scan, written = nibabel.load(tmp_path / "a.nii.gz"), nibabel.load(tmp_path / "mask.nii.gz")
    assert (np.asarray(written.dataobj) == (values > 450)).all()
    assert (type(written), written.get_data_dtype()) == (kind, np.uint8)
    for name in ("sform_code", "qform_code", "xyzt_units", "pixdim"):
        assert (written.header[name] == scan.header[name]).all(), name
    assert (written.affine == scan.affine).all()
    assert (written.header.get_qform() == scan.header.get_qform()).all()
    assert written.header["cal_max"] == 0


def test_it_is_read_again_as_the_same_mask(tmp_path):
    volume(tmp_path / "a.nii", AFFINES["permuted"])
    mask = np.arange(7 * 6 * 5, dtype=np.uint16).reshape(read(tmp_path / "a.nii", True).shape) * 200
    write_mask_over(os.fsencode(tmp_path / "a.nii"), mask, tmp_path / "mask.nii.gz")
    again = read(tmp_path / "mask.nii.gz", True)
    assert again.dtype == np.uint16
    assert (again == mask).all()


def test_a_volume_with_channels_has_a_mask_without(tmp_path):
    values = volume(tmp_path / "a.nii.gz", AFFINES["reversed"], (5, 6, 7, 2))
    mask = (read(tmp_path / "a.nii.gz", True)[..., 1] > 450).astype(np.uint8)
    write_mask_over(os.fsencode(tmp_path / "a.nii.gz"), mask, tmp_path / "mask.nii.gz")
    assert (np.asarray(nibabel.load(tmp_path / "mask.nii.gz").dataobj) == (values[..., 1] > 450)).all()


def test_equal_masks_are_equal_files(tmp_path):
    volume(tmp_path / "a.nii.gz", AFFINES["permuted"])
    for name in ("1.nii.gz", "2.nii.gz"):
        write_mask_over(os.fsencode(tmp_path / "a.nii.gz"), np.zeros((5, 7, 6), np.uint8), tmp_path / name)
    assert (tmp_path / "1.nii.gz").read_bytes() == (tmp_path / "2.nii.gz").read_bytes()


def test_a_mask_of_another_size_is_refused(tmp_path):
    volume(tmp_path / "a.nii.gz", AFFINES["as stored"])
    with pytest.raises(bs.BadFile, match=r"is \(7, 6, 5\), but its mask is \(7, 6, 4\)"):
        write_mask_over(os.fsencode(tmp_path / "a.nii.gz"), np.zeros((7, 6, 4), np.uint8), tmp_path / "mask.nii.gz")
