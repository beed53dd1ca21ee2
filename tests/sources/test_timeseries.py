"""Windows over one long array: those of Keras, wherever the rows are."""

import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import bitesize as bs
from bitesize.testing import check_source


def steps(count, columns=3, dtype=np.float32):
    return np.arange(count * columns, dtype=dtype).reshape(count, columns)


def whole(source):
    """Return all rows, as a loader returns them."""
    with bs.Loader(source, batch_size=7, memory="256 MiB", shuffle=False) as loader:
        found = [{name: array.copy() for name, array in batch.items()} for batch in loader]
    return {name: np.concatenate([batch[name] for batch in found]) for name in found[0]}


def by_definition(data, targets, length, stride=1, rate=1, start=None, end=None):
    """Return the windows and targets that Keras's documentation defines."""
    start, end = start or 0, len(data) if end is None else end
    count = end - start - (length - 1) * rate
    if targets is not None:
        count = min(count, len(targets) - start)
    firsts = [start + i for i in range(0, max(count, 0), stride)]
    windows = [data[first : first + (length - 1) * rate + 1 : rate] for first in firsts]
    return np.array(windows), None if targets is None else np.array([targets[first] for first in firsts])


@settings(max_examples=80, deadline=None)
@given(
    count=st.integers(8, 60),
    length=st.integers(1, 9),
    stride=st.integers(1, 5),
    rate=st.integers(1, 4),
    start=st.none() | st.integers(0, 10),
    end=st.none() | st.integers(6, 60),
    with_targets=st.booleans(),
)
def test_windows_and_targets_are_those_of_keras(count, length, stride, rate, start, end, with_targets):
    data, targets = steps(count), np.arange(count) / 2 if with_targets else None
    end = None if end is None else min(end, count)
    x, y = by_definition(data, targets, length, stride, rate, start, end)
    arguments = {"sequence_stride": stride, "sampling_rate": rate, "start_index": start, "end_index": end}
    if not len(x):
        with pytest.raises(bs.BadSetting, match="steps"):
            bs.timeseries(data, targets, length, **arguments)
        return
    found = whole(bs.timeseries(data, targets, length, **arguments))
    np.testing.assert_array_equal(found["x"], x)
    if with_targets:
        np.testing.assert_array_equal(found["y"], y)


@pytest.mark.framework
@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"sequence_stride": 4},
        {"sampling_rate": 3},
        {"sequence_stride": 2, "sampling_rate": 2, "start_index": 5, "end_index": 80},
    ],
)
def test_windows_equal_those_that_keras_makes(arguments):
    pytest.importorskip("tensorflow")
    keras = pytest.importorskip("keras")
    data, targets = steps(100), np.arange(100.0)
    made = keras.utils.timeseries_dataset_from_array(data, targets, 6, batch_size=16, **arguments)
    x, y = zip(*((x.numpy(), y.numpy()) for x, y in made), strict=True)
    found = whole(bs.timeseries(data, targets, 6, **arguments))
    np.testing.assert_array_equal(found["x"], np.concatenate(x))
    np.testing.assert_array_equal(found["y"], np.concatenate(y))


def stored(kind, data, folder):
    if kind == "array":
        return data
    if kind == "fortran":
        return np.asfortranarray(data)
    if kind == "lazy":
        return bs.concatenate([data[:100], data[100:]])
    if kind in ("npy", "memmap", "parts"):
        np.save(folder / "a.npy", data[:100] if kind == "parts" else data)
        np.save(folder / "b.npy", data[100:])
        opened = {"npy": folder / "a.npy", "parts": bs.concatenate([str(folder / "a.npy"), str(folder / "b.npy")])}
        return np.load(folder / "a.npy", mmap_mode="r") if kind == "memmap" else opened[kind]
    if kind == "hdf5":
        h5py = pytest.importorskip("h5py")
        with h5py.File(folder / "a.h5", "w") as file:
            file.create_dataset("x", data=data, chunks=(32, data.shape[1]), compression="gzip")
        return folder / "a.h5"
    if kind == "zarr":
        zarr = pytest.importorskip("zarr")
        zarr.save(str(folder / "a.zarr"), data)
        return folder / "a.zarr"
    pa = pytest.importorskip("pyarrow")
    from pyarrow import csv, parquet

    table = pa.table({"abc"[i]: data[:, i] for i in range(data.shape[1])})
    if kind == "csv":
        csv.write_csv(table, folder / "a.csv")
        return folder / "a.csv"
    parquet.write_table(table, folder / "a.parquet", row_group_size=50)
    return folder / "a.parquet"


KINDS = ["array", "fortran", "lazy", "npy", "memmap", "parts", "hdf5", "zarr", "csv", "parquet"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("rate", [1, 2])
def test_windows_keep_the_contract_of_sources_wherever_rows_are_stored(kind, rate, tmp_path):
    data = steps(220)
    source = bs.timeseries(
        stored(kind, data, tmp_path), sequence_length=9, sampling_rate=rate, horizon=[0, 3], target_columns=[2, 0]
    )
    check_source(source)
    found, last = whole(source), 8 * rate
    np.testing.assert_array_equal(found["x"], by_definition(data, None, 9, rate=rate, end=217)[0])
    np.testing.assert_array_equal(found["y"][5], data[[5 + last, 5 + last + 3]][:, [2, 0]])


@pytest.mark.parametrize("kind", ["array", "npy", "hdf5", "parquet"])
@pytest.mark.parametrize("transforms", [(), (bs.Scale(2.0),)])
def test_values_are_the_same_with_and_without_a_check_for_missing_ones(kind, transforms, tmp_path):
    data = stored(kind, steps(220), tmp_path)
    found = []
    for missing in ("raise", "keep"):
        source = bs.timeseries(data, sequence_length=9, missing=missing)
        with bs.Loader(source, batch_size=16, memory="256 MiB", seed=3, transforms=transforms) as loader:
            epochs = [np.concatenate([batch["x"].copy() for batch in loader]) for _ in range(2)]
        found.append(np.concatenate(epochs))
    np.testing.assert_array_equal(*found)


def test_chunks_that_are_longer_than_windows_are_read_together(tmp_path):
    source = bs.timeseries(stored("hdf5", steps(220), tmp_path), sequence_length=4)
    assert source.reads_by_chunk
    assert np.diff(source.chunks().starts).max() <= 4 * 32 // 4
    assert not bs.timeseries(stored("npy", steps(220), tmp_path), sequence_length=4).reads_by_chunk


def test_windows_hold_the_data_once():
    data = np.zeros((100_000, 4), np.float32)
    source = bs.timeseries(data, sequence_length=1_000)
    assert source.nbytes < 1_000
    assert len(pickle.dumps(source)) < data.nbytes + 10_000


@pytest.mark.parametrize(
    ("horizon", "columns", "shape"),
    [
        (1, None, (3,)),
        (1, 2, ()),
        (1, [2], (1,)),
        (range(1, 5), None, (4, 3)),
        ((1, 24), 0, (2,)),
        ([2], [0, 1], (1, 2)),
    ],
)
def test_a_horizon_takes_targets_from_the_data(horizon, columns, shape):
    data = steps(60)
    source = bs.timeseries(data, sequence_length=5, horizon=horizon, target_columns=columns)
    assert source.spec["y"].shape == shape
    ahead = [horizon] if isinstance(horizon, int) else list(horizon)
    assert len(source) == 60 - 5 - max(ahead) + 1
    rows = data[[3 + 4 + step for step in ahead]][:, slice(None) if columns is None else columns]
    np.testing.assert_array_equal(whole(source)["y"][3], rows[0] if isinstance(horizon, int) else rows)


def test_columns_and_fields_of_targets_have_names(tmp_path):
    source = bs.timeseries(stored("parquet", steps(220), tmp_path), sequence_length=5, horizon=1, target_columns="b")
    assert float(source[0]["y"]) == steps(220)[5, 1]
    several = bs.timeseries(tmp_path / "a.parquet", sequence_length=5, horizon=1, target_columns=["c", "a"])
    assert several.target_names == ("c", "a")
    with pytest.raises(bs.BadSetting, match="'d' is not a column: the columns are a, b, c"):
        bs.timeseries(tmp_path / "a.parquet", sequence_length=5, horizon=1, target_columns="d")
    x, y = steps(50), np.arange(50)
    labeled = bs.timeseries(bs.open({"x": x, "y": y}), sequence_length=5, horizon=0, target_columns="y")
    assert labeled[7]["y"] == 11


def test_the_field_of_labels_of_steps_is_left_out_unless_it_is_a_target():
    labeled = bs.open(steps(50), np.arange(50) % 2)
    source = bs.timeseries(labeled, sequence_length=5)
    assert list(source.spec) == ["x"]
    assert "the field 'y' of each step (target_columns= uses it)" in source.left_out


def test_text_targets_are_classes():
    source = bs.timeseries(steps(20), ["rest", "run"] * 10, 4)
    assert (source.classes, source.labels[:3].tolist(), source[1]["y"]) == (("rest", "run"), [0, 1, 0], "run")


@pytest.mark.parametrize("lazy", [True, False])
def test_targets_in_a_file_are_read_by_row(tmp_path, lazy):
    np.save(tmp_path / "y.npy", np.arange(30.0))
    targets = bs.concatenate([str(tmp_path / "y.npy")]) if lazy else tmp_path / "y.npy"
    source = bs.timeseries(steps(40), targets, 4)
    check_source(source)
    assert whole(source)["y"].tolist() == list(range(30))


def test_a_part_in_time_has_no_step_of_another():
    source = bs.timeseries(steps(300), sequence_length=10, sequence_stride=3, horizon=4)
    train, val, test = source.split(0.6, 0.2, 0.2, by="time")
    seen = [set(np.concatenate([np.arange(*span) for span in spans(part)]).tolist()) for part in (train, val, test)]
    assert not seen[0] & seen[1]
    assert not seen[1] & seen[2]
    assert max(seen[0]) < min(seen[1])
    assert len(train) + len(val) + len(test) + train.left_out["windows that cross the border between parts"] == len(source)
    later, last = train.split(0.5, by="time")
    assert spans(later)[-1][1] <= spans(last)[0][0]


def spans(part):
    found = part.extents(np.arange(len(part)))
    return [(int(first), int(last) + 1) for first, last in zip(found.first, found.last, strict=True)]


def test_folds_in_time_share_no_steps():
    for train, val in bs.timeseries(steps(100), sequence_length=6).folds(4, by="time"):
        inside = {step for span in spans(val) for step in range(*span)}
        assert not any(inside & set(range(*span)) for span in spans(train))


def test_a_random_split_says_that_windows_overlap():
    overlapping, apart = (bs.timeseries(steps(100), sequence_length=5, sequence_stride=stride) for stride in (4, 5))
    assert "windows overlap" in str(overlapping.split(0.8)[0].choices)
    assert "windows overlap" not in str(apart.split(0.8)[0].choices)
    with pytest.raises(bs.BadSetting, match='by="time" splits windows'):
        bs.open(steps(20)).split(0.5, by="time")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "sequence_length, the number of rows"),
        ({"sequence_length": 0}, "sequence_length must be a whole number of at least 1"),
        ({"sequence_length": 5, "sampling_rate": 1.5}, "sampling_rate must be"),
        ({"sequence_length": 30}, "a window takes 30 steps .* but the data have 20"),
        ({"sequence_length": 5, "start_index": 18}, "from start_index=18"),
        ({"sequence_length": 5, "horizon": -1}, "horizon must be"),
        ({"sequence_length": 5, "target_columns": 1}, "needs horizon="),
        ({"sequence_length": 5, "horizon": 1, "target_columns": 3}, "is not a column"),
        ({"sequence_length": 5, "horizon": 1, "targets": np.zeros(20)}, "either targets= or horizon="),
        ({"sequence_length": 5, "missing": "drop"}, "missing must be"),
        ({"sequence_length": 5, "step": 1}, "step= needs time="),
    ],
)
def test_impossible_settings_raise_an_error_that_names_them(arguments, message):
    with pytest.raises(bs.BadSetting, match=message):
        bs.timeseries(steps(20), **arguments)


def test_encoded_images_are_refused_with_the_remedy(tmp_path):
    from PIL import Image

    (tmp_path / "frames").mkdir()
    for i in range(8):
        Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(tmp_path / "frames" / f"{i}.png")
    frames = bs.open(tmp_path / "frames")
    with pytest.raises(bs.BadSetting, match=r"bs.pack\(source"):
        bs.timeseries(frames, sequence_length=3)
    bs.pack(frames, tmp_path / "packed", transforms=[bs.Resize(4)], kind="pixels")
    assert bs.timeseries(bs.open(tmp_path / "packed"), sequence_length=3).spec["x"].shape == (3, 4, 4, 3)
