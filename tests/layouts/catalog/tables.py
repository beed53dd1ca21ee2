"""Data frames, Parquet, Feather and CSV files of numbers."""

import numpy as np
import pytest

from tests.layouts.catalog.registry import (
    CAT_DOG,
    TEST,
    TRAIN,
    Given,
    cat_dog,
    features,
    frame,
    image_bytes,
    in_turn,
    labeled_features,
    labels_of,
    layout,
    marker,
    save_image,
    write_csv,
    write_file,
    write_parquet,
)


@layout(TRAIN)
def pandas_frame_paths(root):
    """A data frame of paths and labels."""
    for i in range(12):
        save_image(root / "p" / f"{i}.png", i)
    return Given(frame(path=[str(root / "p" / f"{i}.png") for i in range(12)], label=cat_dog()))


@layout(TRAIN)
def pandas_frame_filtered_index(root):
    """A filtered data frame, whose index has gaps."""
    for i in range(12):
        save_image(root / "p" / f"{i}.png", i)
    table = frame(
        filename=[str(root / "p" / f"{i // 2}.png") for i in range(24)],
        animal=[CAT_DOG[i // 2 % 2] for i in range(24)],
    )
    return Given(table[table.index % 2 == 1], labels="animal")


@layout(labels_of(range(12), lambda i: i % 2), width=3)
def pandas_frame_numbers(root):
    """A data frame of numbers."""
    table = frame(
        Fare=[float(marker(i)) for i in range(12)],
        Age=[20.0 + i / 2 for i in range(12)],
        Pclass=[i % 3 for i in range(12)],
        Survived=[i % 2 for i in range(12)],
    )
    return Given(table, labels="Survived")


@layout(labels_of(range(12), lambda i: i % 2), kind="may_refuse", say=("Name",))
def pandas_frame_titanic_text(root):
    """A data frame with a column of text and one with gaps."""
    table = frame(
        Fare=[float(marker(i)) for i in range(12)],
        Name=[f"Mr. {i}" for i in range(12)],
        Age=[np.nan if i % 4 == 0 else 20.0 + i for i in range(12)],
        Survived=[i % 2 for i in range(12)],
    )
    return Given(table, labels="Survived")


@layout(TRAIN, width=3)
def parquet_features_label(root):
    """Columns of numbers and a column of labels."""
    write_parquet(root / "train.parquet", **labeled_features(range(12)))
    return Given(str(root / "train.parquet"))


@layout(labels_of(range(12), lambda i: 1.5 * i + 0.25), width=3)
def parquet_target_kw_regression(root):
    """A column of numbers is asked for as labels."""
    write_parquet(root / "wafer.parquet", **features(range(12)), yield_pct=[1.5 * i + 0.25 for i in range(12)])
    return Given(str(root / "wafer.parquet"), labels="yield_pct")


@layout(TRAIN)
def parquet_embedding_list_column(root):
    """An embedding in each cell."""
    write_parquet(
        root / "emb.parquet",
        id=[f"doc{i}" for i in range(12)],
        embedding=[np.full(16, marker(i), np.float32) for i in range(12)],
        label=cat_dog(),
    )
    return Given(str(root / "emb.parquet"), labels="label")


@layout(TRAIN, kind="may_refuse")
def parquet_raw_bytes_column(root):
    """An image file in each cell."""
    write_parquet(root / "imgs.parquet", image=[image_bytes(i) for i in range(12)], label=cat_dog())
    return Given(str(root / "imgs.parquet"))


@layout(TRAIN, width=3)
def hive_label_partitions(root):
    """A folder for each label, as in label=cat."""
    for k, name in enumerate(CAT_DOG):
        write_parquet(root / f"label={name}" / "part-0.parquet", **features(range(k, 12, 2)))
    return Given(str(root))


@layout(TRAIN, kind="may_refuse")
def hive_spark_date_partitions(root):
    """A folder for each date, as Spark writes them."""
    for k in range(3):
        folder = root / f"dt=2024-01-{k + 1:02d}"
        write_parquet(folder / f"part-00000-{k}.c000.snappy.parquet", **labeled_features(range(4 * k, 4 * k + 4)))
        write_file(folder / f".part-00000-{k}.c000.snappy.parquet.crc", b"crc")
    write_file(root / "_SUCCESS", "")
    return Given(str(root), labels="label")


@layout(TRAIN, width=3)
def parquet_shards(root):
    """Three Parquet files with the same columns."""
    for k in range(3):
        write_parquet(root / f"part-{k:05d}.parquet", **labeled_features(range(4 * k, 4 * k + 4)))
    write_file(root / "_SUCCESS", "")
    write_file(root / "_metadata.json", "{}")
    return Given(str(root))


@layout(TRAIN, splits={"train": TRAIN, "test": TEST}, width=3)
def parquet_train_test_files(root):
    """train.parquet and test.parquet: splits, not shards."""
    for part, rows in (("train", range(12)), ("test", range(18, 24))):
        write_parquet(root / f"{part}.parquet", **labeled_features(rows))
    return Given(str(root))


@layout(TRAIN, width=3)
def parquet_index_level_0(root):
    """The index of a filtered data frame, saved with it: no feature."""
    pytest.importorskip("pyarrow")
    table = frame(**labeled_features(range(12)))
    table.index = np.arange(12) * 3 + 1000
    table.to_parquet(root / "filtered.parquet")
    return Given(str(root / "filtered.parquet"))


@layout(TRAIN, kind="may_refuse", width=3)
def feather(root):
    """A Feather file."""
    arrow = pytest.importorskip("pyarrow")
    pytest.importorskip("pyarrow.feather").write_feather(arrow.table(labeled_features(range(12))), str(root / "d.feather"))
    return Given(str(root / "d.feather"))


@layout(TRAIN, kind="may_refuse", width=3)
def pyarrow_table_object(root):
    """A table of Arrow in memory."""
    return Given(pytest.importorskip("pyarrow").table(labeled_features(range(12))), labels="label")


@layout(in_turn(12, ("ok", "fault")), kind="may_refuse", width=3)
def sensor_csv(root):
    """A table of sensor values."""
    write_csv(
        root / "sensors.csv",
        temp=[marker(i) for i in range(12)],
        pressure=[101.3] * 12,
        vib=[0.01 * i for i in range(12)],
        state=[("ok", "fault")[i % 2] for i in range(12)],
    )
    return Given(str(root / "sensors.csv"), labels="state")


@layout(in_turn(12, ("walking", "standing")), kind="may_refuse")
def csv_per_recording_class_folders(root):
    """A table for each recording, in class folders: a row is a recording."""
    for i in range(12):
        path = root / ("walking", "standing")[i % 2] / f"rec_{i:02d}.csv"
        write_csv(path, ax=[marker(i)] * 5, ay=[marker(i)] * 5, az=[marker(i)] * 5)
    return Given(str(root))
