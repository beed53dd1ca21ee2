"""Competitions and data sets as Kaggle packs them."""

import json

from tests.layouts.catalog.registry import (
    CAT_DOG,
    DIGITS,
    Given,
    in_turn,
    labels_of,
    layout,
    marker,
    save_image,
    write_csv,
    write_file,
)


@layout(in_turn(12), kind="may_refuse", also_right=("unlabeled",))
def dogs_vs_cats_flat(root):
    """Labels only in the names of files, in train and test1: neither is a class."""
    for i in range(12):
        save_image(root / "train" / f"{CAT_DOG[i % 2]}.{i}.jpg", i)
    for i in range(12, 18):
        save_image(root / "test1" / f"{i}.jpg", i)
    write_csv(root / "sampleSubmission.csv", id=range(12, 18), label=[0] * 6)
    return Given(str(root))


@layout(in_turn(12), kind="may_refuse", also_right=("unlabeled",))
def dogs_vs_cats_train_folder(root):
    """Labels only in the names of files."""
    for i in range(12):
        save_image(root / "train" / f"{CAT_DOG[i % 2]}.{i}.jpg", i)
    return Given(str(root / "train"))


GRADES = labels_of(range(12), lambda i: i % 5)


@layout(GRADES)
def aptos_train_csv(root):
    """A table of names without suffix; images in train_images."""
    write_csv(root / "train.csv", id_code=[f"{i:03x}a0f" for i in range(12)], diagnosis=[i % 5 for i in range(12)])
    write_csv(root / "test.csv", id_code=[f"{i:03x}a0f" for i in range(12, 18)])
    write_csv(root / "sample_submission.csv", id_code=[f"{i:03x}a0f" for i in range(12, 18)], diagnosis=[0] * 6)
    for i in range(18):
        save_image(root / ("train_images" if i < 12 else "test_images") / f"{i:03x}a0f.png", i)
    return Given(str(root / "train.csv"), labels="diagnosis")


@layout(GRADES, kind="may_refuse")
def cassava_root(root):
    """The folder of a competition: a table, images to train on, images to predict."""
    write_csv(root / "train.csv", image_id=[f"{1000 + i}.jpg" for i in range(12)], label=[i % 5 for i in range(12)])
    write_csv(root / "sample_submission.csv", image_id=[f"{1000 + i}.jpg" for i in range(12, 15)], label=[4] * 3)
    write_file(
        root / "label_num_to_disease_map.json", json.dumps({"0": "CBB", "1": "CBSD", "2": "CGM", "3": "CMD", "4": "Healthy"})
    )
    for i in range(15):
        save_image(root / ("train_images" if i < 12 else "test_images") / f"{1000 + i}.jpg", i)
    return Given(str(root))


@layout(GRADES)
def cassava_csv(root):
    """The table of a competition."""
    cassava_root(root)
    return Given(str(root / "train.csv"))


@layout(in_turn(12, ("boston_bull", "dingo", "pekinese")))
def dog_breed_labels_csv(root):
    """A table of names without suffix; images in train."""
    names = ("boston_bull", "dingo", "pekinese")
    write_csv(root / "labels.csv", id=[f"{i:032x}" for i in range(12)], breed=[names[i % 3] for i in range(12)])
    for i in range(15):
        save_image(root / ("train" if i < 12 else "test") / f"{i:032x}.jpg", i)
    write_csv(
        root / "sample_submission.csv",
        id=[f"{i:032x}" for i in range(12, 15)],
        boston_bull=[0.33] * 3,
        dingo=[0.33] * 3,
        pekinese=[0.33] * 3,
    )
    return Given(str(root / "labels.csv"), labels="breed")


@layout(in_turn(12, ("w_f48451c", "new_whale")))
def humpback_whales(root):
    """The column Id is the label, and Image the file."""
    names = ("w_f48451c", "new_whale")
    write_csv(root / "train.csv", Image=[f"{i:06x}e.jpg" for i in range(12)], Id=[names[i % 2] for i in range(12)])
    for i in range(12):
        save_image(root / "train" / f"{i:06x}e.jpg", i)
    return Given(str(root / "train.csv"), labels="Id")


@layout(in_turn(12, ("nv", "mel", "bkl")), kind="may_refuse")
def ham10000_two_parts(root):
    """A table of names without suffix; images in two folders."""
    names = ("nv", "mel", "bkl")
    write_csv(
        root / "HAM10000_metadata.csv",
        lesion_id=[f"HAM_{i // 2:07d}" for i in range(12)],
        image_id=[f"ISIC_{24306 + i}" for i in range(12)],
        dx=[names[i % 3] for i in range(12)],
        dx_type=["histo"] * 12,
        age=[40.0 + i for i in range(12)],
        sex=["male", "female"] * 6,
    )
    for i in range(12):
        save_image(root / f"HAM10000_images_part_{1 + i // 6}" / f"ISIC_{24306 + i}.jpg", i)
    return Given(str(root / "HAM10000_metadata.csv"), labels="dx")


@layout(
    in_turn(12, ("MEL", "NV", "BCC")),
    kind="may_refuse",
    also_right=(labels_of(range(12), lambda i: tuple(float(i % 3 == k) for k in range(3))),),
    about=("MEL",),
)
def isic_one_hot_csv(root):
    """A column of 0 and 1 for each class."""
    names = ("MEL", "NV", "BCC")
    write_csv(
        root / "ISIC2018_GroundTruth.csv",
        image=[f"ISIC_{i:07d}" for i in range(12)],
        **{name: [float(i % 3 == k) for i in range(12)] for k, name in enumerate(names)},
    )
    for i in range(12):
        save_image(root / "ISIC2018_Training_Input" / f"ISIC_{i:07d}.jpg", i)
    return Given(str(root / "ISIC2018_GroundTruth.csv"))


def tags(i):
    return [("clear", "haze")[i % 2], "primary", *(["river"] if i % 3 == 0 else [])]


@layout(labels_of(range(12), lambda i: frozenset(tags(i))), kind="may_refuse")
def planet_tags(root):
    """Several tags in a cell."""
    cells = [" ".join(tags(i)) for i in range(12)]
    write_csv(root / "train_v2.csv", image_name=[f"train_{i}" for i in range(12)], tags=cells)
    for i in range(12):
        save_image(root / "train-jpg" / f"train_{i}.jpg", i)
    return Given(str(root / "train_v2.csv"), labels="tags")


CAPTIONS = labels_of(range(12), lambda i: f'A dog, number {i}, runs over "the" grass .')


@layout(CAPTIONS, kind="may_refuse")
def flickr_captions(root):
    """A table under the suffix .txt, with captions."""
    write_csv(
        root / "captions.txt",
        image=[f"{1000 + i}_e1.jpg" for i in range(12)],
        caption=[CAPTIONS[marker(i)] for i in range(12)],
    )
    for i in range(12):
        save_image(root / "Images" / f"{1000 + i}_e1.jpg", i)
    return Given(str(root / "captions.txt"), labels="caption")


@layout(labels_of(range(12), lambda i: 100000.5 + 250 * i))
def house_price_regression(root):
    """A column of prices is a target, not classes."""
    write_csv(
        root / "houses.csv",
        image=[f"Houses/{i}_frontal.jpg" for i in range(12)],
        bedrooms=[i % 4 for i in range(12)],
        price=[100000.5 + 250 * i for i in range(12)],
    )
    for i in range(12):
        save_image(root / "Houses" / f"{i}_frontal.jpg", i)
    return Given(str(root / "houses.csv"), labels="price")


@layout(DIGITS, kind="may_refuse", width=64)
def mnist_csv_pixels(root):
    """A column for each pixel."""
    write_csv(
        root / "train.csv",
        label=[i % 3 for i in range(12)],
        **{f"pixel{k}": [marker(i) for i in range(12)] for k in range(64)},
    )
    return Given(str(root / "train.csv"))


@layout(in_turn(12, ("Iris-setosa", "Iris-virginica")), kind="may_refuse", width=3)
def iris_csv(root):
    """A first column Id is not a feature."""
    write_csv(
        root / "Iris.csv",
        Id=[1000 + i for i in range(12)],
        SepalLengthCm=[marker(i) for i in range(12)],
        SepalWidthCm=[3.5] * 12,
        PetalLengthCm=[1.4] * 12,
        Species=[("Iris-setosa", "Iris-virginica")[i % 2] for i in range(12)],
    )
    return Given(str(root / "Iris.csv"), labels="Species")
