"""NumPy files, arrays in memory, and the files of MNIST."""

import struct

import numpy as np

from tests.layouts.catalog.registry import (
    DIGITS,
    MORE_DIGITS,
    Given,
    cat_dog,
    class_numbers,
    in_turn,
    labels_of,
    layout,
    marker,
    save_array,
    stacked,
    unlabeled,
    write_csv,
    write_file,
)


@layout(DIGITS, splits={"train": DIGITS, "test": MORE_DIGITS})
def mnist_npz(root):
    """Keras: x_train, y_train, x_test and y_test in one file."""
    np.savez_compressed(
        root / "mnist.npz",
        x_train=stacked(range(12)),
        y_train=class_numbers(range(12)),
        x_test=stacked(range(12, 18)),
        y_test=class_numbers(range(12, 18)),
    )
    return Given(str(root / "mnist.npz"))


@layout(DIGITS, kind="may_refuse", about=("arr_1",))
def npz_arr_0_arr_1(root):
    """Two arrays saved without names."""
    np.savez(root / "data.npz", stacked(range(12), (8, 8, 3)), class_numbers(range(12)))
    return Given(str(root / "data.npz"))


@layout(DIGITS)
def npz_images_labels(root):
    """Arrays called images and labels."""
    np.savez(root / "dataset.npz", images=stacked(range(12), (8, 8, 3)), labels=class_numbers(range(12)))
    return Given(str(root / "dataset.npz"))


@layout(
    DIGITS,
    splits={"train": DIGITS, "val": MORE_DIGITS},
    kind="may_refuse",
    also_right=(labels_of(range(12), lambda i: (float(i % 3),)),),
)
def medmnist_npz(root):
    """MedMNIST: three splits, labels of shape (N, 1)."""
    np.savez(
        root / "pathmnist.npz",
        train_images=stacked(range(12), (8, 8, 3)),
        train_labels=class_numbers(range(12))[:, None],
        val_images=stacked(range(12, 18), (8, 8, 3)),
        val_labels=class_numbers(range(12, 18))[:, None],
        test_images=stacked(range(18, 24), (8, 8, 3)),
        test_labels=class_numbers(range(18, 24))[:, None],
    )
    return Given(str(root / "pathmnist.npz"))


@layout(DIGITS)
def folder_x_npy_y_npy(root):
    """x.npy and y.npy: a pair, neither two classes nor two shards."""
    save_array(root / "x.npy", stacked(range(12), (8, 8, 3)))
    save_array(root / "y.npy", class_numbers(range(12)))
    return Given(str(root))


@layout(DIGITS, splits={"train": DIGITS, "test": MORE_DIGITS})
def folder_x_train_npy(root):
    """X_train.npy, y_train.npy, X_test.npy and y_test.npy."""
    save_array(root / "X_train.npy", stacked(range(12), (8, 8, 3)))
    save_array(root / "y_train.npy", class_numbers(range(12)))
    save_array(root / "X_test.npy", stacked(range(12, 18), (8, 8, 3)))
    save_array(root / "y_test.npy", class_numbers(range(12, 18)))
    return Given(str(root))


@layout(labels_of(range(12), lambda i: i / 4), kind="may_refuse")
def folder_data_npy_target_npy(root):
    """data.npy and target.npy."""
    save_array(root / "data.npy", np.array([[marker(i), 1, 2, 3] for i in range(12)], np.float32))
    save_array(root / "target.npy", np.arange(12) / 4)
    return Given(str(root))


@layout(DIGITS)
def npy_with_labels_npy(root):
    """A file of features and a file of labels, both given."""
    save_array(root / "features.npy", np.array([[marker(i), 1, 2, 3] for i in range(12)], np.float32))
    save_array(root / "labels.npy", class_numbers(range(12)))
    return Given(str(root / "features.npy"), labels=str(root / "labels.npy"))


@layout(in_turn(12, ("left_hand", "right_hand")))
def npy_per_sample_class_folders(root):
    """A .npy file for each recording, in class folders."""
    for i in range(12):
        save_array(root / ("left_hand", "right_hand")[i % 2] / f"trial_{i:03d}.npy", np.full((4, 16), marker(i), np.float32))
    return Given(str(root))


@layout(in_turn(12), kind="may_refuse")
def npy_per_sample_flat_plus_csv(root):
    """A .npy file for each row, named by a table."""
    for i in range(12):
        save_array(root / "arrays" / f"{i:03d}.npy", np.full((8, 8), marker(i), np.float32))
    write_csv(root / "index.csv", file=[f"arrays/{i:03d}.npy" for i in range(12)], label=cat_dog())
    return Given(str(root / "index.csv"))


@layout(unlabeled(), kind="may_refuse", about=(".npy",))
def npy_shards_rows(root):
    """Three .npy files of four rows each."""
    for k in range(3):
        save_array(root / f"shard_{k:03d}.npy", stacked(range(4 * k, 4 * k + 4), (8, 8, 3)))
    return Given(str(root))


@layout(DIGITS, kind="may_refuse", about=("x_001.npy",))
def npy_shards_x_y_pairs(root):
    """Shards in pairs: x_000.npy, y_000.npy, x_001.npy, ..."""
    for k in range(3):
        rows = range(4 * k, 4 * k + 4)
        save_array(root / f"x_{k:03d}.npy", stacked(rows, (8, 8, 3)))
        save_array(root / f"y_{k:03d}.npy", class_numbers(rows))
    return Given(str(root))


@layout(in_turn(12, ("cat",)) | labels_of(range(12, 20), lambda i: "dog"), kind="may_refuse")
def npy_shards_in_class_folders(root):
    """Several rows in each file of a class folder: never one row for each file."""
    for k in range(2):
        save_array(root / "cat" / f"batch{k}.npy", stacked(range(6 * k, 6 * k + 6), (8, 8, 3)))
        save_array(root / "dog" / f"batch{k}.npy", stacked(range(12 + 4 * k, 16 + 4 * k), (8, 8, 3)))
    return Given(str(root))


@layout(DIGITS)
def numpy_arrays_in_memory(root):
    """An array of images and an array of labels."""
    return Given(stacked(range(12), (8, 8, 3)), labels=class_numbers(range(12)))


@layout(DIGITS, kind="may_refuse")
def dict_of_arrays(root):
    """A mapping of arrays."""
    return Given({"x": stacked(range(12), (8, 8, 3)), "y": class_numbers(range(12))})


@layout(DIGITS, kind="may_refuse", splits={"train": DIGITS})
def mnist_idx_ubyte(root):
    """The files of MNIST, without suffix."""
    for part, rows in (("train", range(12)), ("t10k", range(12, 18))):
        write_file(root / f"{part}-images-idx3-ubyte", struct.pack(">IIII", 2051, len(rows), 8, 8) + stacked(rows).tobytes())
        write_file(root / f"{part}-labels-idx1-ubyte", struct.pack(">II", 2049, len(rows)) + class_numbers(rows).tobytes())
    return Given(str(root))
