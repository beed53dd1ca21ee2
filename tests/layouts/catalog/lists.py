"""Tables and lists of files with their labels."""

import json

from tests.layouts.catalog.registry import (
    CAT_DOG,
    DIGITS,
    MORE_DIGITS,
    TRAIN,
    VALID,
    Given,
    cat_dog,
    class_folders,
    frame,
    in_turn,
    labels_of,
    layout,
    save_image,
    unlabeled,
    write_csv,
    write_file,
)


@layout(in_turn(12, ("01", "10", "02")))
def codes_01_10(root):
    """Codes with leading zeros are text: 01 is not 1."""
    names = ("01", "10", "02")
    write_csv(root / "train.csv", filename=[f"pics/p{i}.png" for i in range(12)], label=[names[i % 3] for i in range(12)])
    for i in range(12):
        save_image(root / "pics" / f"p{i}.png", i)
    return Given(str(root / "train.csv"))


BOXES = labels_of(range(12), lambda i: (i * 0.5, i + 1.0, 2.0, 3.0))


@layout(BOXES, kind="may_refuse")
def bbox_columns_xywh(root):
    """Four columns as labels: a vector."""
    write_csv(
        root / "boxes.csv",
        filename=[f"{i}.png" for i in range(12)],
        x=[i * 0.5 for i in range(12)],
        y=[i + 1.0 for i in range(12)],
        w=[2.0] * 12,
        h=[3.0] * 12,
    )
    for i in range(12):
        save_image(root / f"{i}.png", i)
    return Given(str(root / "boxes.csv"), labels=["x", "y", "w", "h"])


@layout(BOXES, kind="may_refuse", also_right=("unlabeled",))
def bbox_columns_not_named(root):
    """Four columns of a box, and no labels asked for."""
    write_csv(
        root / "boxes.csv",
        filename=[f"{i}.png" for i in range(12)],
        left=[i * 0.5 for i in range(12)],
        top=[i + 1.0 for i in range(12)],
        width=[2.0] * 12,
        height=[3.0] * 12,
    )
    for i in range(12):
        save_image(root / f"{i}.png", i)
    return Given(str(root / "boxes.csv"))


@layout(TRAIN)
def labels_txt_beside(root):
    """Lines of a path and a label."""
    for i in range(12):
        save_image(root / "img" / f"{i}.jpg", i)
    write_file(root / "labels.txt", "".join(f"img/{i}.jpg {CAT_DOG[i % 2]}\n" for i in range(12)))
    return Given(str(root / "labels.txt"))


@layout(TRAIN, kind="may_refuse")
def images_flat_with_labels_csv_inside(root):
    """A folder of images with a table of labels among them."""
    for i in range(12):
        save_image(root / f"{i}.png", i)
    write_csv(root / "labels.csv", filename=[f"{i}.png" for i in range(12)], label=cat_dog())
    return Given(str(root))


@layout(TRAIN, kind="may_refuse")
def folder_with_labels_kw_csv(root):
    """A folder of images, and the table of its labels elsewhere, in another order."""
    for i in range(12):
        save_image(root / "images" / f"{i}.png", i)
    write_csv(root / "labels.csv", filename=[f"{i}.png" for i in range(12)][::-1], label=cat_dog()[::-1])
    return Given(str(root / "images"), labels=str(root / "labels.csv"))


ROADS = ("Straße", "Weg")


@layout(in_turn(12, ROADS), kind="may_refuse")
def excel_semicolon_bom_csv(root):
    """A table as German spreadsheets save it: byte order mark, semicolons, commas in numbers."""
    for i in range(12):
        save_image(root / "Bilder" / f"{i}.jpg", i)
    write_file(
        root / "Tabelle1.csv",
        "filename;label;Breite\r\n" + "".join(f"Bilder/{i}.jpg;{ROADS[i % 2]};1,5\r\n" for i in range(12)),
        encoding="utf-8-sig",
    )
    return Given(str(root / "Tabelle1.csv"))


@layout(in_turn(12, ROADS), kind="may_refuse")
def excel_cp1252_csv(root):
    """A table in the encoding cp1252: correct text or an error, never other letters."""
    for i in range(12):
        save_image(root / "Bilder" / f"{i}.jpg", i)
    write_file(
        root / "train.csv",
        "filename,label\r\n" + "".join(f"Bilder/{i}.jpg,{ROADS[i % 2]}\r\n" for i in range(12)),
        encoding="cp1252",
    )
    return Given(str(root / "train.csv"))


@layout(TRAIN, kind="may_refuse")
def csv_backslash_paths(root):
    """Paths with backslashes."""
    class_folders(root / "images")
    write_csv(
        root / "train.csv",
        path=[f"images\\{CAT_DOG[i % 2]}\\{i}.png" for i in range(12)],
        label=cat_dog(),
    )
    return Given(str(root / "train.csv"))


@layout(TRAIN, kind="must_refuse", named=(r"C:\Users\Ana\Desktop\ds\0.png",))
def csv_paths_of_another_computer(root):
    """Paths of another computer."""
    write_csv(
        root / "train.csv",
        path=[f"C:\\Users\\Ana\\Desktop\\ds\\{i}.png" for i in range(12)],
        label=cat_dog(),
    )
    return Given(str(root / "train.csv"))


@layout(
    in_turn(10),
    kind="may_refuse",
    say=("missing", "not found", "no file"),
)
def csv_some_files_missing(root):
    """A table that names files that are missing."""
    for i in range(10):
        save_image(root / f"{i}.png", i)
    write_csv(root / "train.csv", filename=[f"{i}.png" for i in range(12)], label=cat_dog())
    return Given(str(root / "train.csv"))


@layout(TRAIN)
def csv_unnamed_index_column(root):
    """A first column without a name: the index of a data frame."""
    for i in range(12):
        save_image(root / "pics" / f"{i}.png", i)
    frame(image=[f"pics/{i}.png" for i in range(12)], label=cat_dog()).to_csv(root / "data.csv")
    return Given(str(root / "data.csv"))


@layout(TRAIN, kind="may_refuse", splits={"train": TRAIN, "valid": VALID})
def csv_train_val_column(root):
    """A column with the split of each row."""
    for i in range(18):
        save_image(root / "im" / f"{i}.png", i)
    write_csv(
        root / "birds.csv",
        filepaths=[f"im/{i}.png" for i in range(18)],
        labels=cat_dog(range(18)),
        split=["train"] * 12 + ["valid"] * 6,
    )
    return Given(str(root / "birds.csv"), labels="labels")


@layout(TRAIN, kind="may_refuse", splits={"train": TRAIN, "valid": VALID}, about=("cat", "dog"))
def roboflow_multiclass_csv(root):
    """Roboflow: a table in each split, with a column of 0 and 1 for each class."""
    for part, rows in (("train", range(12)), ("valid", range(12, 18))):
        for i in rows:
            save_image(root / part / f"{i}.jpg", i)
        write_file(
            root / part / "_classes.csv",
            "filename, cat, dog\n" + "".join(f"{i}.jpg, {int(i % 2 == 0)}, {int(i % 2)}\n" for i in rows),
        )
    return Given(str(root))


@layout(TRAIN, kind="may_refuse")
def hf_metadata_csv(root):
    """Hugging Face: metadata.csv beside the images; the folder is opened."""
    for i in range(12):
        save_image(root / "train" / f"{i:04d}.png", i)
    write_csv(
        root / "train" / "metadata.csv",
        file_name=[f"{i:04d}.png" for i in range(12)],
        label=cat_dog(),
    )
    return Given(str(root / "train"))


@layout(TRAIN)
def hf_metadata_csv_file(root):
    """Hugging Face: metadata.csv beside the images; the table is opened."""
    for i in range(12):
        save_image(root / f"{i:04d}.png", i)
    write_csv(root / "metadata.csv", file_name=[f"{i:04d}.png" for i in range(12)], label=cat_dog())
    return Given(str(root / "metadata.csv"))


@layout(labels_of(range(12), lambda i: f"a photo of thing {i}"), kind="may_refuse", about=("text",))
def hf_metadata_jsonl_captions(root):
    """Hugging Face: captions in metadata.jsonl."""
    for i in range(12):
        save_image(root / f"{i:04d}.png", i)
    write_file(
        root / "metadata.jsonl",
        "".join(json.dumps({"file_name": f"{i:04d}.png", "text": f"a photo of thing {i}"}) + "\n" for i in range(12)),
    )
    return Given(str(root))


@layout(TRAIN, kind="may_refuse")
def jsonl_records(root):
    """A record of path and label in each line."""
    for i in range(12):
        save_image(root / "imgs" / f"{i}.png", i)
    write_file(
        root / "train.jsonl",
        "".join(json.dumps({"image": f"imgs/{i}.png", "label": CAT_DOG[i % 2]}) + "\n" for i in range(12)),
    )
    return Given(str(root / "train.jsonl"))


@layout(TRAIN, kind="may_refuse", about=(".json", "labels.json"))
def labels_json_dict(root):
    """A folder of images with labels.json: never without labels and without a word."""
    for i in range(12):
        save_image(root / f"{i}.png", i)
    write_file(root / "labels.json", json.dumps({f"{i}.png": CAT_DOG[i % 2] for i in range(12)}))
    return Given(str(root))


@layout(DIGITS)
def file_lists_train_txt(root):
    """Lines of a path and a number for each split; one file is opened."""
    for i in range(18):
        save_image(root / "images" / f"{i}.png", i)
    for part, rows in (("train", range(12)), ("val", range(12, 18))):
        write_file(root / f"{part}.txt", "".join(f"images/{i}.png {i % 3}\n" for i in rows))
    return Given(str(root / "train.txt"))


@layout(DIGITS, kind="may_refuse", splits={"train": DIGITS, "val": MORE_DIGITS}, about=(".txt", "train.txt"))
def file_lists_root(root):
    """Lines of a path and a number for each split; the folder is opened."""
    file_lists_train_txt(root)
    return Given(str(root))


@layout(unlabeled(), kind="may_refuse")
def path_list_without_labels(root):
    """A path in each line, with a space in it."""
    for i in range(12):
        save_image(root / "cam 1" / f"{i}.png", i)
    write_file(root / "list.txt", "".join(f"cam 1/{i}.png\n" for i in range(12)))
    return Given(str(root / "list.txt"))


@layout(TRAIN)
def list_of_path_label_tuples(root):
    """A list of pairs of path and label."""
    pairs = []
    for i in range(12):
        save_image(root / f"{i}.png", i)
        pairs.append((str(root / f"{i}.png"), CAT_DOG[i % 2]))
    return Given(pairs)


@layout(TRAIN)
def parallel_lists(root):
    """A list of paths and a list of labels."""
    paths = []
    for i in range(12):
        save_image(root / "mixed" / f"{i:02d}.jpg", i)
        paths.append(str(root / "mixed" / f"{i:02d}.jpg"))
    return Given(paths, labels=cat_dog())


@layout(unlabeled())
def list_of_paths_unlabeled(root):
    """A list of paths without labels."""
    for i in range(12):
        save_image(root / "scans" / f"{i:02d}.png", i)
    return Given(sorted((root / "scans").glob("*.png")))


@layout(TRAIN, kind="may_refuse")
def dict_class_to_folder(root):
    """A mapping from class to folder."""
    for i in range(12):
        save_image(root / ("Katzenbilder" if i % 2 == 0 else "hunde neu") / f"{i}.png", i)
    return Given({"cat": str(root / "Katzenbilder"), "dog": str(root / "hunde neu")})


@layout(TRAIN, kind="may_refuse", splits={"train": TRAIN, "val": VALID})
def dict_train_val_folders(root):
    """A mapping from split to folder."""
    class_folders(root / "a")
    class_folders(root / "b", range(12, 18))
    return Given({"train": str(root / "a"), "val": str(root / "b")})
