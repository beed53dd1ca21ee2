"""Folders of splits, by the names people give them."""

from tests.layouts.catalog.registry import (
    TEST,
    TRAIN,
    VALID,
    Given,
    class_folders,
    in_turn,
    labels_of,
    layout,
    save_image,
    write_csv,
    write_file,
)


@layout(TRAIN, splits={"train": TRAIN, "val": VALID, "test": TEST})
def imagefolder_train_val_test(root):
    """Class folders in train, val and test."""
    class_folders(root / "train")
    class_folders(root / "val", range(12, 18))
    class_folders(root / "test", range(18, 24))
    return Given(str(root))


@layout(
    in_turn(12, ("glioma_tumor", "no_tumor")),
    splits={"Training": in_turn(12, ("glioma_tumor", "no_tumor")), "Testing": in_turn(6, ("glioma_tumor", "no_tumor"), 12)},
)
def brain_mri_training_testing(root):
    """Splits called Training and Testing."""
    names = ("glioma_tumor", "no_tumor")
    class_folders(root / "Training", names=names, name="image({i}).jpg")
    class_folders(root / "Testing", range(12, 18), names, name="image({i}).jpg")
    return Given(str(root))


@layout(
    in_turn(12, ("buildings", "forest")),
    kind="may_refuse",
    splits={"seg_train": in_turn(12, ("buildings", "forest")), "seg_test": in_turn(6, ("buildings", "forest"), 12)},
)
def intel_seg_train_seg_train(root):
    """Each split in a folder of the same name, and images without labels in a third."""
    names = ("buildings", "forest")
    class_folders(root / "seg_train" / "seg_train", names=names, name="{i}.jpg")
    class_folders(root / "seg_test" / "seg_test", range(12, 18), names, name="{i}.jpg")
    for i in range(18, 24):
        save_image(root / "seg_pred" / "seg_pred" / f"{i}.jpg", i)
    return Given(str(root))


@layout(
    in_turn(12, ("NORMAL", "PNEUMONIA")),
    splits={
        "train": in_turn(12, ("NORMAL", "PNEUMONIA")),
        "test": in_turn(6, ("NORMAL", "PNEUMONIA"), 12),
        "val": in_turn(6, ("NORMAL", "PNEUMONIA"), 18),
    },
)
def chest_xray_macosx(root):
    """Splits beside __MACOSX, which holds metadata under the names of images."""
    names = ("NORMAL", "PNEUMONIA")
    for part, rows in (("train", range(12)), ("test", range(12, 18)), ("val", range(18, 24))):
        class_folders(root / part, rows, names, name="IM-{i:04d}-0001.jpeg", mode="L")
        for name in names:
            write_file(root / "__MACOSX" / part / name / "._IM-0001-0001.jpeg", b"\x00\x05\x16\x07\x00\x02\x00\x00Mac OS X")
    return Given(str(root))


@layout(TRAIN, splits={"train": TRAIN, "extra": VALID, "test": TEST}, kind="may_refuse")
def svhn_train_extra_test(root):
    """A split called extra."""
    class_folders(root / "train")
    class_folders(root / "extra", range(12, 18))
    class_folders(root / "test", range(18, 24))
    return Given(str(root))


@layout(TRAIN, splits={"train": TRAIN, "extra": VALID}, kind="may_refuse")
def train_and_extra_only(root):
    """Class folders in train and extra: two splits, never two classes."""
    class_folders(root / "train")
    class_folders(root / "extra", range(12, 18))
    return Given(str(root))


@layout(TRAIN, splits={"train2017": TRAIN, "val2017": VALID})
def year_train2017_val2017(root):
    """Splits with a year in their names."""
    class_folders(root / "train2017")
    class_folders(root / "val2017", range(12, 18))
    return Given(str(root))


@layout(TRAIN, splits={"train_2019": TRAIN, "valid_2019": VALID})
def year_train_2019_valid_2019(root):
    """Splits with an underscore and a year in their names."""
    class_folders(root / "train_2019")
    class_folders(root / "valid_2019", range(12, 18))
    return Given(root)


@layout(TRAIN, kind="may_refuse", splits={"train": TRAIN, "test": labels_of(range(18, 24), lambda i: None)})
def train_folder_beside_test_flat(root):
    """Class folders in train, images without labels in test."""
    class_folders(root / "train")
    for i in range(18, 24):
        save_image(root / "test" / f"{i:09x}.png", i)
    write_csv(root / "sample_submission.csv", file=[f"{i:09x}.png" for i in range(18, 24)], species=["cat"] * 6)
    return Given(str(root))


@layout(in_turn(12, ("Cat", "dog")), kind="may_refuse", splits={"train": in_turn(12, ("Cat", "dog"))})
def class_names_case_variants(root):
    """A class that differs in case from split to split."""
    class_folders(root / "train", names=("Cat", "dog"))
    class_folders(root / "val", range(12, 18), ("cat", "dog"))
    return Given(str(root))


@layout(in_turn(12, ("control", "test")), kind="may_refuse")
def class_named_test_and_control(root):
    """Groups of an experiment called control and test: test is a class."""
    class_folders(root, names=("control", "test"), name="well_{i}.png")
    return Given(str(root))
