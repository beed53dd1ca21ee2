"""Recordings that are written differently are read alike, or refused: nothing is silently wrong."""

import logging
import warnings

import numpy as np
import pytest

import bitesize as bs
from bitesize.testing import check_source

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")

HOURS = np.datetime64("2024-01-01T00:00:00") + np.arange(30) * np.timedelta64(1, "h")


def csv(path, header, *columns):
    rows = "\n".join(",".join(map(str, row)) for row in zip(*columns, strict=True))
    path.write_text(f"{header}\n{rows}\n")


def windows_of(source):
    return [source[row]["x"] for row in range(len(source))]


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_columns_are_joined_by_name_whatever_their_order(suffix, tmp_path):
    one = {"a": np.arange(20), "b": 100 + np.arange(20)}
    other = {"b": 300 + np.arange(20), "a": 200 + np.arange(20)}
    for name, table in (("1", one), ("2", other)):
        if suffix == ".csv":
            csv(tmp_path / f"{name}.csv", ",".join(table), *table.values())
        else:
            pq.write_table(pa.table(table), tmp_path / f"{name}.parquet")
    source = bs.timeseries(tmp_path, sequence_length=5)
    assert source.feature_names == ("a", "b")
    assert windows_of(source)[0][0].tolist() == [0, 100]
    assert windows_of(source)[-1][0].tolist() == [215, 315]
    assert f"x: columns by name, as in 1{suffix}; 1 recording has another order" in str(source.explain())
    check_source(source)


def test_other_columns_are_refused_and_named(tmp_path):
    csv(tmp_path / "1.csv", "a,b,c", range(9), range(9), range(9))
    csv(tmp_path / "2.csv", "a,b,d", range(9), range(9), range(9))
    with pytest.raises(bs.BadSetting, match=r"1\.csv has a, b, c, but 2\.csv has d and no c\. fields="):
        bs.timeseries(tmp_path, sequence_length=3)
    (tmp_path / "2.csv").unlink()
    csv(tmp_path / "2.csv", "a,b", range(9), range(9))
    with pytest.raises(bs.BadSetting, match=r"2\.csv has no c"):
        bs.timeseries(tmp_path, sequence_length=3)
    assert len(bs.timeseries(tmp_path, sequence_length=3, fields=["a", "b"])) == 14


def test_whole_numbers_and_decimals_are_read_in_one_dtype(tmp_path):
    csv(tmp_path / "1.csv", "a,b", range(20), range(20))
    csv(tmp_path / "2.csv", "a,b", [i + 0.5 for i in range(20)], range(20))
    source = bs.timeseries(tmp_path, sequence_length=5)
    assert source.spec["x"].dtype == np.float64
    assert windows_of(source)[0][:, 0].tolist() == [0, 1, 2, 3, 4]
    assert windows_of(source)[-1][:, 0].tolist() == [15.5, 16.5, 17.5, 18.5, 19.5]
    assert "x: read as float64, because recordings have float64 and int64" in str(source.explain())
    check_source(source)


def test_single_and_double_precision_are_read_as_double(tmp_path):
    pq.write_table(pa.table({"a": np.arange(20, dtype=np.float32)}), tmp_path / "1.parquet")
    pq.write_table(pa.table({"a": np.arange(20) + 1e-9}), tmp_path / "2.parquet")
    source = bs.timeseries(tmp_path, sequence_length=5)
    assert windows_of(source)[-1][0, 0] == 15 + 1e-9
    check_source(source)


def test_classes_of_steps_are_numbered_alike_in_all_recordings(tmp_path):
    csv(tmp_path / "1.csv", "a,label", range(6), ["walk", "run"] * 3)
    csv(tmp_path / "2.csv", "a,label", range(6), ["run", "sit"] * 3)
    source = bs.timeseries(tmp_path, sequence_length=1, horizon=0, target_columns="y")
    names = source.base.classes
    with pytest.raises(bs.BadSetting, match="'label' is not a column: the columns are a, and other fields are y"):
        bs.timeseries(tmp_path, sequence_length=1, horizon=0, target_columns="label")
    assert [names[int(source[row]["y"])] for row in range(12)] == ["walk", "run"] * 3 + ["run", "sit"] * 3


def test_a_column_that_is_taken_as_label_is_said(tmp_path, caplog):
    csv(tmp_path / "1.csv", "x,y,z", range(9), range(10, 19), range(9))
    csv(tmp_path / "2.csv", "x,y,z", range(9), range(20, 29), range(9))
    with caplog.at_level(logging.WARNING, "bitesize"):
        source = bs.timeseries(tmp_path, sequence_length=3)
    assert source.feature_names == ("x", "z")
    assert "y: taken as labels of steps" in caplog.text


def test_a_line_of_units_is_refused(tmp_path):
    csv(tmp_path / "1.csv", "time,temperature", ["s", *range(9)], ["degC", *range(9)])
    with pytest.raises(bs.BadSetting, match=r"line 2 of .*1\.csv has 's' in the column 'time'.*skiprows"):
        bs.timeseries(tmp_path / "1.csv", sequence_length=3, time="time")
    csv(tmp_path / "1.csv", "time,temperature", ["", *range(9)], ["degC", *range(9)])
    with pytest.raises(bs.BadSetting, match="'degC' in the column 'temperature'"):
        bs.timeseries(tmp_path / "1.csv", sequence_length=3)


@pytest.mark.parametrize("first", ["NA", "", "nan"])
def test_a_first_row_without_values_is_no_line_of_units(first, tmp_path):
    csv(tmp_path / "1.csv", "a,b", [first, *range(9)], [first, *range(9)])
    assert len(bs.timeseries(tmp_path / "1.csv", sequence_length=3, missing="skip")) == 7


@pytest.mark.parametrize(
    ("change", "count"),
    [
        (lambda t: t.__setitem__([5, 6], t[[6, 5]]), "1 step is"),
        (lambda t: t.__setitem__([6, 20], t[[5, 19]]), "2 steps are"),
    ],
    ids=["not sorted", "twice"],
)
def test_times_that_are_not_sorted_or_come_twice_are_said(change, count, caplog):
    times = HOURS.copy()
    change(times)
    with caplog.at_level(logging.WARNING, "bitesize"):
        source = bs.timeseries(np.arange(30.0), sequence_length=4, time=times)
    assert f"{count} not later than the one before: sort the rows by time" in caplog.text
    assert f"{count} not later" in str(source.explain())
    for row in range(len(source)):
        steps = source[row]["x"].astype(int)
        assert (np.diff(times[steps]) == np.timedelta64(1, "h")).all()


@pytest.mark.parametrize("times", [HOURS[::-1], np.repeat(HOURS[:15], 2)], ids=["backward", "each twice"])
def test_times_without_a_step_are_refused(times):
    with pytest.raises(bs.BadSetting, match="sort the rows by time"):
        bs.timeseries(np.arange(30.0), sequence_length=4, time=times)


def test_a_change_of_the_offset_is_no_gap(tmp_path):
    """At the end of March, clocks in Berlin skip an hour."""
    texts = [f"2024-03-31T0{hour}:00:00+0{1 if hour < 2 else 2}:00" for hour in (0, 1, 3, 4, 5, 6)]
    csv(tmp_path / "1.csv", "time,a", texts, range(6))
    assert len(bs.timeseries(tmp_path / "1.csv", sequence_length=3, time="time")) == 4
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(bs.timeseries(np.arange(6.0), sequence_length=3, time=np.array(texts))) == 4


def test_the_column_of_times_is_not_left_out(tmp_path):
    times = pa.array(HOURS.astype("datetime64[us]"), pa.timestamp("us", tz="Europe/Berlin"))
    pq.write_table(pa.table({"time": times, "a": np.arange(30.0)}), tmp_path / "1.parquet")
    source = bs.timeseries(tmp_path / "1.parquet", sequence_length=4, time="time")
    assert len(source) == 27
    assert source.left_out == {}


def test_times_of_several_kinds_are_refused(tmp_path):
    csv(tmp_path / "1.csv", "time,a", HOURS[:9], range(9))
    csv(tmp_path / "2.csv", "time,a", [f"01/02/2024 0{hour}:00" for hour in range(9)], range(9))
    with pytest.raises(bs.BadSetting, match="write it in one way"):
        bs.timeseries(tmp_path, sequence_length=4, time="time")
