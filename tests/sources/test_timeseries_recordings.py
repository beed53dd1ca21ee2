"""Windows over recordings, times with gaps, and missing values."""

import datetime

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import bitesize as bs
from bitesize.testing import check_bad_rows, check_source

START = np.datetime64("2024-01-01T00:00", "us")
MINUTE = np.timedelta64(1, "m")


def steps(count, columns=2):
    return np.arange(count * columns, dtype=np.float64).reshape(count, columns)


def write(path, data, times=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".npy":
        np.save(path, data)
        return
    pa = pytest.importorskip("pyarrow")
    from pyarrow import csv, parquet

    columns = {} if times is None else {"timestamp": times}
    table = pa.table(columns | {"ab"[i]: data[:, i] for i in range(data.shape[1])})
    (csv.write_csv if path.suffix == ".csv" else parquet.write_table)(table, path)


@pytest.fixture(params=[".npy", ".csv", ".parquet"])
def walks(request, tmp_path):
    """Return a folder of two classes with three recordings each, one of them too short."""
    for name in ("run", "walk"):
        for i, count in enumerate((12, 3, 20)):
            write(tmp_path / "rec" / name / f"{i}{request.param}", steps(count) + 100 * i + 1000 * (name == "walk"))
    return tmp_path / "rec"


def test_class_folders_label_the_windows_of_their_recordings(walks):
    source = bs.timeseries(walks, sequence_length=5, sequence_stride=2)
    check_source(source)
    assert source.classes == ("run", "walk")
    assert source.labels.tolist() == [0] * (4 + 8) + [1] * (4 + 8)
    assert source.left_out == {"recordings shorter than a window": 2}
    assert [choice.chosen for choice in source.choices if "labels" in choice.chosen]
    for row in range(len(source)):
        x = source[row]["x"]
        np.testing.assert_array_equal(np.diff(x, axis=0), 2)  # no window crosses the end of a recording
        assert (x[0, 0] >= 1000) == (source.labels[row] == 1)


def test_a_window_names_its_recording_and_steps(walks):
    source = bs.timeseries(walks, sequence_length=5)
    suffix = next(walks.rglob("0.*")).suffix
    assert source.describe(8).replace("\\", "/") == f"run/2{suffix}, steps 0 to 4"
    assert sorted(set(source.column("recording"))) == sorted(
        {source.describe(row).split(",")[0] for row in range(len(source))}
    )


def test_recordings_stay_whole_in_a_split_by_recording(walks):
    source = bs.timeseries(walks, sequence_length=5)
    train, val = source.split(0.5, by="recording")
    assert not {*train.column("recording")} & {*val.column("recording")}
    early, late = source.split(0.5, by="time")  # each recording is split for itself
    assert {*early.column("recording")} == {*late.column("recording")}


def test_labels_of_recordings_are_given_as_for_open(walks):
    suffix = next(walks.rglob("0.*")).suffix
    flat = walks / "run"
    table = walks.parent / "labels.csv"
    table.write_text("path,label\n" + "".join(f"{i}{suffix},{'ab'[i > 0]}\n" for i in (0, 2)), encoding="utf-8")
    forms = {
        "table": str(table),
        "names": {"0": "a", "1": "b", "2": "b"},
        "pattern": None,
    }
    for form in ("table", "names"):
        source = bs.timeseries(flat, forms[form], sequence_length=5)
        assert (source.classes, np.bincount(source.labels).tolist()) == (("a", "b"), [8, 16]), form
    by_pattern = bs.timeseries(walks, "(run|walk)", sequence_length=5)
    assert by_pattern.classes == ("run", "walk")
    assert bs.timeseries(walks, False, sequence_length=5).labels is None
    files = [flat / f"{i}{suffix}" for i in (2, 0)]
    assert whole_y(bs.timeseries(files, [0.5, 1.5], sequence_length=10)) == [0.5] * 11 + [1.5] * 3
    assert len(bs.timeseries(str(flat / f"*{suffix}"), sequence_length=5)) == 24
    both = bs.timeseries({"fast": flat, "slow": walks / "walk"}, sequence_length=5)
    assert both.classes == ("fast", "slow")


def whole_y(source):
    return [float(source[row]["y"]) for row in range(len(source))]


def test_a_list_of_arrays_is_a_list_of_recordings():
    source = bs.timeseries([steps(6), steps(9)], ["a", "b"], 4, horizon=None)
    assert (len(source), source.labels.tolist()) == (9, [0] * 3 + [1] * 6)
    with pytest.raises(bs.BadSetting, match="same fields"):
        bs.timeseries([steps(6), steps(9, 3)], sequence_length=4)


def test_errors_name_what_is_missing(tmp_path):
    with pytest.raises(bs.NotFound, match=r"a\.npy"):
        bs.timeseries([tmp_path / "a.npy", tmp_path / "b.npy"], sequence_length=3)
    write(tmp_path / "rec" / "a.npy", steps(4))
    with pytest.raises(bs.BadSetting, match="a window takes 9 steps"):
        bs.timeseries(tmp_path / "rec", sequence_length=9)
    with pytest.raises(bs.BadSetting, match="one folder of recordings for each class"):
        bs.timeseries({"a": steps(4)}, sequence_length=2)


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
@pytest.mark.parametrize("step", [None, 60, datetime.timedelta(minutes=1), MINUTE])
def test_windows_across_a_gap_are_left_out(tmp_path, suffix, step):
    times = START + MINUTE * np.array([*range(10), *range(15, 30)])
    write(tmp_path / f"a{suffix}", steps(25), times)
    source = bs.timeseries(tmp_path / f"a{suffix}", sequence_length=4, horizon=1, time="timestamp", step=step)
    assert source.left_out["windows that cross a gap"] == 4
    assert len(source) == 25 - 4 - 4
    assert "time: the column 'timestamp', a step every 60 s, 1 gap" in [choice.chosen for choice in source.choices]
    starts = source.extents(np.arange(len(source))).first
    assert not {6, 7, 8, 9} & {*starts.tolist()}


def test_times_of_numbers_are_no_input_and_may_jitter(tmp_path):
    pa = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    t = np.arange(30.0) + np.random.default_rng(0).uniform(-0.2, 0.2, 30)
    parquet.write_table(pa.table({"t": t, "a": np.arange(30.0)}), tmp_path / "a.parquet")
    source = bs.timeseries(tmp_path / "a.parquet", sequence_length=3, time="t")
    assert source.spec["x"].shape == (3, 1)
    assert len(source) == 28
    assert np.asarray(source[4]["x"]).ravel().tolist() == [4, 5, 6]


@pytest.mark.parametrize(
    ("times", "step", "message"),
    [
        (np.arange(20) ** 3, None, "no regular step"),
        (np.zeros(20), None, "must be above 0"),
        (np.arange(19), None, "19 values for 20 steps"),
        (np.where(np.arange(20) == 3, np.nan, np.arange(20)), None, "1 steps without a time, the first at step 3"),
        (np.array(["31.01.2024 12:00"] * 20), None, "not a date as in ISO 8601"),
        (np.arange(20), datetime.timedelta(1), "a number in their unit"),
    ],
)
def test_times_that_are_not_regular_raise_an_error(times, step, message):
    with pytest.raises(bs.BadSetting, match=message):
        bs.timeseries(steps(20), sequence_length=3, time=times, step=step)


@settings(max_examples=100, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 25), min_size=1, max_size=3),
    length=st.integers(1, 5),
    rate=st.integers(1, 3),
    stride=st.integers(1, 3),
    ahead=st.none() | st.integers(0, 3),
    seed=st.integers(0, 1000),
    gaps=st.booleans(),
    nans=st.booleans(),
)
def test_exactly_the_windows_without_gaps_and_missing_values_are_left(
    lengths, length, rate, stride, ahead, seed, gaps, nans
):
    random = np.random.default_rng(seed)
    recordings = [steps(count) for count in lengths]
    times = [np.cumsum(np.where(random.random(count) < 0.2 * gaps, 7, 1)) for count in lengths]
    for data in recordings if nans else ():
        data[random.random(len(data)) < 0.15, 0] = np.nan
    expected = []
    for data, at in zip(recordings, times, strict=True):
        span = (length - 1) * rate + 1 + (ahead or 0)
        for first in range(0, len(data) - span + 1, stride):
            used = data[
                [*range(first, first + (length - 1) * rate + 1, rate), *([] if ahead is None else [first + span - 1])]
            ]
            if not (np.diff(at[first : first + span]) > 1).any() and not np.isnan(used).any():
                expected.append(used[:length])
    arguments = {"sequence_stride": stride, "sampling_rate": rate, "horizon": ahead, "missing": "skip"}
    arguments |= {"time": np.concatenate(times), "step": 1} if gaps and sum(lengths) > len(lengths) else {}
    if not expected:
        with pytest.raises(bs.BadSetting):
            bs.timeseries(recordings, None, length, **arguments)
        return
    source = bs.timeseries(recordings, None, length, **arguments)
    assert len(source) == len(expected)
    np.testing.assert_array_equal([source[row]["x"] for row in range(len(source))], expected)


def test_windows_with_missing_values_are_bad_rows_unless_they_are_kept():
    data = steps(20)
    data[7, 1] = np.nan
    check_bad_rows(bs.timeseries(data, sequence_length=3), [5, 6, 7])
    with pytest.raises(bs.BadFile, match=r"steps 5 to 7: x has missing values \(NaN\): missing='skip'"):
        bs.timeseries(data, sequence_length=3)[5]
    kept = bs.timeseries(data, sequence_length=3, missing="keep")
    assert np.isnan(kept[5]["x"]).any()
    skipped = bs.timeseries(data, sequence_length=3, horizon=2, missing="skip")
    assert skipped.left_out == {"windows with missing values": 4}
    assert "missing values: 1 of 20 steps have some (NaN)" in [choice.chosen for choice in skipped.choices]


def test_values_that_overflow_in_a_sum_are_not_missing():
    data = np.full((20, 2), np.finfo(np.float32).max, np.float32)
    data[:, 1] = np.inf
    data[::2, 1] = -np.inf
    assert bs.timeseries(data, sequence_length=4)[3]["x"].shape == (4, 2)
