"""A folder of images for each class, and what else lies there."""

import os

from tests.layouts.catalog.registry import TRAIN, Given, class_folders, in_turn, layout, save_image, unlabeled, write_file


@layout(TRAIN)
def imagefolder(root):
    """A folder for each class."""
    class_folders(root)
    return Given(str(root))


@layout(TRAIN)
def imagefolder_clutter(root):
    """Class folders among checkpoints, logs and system files: none of these is a class."""
    class_folders(root, name="IMG_{i:04d}.png")
    clutter = (
        "Thumbs.db",
        "cat/Thumbs.db",
        "dog/desktop.ini",
        ".DS_Store",
        "cat/.DS_Store",
        "dog/._IMG_0001.png",
        "README.txt",
        "LICENSE",
        "checkpoints/best.pt",
        "runs/exp1/events.out.tfevents.1",
        "__pycache__/train.cpython-311.pyc",
        "train.py",
        "notes.docx",
    )
    for path in clutter:
        write_file(root / path, b"\x00\x05\x16\x07clutter")
    return Given(str(root))


@layout(in_turn(12, ("Äpfel", "猫 grau", "Birnen & Co")))
def unicode_and_spaces(root):
    """Names with umlauts, Chinese characters, spaces and dashes."""
    class_folders(root / "Meine Bilder für KI", names=("Äpfel", "猫 grau", "Birnen & Co"), name="Foto {i} \u2013 Kopie.png")
    return Given(str(root / "Meine Bilder für KI"))


PATTERNS = ("[old] cats", "dogs[1]", "fox" if os.name == "nt" else "fox*")


@layout(in_turn(12, PATTERNS))
def bracket_names(root):
    """Names that look like patterns of glob."""
    class_folders(root / "data[2023]", names=PATTERNS, name="img[{i}].png")
    return Given(str(root / "data[2023]"))


@layout(TRAIN)
def hidden_folders_with_copies(root):
    """Hidden folders with copies of images: neither rows nor classes."""
    class_folders(root)
    save_image(root / "cat" / ".ipynb_checkpoints" / "0-checkpoint.png", 0)
    save_image(root / ".ipynb_checkpoints" / "x-checkpoint.png", 1)
    save_image(root / ".git" / "lfs" / "a.png", 2)
    return Given(str(root))


@layout(TRAIN, kind="may_refuse", say=("rabbit",))
def empty_class_folder(root):
    """A class folder that is still empty."""
    class_folders(root)
    (root / "rabbit").mkdir()
    return Given(str(root))


@layout(in_turn(12, ("cats",)), kind="may_refuse", also_right=("unlabeled",))
def single_class_folder(root):
    """Only one class so far."""
    class_folders(root, names=("cats",))
    return Given(str(root))


@layout(TRAIN)
def class_with_augmented_subfolder(root):
    """A folder below a class belongs to the class."""
    class_folders(root, range(8))
    for i in range(8, 12):
        save_image(root / ("dog" if i % 2 else "cat/augmented") / f"{i}_flip.png", i)
    return Given(str(root))


@layout(
    TRAIN,
    kind="may_refuse",
    say=("sample.png", "png", "loose", "not in", "next to"),
)
def loose_image_beside_classes(root):
    """One image next to the class folders."""
    class_folders(root)
    save_image(root / "sample.png", 20)
    return Given(str(root))


@layout(unlabeled(), kind="may_refuse")
def dated_folders(root):
    """Photographs of a phone by date: dates are not classes."""
    for i in range(12):
        save_image(root / f"2023-05-{1 + i // 4:02d}" / f"IMG_20230501_{i:06d}.jpg", i)
    return Given(str(root))


@layout(in_turn(12, ("0", "1", "10")))
def numeric_class_folders_0_1_10(root):
    """Digits as names of classes."""
    class_folders(root, names=("0", "1", "10"), name="{i:05d}_00000.png")
    return Given(str(root))


@layout(in_turn(12, ("Cat", "Dog")), kind="may_refuse")
def petimages_wrapped(root):
    """One folder around the class folders: PetImages is not a class."""
    class_folders(root / "PetImages", names=("Cat", "Dog"), name="{i}.jpg")
    write_file(root / "readme[1].txt", "Microsoft\r\n")
    write_file(root / "MSR-LA - 3467.docx", b"PK\x03\x04")
    return Given(str(root))


@layout(
    in_turn(11, ("Cat", "Dog")),
    kind="may_refuse",
    say=("666", "empty", "damaged", "0 byte", "unreadable"),
)
def petimages_zero_byte_jpg(root):
    """One image is an empty file."""
    class_folders(root, range(11), ("Cat", "Dog"), name="{i}.jpg")
    write_file(root / "Cat" / "666.jpg", b"")
    write_file(root / "Cat" / "Thumbs.db", b"x")
    return Given(str(root))


@layout(in_turn(12, ("benign", "malignant")))
def nested_patients_below_class(root):
    """Patients and slides below the classes."""
    for i in range(12):
        save_image(root / ("benign", "malignant")[i % 2] / f"patient_{i // 4:03d}" / f"slide{i}" / f"tile_{i}.png", i)
    return Given(str(root))


@layout(in_turn(12, ("0", "1")), kind="may_refuse")
def patients_above_class_idc(root):
    """Class folders below the folders of patients: patients are not classes."""
    for i in range(12):
        save_image(root / str(10253 + i // 4) / str(i % 2) / f"{10253 + i // 4}_idx5_x{i}_class{i % 2}.png", i)
    return Given(str(root))


@layout(TRAIN, kind="may_refuse")
def kfold_folders(root):
    """Folds above the classes: folds are not classes."""
    for k in range(3):
        class_folders(root / f"fold_{k + 1}", range(4 * k, 4 * k + 4))
    return Given(str(root))


@layout(TRAIN, kind="must_refuse", named=("flower",))
def missing_path(root):
    """A spelling mistake in the path."""
    class_folders(root / "flowers")
    return Given(str(root / "flower"))


@layout(in_turn(12, ("001.Black_footed_Albatross", "002.Laysan_Albatross")), kind="may_refuse")
def cub200_root(root):
    """CUB-200: class folders in images/ beside tables: images is not a class."""
    names = ("001.Black_footed_Albatross", "002.Laysan_Albatross")
    class_folders(root / "images", names=names, name="bird_{i:04d}.jpg")
    write_file(root / "images.txt", "".join(f"{i + 1} {names[i % 2]}/bird_{i:04d}.jpg\n" for i in range(12)))
    write_file(root / "image_class_labels.txt", "".join(f"{i + 1} {i % 2 + 1}\n" for i in range(12)))
    write_file(root / "classes.txt", f"1 {names[0]}\n2 {names[1]}\n")
    write_file(root / "train_test_split.txt", "".join(f"{i + 1} 1\n" for i in range(12)))
    write_file(root / "parts" / "parts.txt", "1 back\n")
    write_file(root / "attributes" / "certainties.txt", "1\n")
    write_file(root / "README", "CUB")
    return Given(str(root))
