"""Volumes with label volumes: each mask is in the orientation of its volume, with whole numbers."""

import numpy as np
import pytest

import bitesize as bs
from bitesize.sources.nifti_masks import NiftiWithMasks
from bitesize.testing import check_source

nibabel = pytest.importorskip("nibabel")


def write(path, values, affine=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.Nifti1Image(values, np.diag([-1.0, 1, -1, 1]) if affine is None else affine).to_filename(path)


def data(folder, images="images", masks="labels", image="{}.nii.gz", mask="{}.nii.gz", dtype=np.uint8):
    random = np.random.default_rng(0)
    for i in range(8):
        values = random.integers(0, 3, (6, 5, 4))
        write(folder / images / image.format(i), (values * 100).astype(np.int16))
        write(folder / masks / mask.format(i), values.astype(dtype))
    return folder


def test_the_contract_of_sources_holds(tmp_path):
    check_source(NiftiWithMasks.example(tmp_path, 12))


@pytest.mark.parametrize(
    "names",
    [
        {"images": "imagesTr", "masks": "labelsTr", "image": "liver_{}_0000.nii.gz", "mask": "liver_{}.nii.gz"},  # nnU-Net
        {"image": "{}.nii", "mask": "{}_seg.nii.gz"},
        {"images": "", "masks": "", "image": "{}_image.nii.gz", "mask": "{}_mask.nii.gz"},
    ],
)
def test_masks_are_found_by_their_names(tmp_path, names):
    source = bs.open(data(tmp_path, **names))
    assert source.spec["y"].mask
    assert source.spec["y"].dtype == np.uint8
    assert all((source[i]["x"] == 100 * source[i]["y"].astype(np.int16)).all() for i in range(8))


def test_masks_are_given_as_a_folder_or_in_lists(tmp_path):
    data(tmp_path)
    images = [str(tmp_path / "images" / f"{i}.nii.gz") for i in range(8)]
    masks = [str(tmp_path / "labels" / f"{i}.nii.gz") for i in range(8)]
    for source in (
        bs.open(tmp_path / "images", labels=tmp_path / "labels"),
        bs.open(images, labels=masks),
        bs.open(list(zip(images, masks, strict=True))),
    ):
        assert all((source[i]["x"] == 100 * source[i]["y"].astype(np.int16)).all() for i in range(8))
    alone = bs.open(tmp_path, labels=False)
    assert list(alone.spec) == ["x"]


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int32])
def test_whole_numbers_of_other_types_become_int16(tmp_path, dtype):
    source = bs.open(data(tmp_path, dtype=dtype))
    assert source.spec["y"].dtype == np.int16
    assert all((source[i]["x"] == 100 * source[i]["y"]).all() for i in range(8))
    write(tmp_path / "labels" / "3.nii.gz", np.full((6, 5, 4), 0.5 if dtype != np.int32 else 40_000).astype(dtype))
    with pytest.raises(bs.BadFile, match=r"3\.nii\.gz is a mask with values that are no whole numbers"):
        source[3]


def test_a_missing_mask_and_another_shape_are_errors(tmp_path):
    data(tmp_path)
    (tmp_path / "labels" / "2.nii.gz").unlink()
    with pytest.raises(bs.NotFound, match=r"1 of 8 images have no mask.*2\.nii\.gz"):
        bs.open(tmp_path)
    write(tmp_path / "labels" / "2.nii.gz", np.zeros((6, 5, 3), np.uint8))
    with pytest.raises(bs.BadFile, match=r"2\.nii\.gz is \(3, 5, 6\), but \(4, 5, 6\)"):
        bs.open(tmp_path)[2]


def test_masks_move_with_their_volumes(tmp_path):
    source = bs.open(data(tmp_path))
    with bs.Loader(source, batch_size=4, memory="64 MiB", transforms=[bs.Flip(), bs.RandomCrop(4)]) as loader:
        for batch in loader:
            assert (batch["x"] == 100 * batch["y"].astype(np.int16)).all()
