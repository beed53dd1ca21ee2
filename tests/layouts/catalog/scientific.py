"""HDF5 and Zarr, and formats that are refused with a way out."""

import pickle
import zipfile

import numpy as np
import pytest

from tests.layouts.catalog.registry import (
    CAT_DOG,
    DIGITS,
    MORE_DIGITS,
    TRAIN,
    Given,
    class_numbers,
    frame,
    labels_of,
    layout,
    marker,
    stacked,
    unlabeled,
    write_file,
)


def write_h5(path, **arrays):
    with pytest.importorskip("h5py").File(path, "w") as file:
        for name, values in arrays.items():
            file[name] = values


@layout(DIGITS)
def h5_images_labels(root):
    """Data sets called images and labels."""
    write_h5(root / "data.h5", images=stacked(range(12), (8, 8, 3)), labels=class_numbers(range(12)))
    return Given(str(root / "data.h5"))


@layout(labels_of(range(12), lambda i: i / 8), width=5)
def h5_x_y_features(root):
    """Data sets called X and y, of floating-point numbers."""
    write_h5(
        root / "train.hdf5",
        X=np.array([[marker(i), 0.1, 0.2, 0.3, 0.4] for i in range(12)], np.float32),
        y=np.arange(12, dtype=np.float32) / 8,
    )
    return Given(str(root / "train.hdf5"))


@layout(DIGITS, kind="may_refuse")
def h5_odd_names_labels_kw(root):
    """Data sets of other names; the labels are named."""
    write_h5(
        root / "exp42.h5",
        img_data=stacked(range(12), (8, 8, 3)),
        cls_id=class_numbers(range(12)),
        timestamps=np.arange(12) * 0.5,
    )
    return Given(str(root / "exp42.h5"), labels="cls_id")


@layout(DIGITS, kind="may_refuse")
def h5_fields_kw(root):
    """Data sets of other names; both fields are named."""
    write_h5(
        root / "exp42.h5",
        img_data=stacked(range(12), (8, 8, 3)),
        cls_id=class_numbers(range(12)),
        timestamps=np.arange(12) * 0.5,
    )
    return Given(str(root / "exp42.h5"), fields={"x": "img_data", "y": "cls_id"})


@layout(TRAIN)
def h5_text_labels(root):
    """Labels as bytes."""
    write_h5(
        root / "d.h5", images=stacked(range(12), (8, 8, 3)), labels=np.array([CAT_DOG[i % 2].encode() for i in range(12)])
    )
    return Given(str(root / "d.h5"))


@layout(DIGITS, kind="may_refuse")
def h5_group_per_sample(root):
    """A group for each row."""
    write_h5(
        root / "cells.h5",
        **{f"sample_{i:04d}/image": np.full((8, 8), marker(i), np.uint16) for i in range(12)},
        **{f"sample_{i:04d}/label": i % 3 for i in range(12)},
    )
    return Given(str(root / "cells.h5"))


@layout(DIGITS, splits={"train": DIGITS, "test": MORE_DIGITS})
def h5_train_test_groups(root):
    """A group for each split."""
    arrays = {
        "train/images": stacked(range(12), (8, 8, 3)),
        "train/labels": class_numbers(range(12)),
        "test/images": stacked(range(12, 18), (8, 8, 3)),
        "test/labels": class_numbers(range(12, 18)),
    }
    write_h5(root / "split.h5", **arrays)
    return Given(str(root / "split.h5"))


@layout(DIGITS, splits={"train": DIGITS}, kind="may_refuse", about=("train_set_y",))
def h5_train_set_x_coursera(root):
    """Coursera: train_set_x, train_set_y and list_classes."""
    write_h5(
        root / "train_catvnoncat.h5",
        train_set_x=stacked(range(12), (8, 8, 3)),
        train_set_y=class_numbers(range(12)).astype(np.int64),
        list_classes=np.array([b"non-cat", b"cat", b"other"]),
    )
    return Given(str(root / "train_catvnoncat.h5"))


@layout(DIGITS, kind="may_refuse")
def pcam_x_h5_y_h5(root):
    """PCam: images and labels in two files, labels of shape (N, 1, 1, 1)."""
    write_h5(root / "camelyonpatch_level_2_split_train_x.h5", x=stacked(range(12), (8, 8, 3)))
    write_h5(root / "camelyonpatch_level_2_split_train_y.h5", y=class_numbers(range(12)).reshape(-1, 1, 1, 1))
    return Given(str(root))


@layout(DIGITS, kind="may_refuse")
def h5_folder_of_runs(root):
    """Three runs with the same data sets."""
    for k in range(3):
        rows = range(4 * k, 4 * k + 4)
        write_h5(root / f"run_{k + 1:02d}.h5", images=stacked(rows, (8, 8, 3)), labels=class_numbers(rows))
    return Given(str(root))


@layout(DIGITS, kind="may_refuse")
def zarr_images_labels(root):
    """A Zarr group with images and labels."""
    group = pytest.importorskip("zarr").open_group(str(root / "plate.zarr"), mode="w")
    for name, values in (("images", stacked(range(12), (8, 8, 3))), ("labels", class_numbers(range(12)))):
        array = group.create_array(name, shape=values.shape, chunks=(4, *values.shape[1:]), dtype=values.dtype)
        array[:] = values
    return Given(str(root / "plate.zarr"))


@layout(unlabeled(), kind="must_refuse", named=("damaged",))
def nnunet_nifti(root):
    """nnU-Net: compressed NIfTI files that are cut off."""
    for i in range(4):
        write_file(root / "imagesTr" / f"liver_{i:03d}_0000.nii.gz", b"\x1f\x8b\x08\x00")
        write_file(root / "labelsTr" / f"liver_{i:03d}.nii.gz", b"\x1f\x8b\x08\x00")
    write_file(root / "dataset.json", "{}")
    return Given(str(root))


@layout(unlabeled(), kind="must_refuse", named=("DICOM",))
def dicom_class_folders(root):
    """DICOM files without pixels in class folders."""
    for i in range(6):
        write_file(root / ("normal", "abnormal")[i % 2] / f"IM{i:04d}.dcm", b"\0" * 128 + b"DICM")
    return Given(str(root))


@layout(unlabeled(), kind="must_refuse", named=(".wav",))
def wav_class_folders(root):
    """Sound files in class folders."""
    for i in range(6):
        write_file(root / ("yes", "no")[i % 2] / f"{i:08x}_nohash_0.wav", b"RIFF\x24\0\0\0WAVEfmt ")
    write_file(root / "testing_list.txt", "yes/00000000_nohash_0.wav\n")
    return Given(str(root))


@layout(unlabeled(), kind="must_refuse", named=("TFRecord", ".tfrecord", ".tfrecord-00000-of-00002"))
def tfrecord_shards(root):
    """TFRecord files."""
    for k in range(2):
        write_file(root / f"train.tfrecord-{k:05d}-of-00002", b"\x08\0\0\0\0\0\0\0abcd")
    return Given(str(root))


@layout(unlabeled(), kind="must_refuse", named=("LMDB",))
def lmdb_folder(root):
    """An LMDB database."""
    write_file(root / "train_lmdb" / "data.mdb", b"\0" * 64)
    write_file(root / "train_lmdb" / "lock.mdb", b"\0" * 64)
    return Given(str(root / "train_lmdb"))


@layout(unlabeled(), kind="must_refuse", named=(".mat",))
def matlab_mat(root):
    """A MATLAB file."""
    write_file(root / "train_32x32.mat", b"MATLAB 5.0 MAT-file" + b" " * 109)
    return Given(str(root / "train_32x32.mat"))


@layout(labels_of(range(12), lambda i: i % 2), kind="must_refuse", named=(".pkl",))
def pandas_pickle(root):
    """A pickle, which runs code when it is read."""
    table = frame(a=[float(marker(i)) for i in range(12)], label=[i % 2 for i in range(12)])
    table.to_pickle(root / "train.pkl")
    return Given(str(root / "train.pkl"))


@layout(unlabeled(), kind="must_refuse", named=(".xlsx",))
def excel_xlsx(root):
    """A workbook of Excel."""
    with zipfile.ZipFile(root / "Messwerte.xlsx", "w") as archive:
        archive.writestr("[Content_Types].xml", "<Types/>")
        archive.writestr("xl/workbook.xml", "<workbook/>")
    return Given(str(root / "Messwerte.xlsx"))


@layout(unlabeled(), kind="must_refuse", named=("no suffix", "data_batch_1"))
def cifar_pickles(root):
    """CIFAR-10: pickles without suffix."""
    folder = root / "cifar-10-batches-py"
    folder.mkdir()
    for k in (1, 2):
        (folder / f"data_batch_{k}").write_bytes(pickle.dumps({b"data": np.zeros((4, 3072), np.uint8), b"labels": [0] * 4}))
    write_file(folder / "readme.html", "<html>")
    return Given(str(folder))
