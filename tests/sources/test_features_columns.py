"""Number columns of a table are one row of features."""

import numpy as np
import pytest

import bitesize as bs
from bitesize.testing import check_source, read_rows

pa = pytest.importorskip("pyarrow")
pd = pytest.importorskip("pandas")

X = np.random.default_rng(0).normal(size=(120, 4))
Y = (X[:, 2] > 0).astype(int)
KINDS = ["pandas", "polars", "arrow", "parquet", "feather", "csv", "tsv", "jsonl"]


def frame(**more):
    return pd.DataFrame(X, columns=list("abcd")).assign(label=Y, **more)


def as_kind(kind, table, folder):
    """Write or convert a data frame."""
    path = folder / f"t.{kind}"
    if kind == "pandas":
        return table
    if kind == "polars":
        return pytest.importorskip("polars").from_pandas(table)
    if kind == "arrow":
        return pa.Table.from_pandas(table)
    if kind == "parquet":
        table.to_parquet(path, row_group_size=50)
    elif kind == "feather":
        pytest.importorskip("pyarrow.feather").write_feather(table, path, chunksize=50)
    elif kind == "jsonl":
        table.to_json(path, orient="records", lines=True, double_precision=15, date_format="iso")
    else:
        table.to_csv(path, index=False, sep="\t" if kind == "tsv" else ",")
    return path


def field(source, name):
    what = source.spec[name]
    rows = read_rows(source, range(len(source)))[name]
    return np.frombuffer(b"".join(rows), what.dtype).reshape(len(source), *what.shape)


@pytest.mark.parametrize("kind", KINDS)
def test_number_columns_are_one_row_of_features(tmp_path, kind):
    source = bs.open(as_kind(kind, frame(), tmp_path))
    assert source.spec["x"] == bs.Field((4,), np.dtype("f8"))
    assert source.feature_names == ("a", "b", "c", "d")
    assert np.allclose(field(source, "x"), X, atol=1e-14)
    assert source.labels.tolist() == Y.tolist()
    assert "x: the 4 columns a, b, c, d as one row of features (fields= changes this)" in map(str, source.choices)
    check_source(source)


@pytest.mark.parametrize("kind", ["pandas", "parquet", "csv"])
def test_scikit_learn_learns_from_all_columns(tmp_path, kind):
    linear = pytest.importorskip("sklearn.linear_model")
    x = np.random.default_rng(0).normal(size=(600, 4))
    table = pd.DataFrame(x, columns=list("abcd")).assign(label=(x[:, 2] > 0).astype(int))
    with bs.Loader(bs.open(as_kind(kind, table, tmp_path)), batch_size=32, memory="64 MiB") as loader:
        model = bs.sklearn.partial_fit(linear.SGDClassifier(random_state=0), loader)
    assert model.n_features_in_ == 4
    assert model.score(x, table.label) > 0.97


def test_fields_that_are_asked_for_stay_apart():
    source = bs.open(frame(), fields=["a", "b"])
    assert (list(source.spec), source.feature_names) == (["a", "b"], None)
    assert source.spec["a"] == bs.Field((), np.dtype("f8"))


def test_one_column_is_a_row_of_one_feature():
    source = bs.open(pd.DataFrame({"v": [1.0, 2.0, 3.0]}))
    assert source.spec == {"x": bs.Field((1,), np.dtype("f8"))}
    assert source.feature_names == ("v",)


def test_images_beside_numbers_stay_fields_of_their_own():
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(np.arange(8.0)), 2)
    source = bs.open(pa.table({"vector": vectors, "age": [1, 2, 3, 4], "label": ["a", "b", "a", "b"]}))
    assert (sorted(source.spec), source.feature_names) == (["age", "label", "vector"], None)


@pytest.mark.parametrize(
    ("columns", "dtype"),
    [
        ({"a": np.zeros(3, "f4"), "b": np.zeros(3, "f4")}, "f4"),
        ({"a": np.zeros(3, "f4"), "b": np.zeros(3, "i2")}, "f4"),
        ({"a": np.zeros(3, "f4"), "b": np.zeros(3, "i8")}, "f8"),
        ({"a": np.zeros(3, "u1"), "b": np.zeros(3, "i8")}, "i8"),
        ({"a": np.zeros(3, "?"), "b": np.zeros(3, "f4")}, "f4"),
    ],
)
def test_features_have_the_smallest_common_dtype(columns, dtype):
    assert bs.open(pd.DataFrame(columns)).spec["x"].dtype == np.dtype(dtype)


def test_whole_numbers_that_lose_digits_are_said():
    small = bs.open(pd.DataFrame({"a": [1, 2], "b": [0.5, 1.5]}))
    large = bs.open(pd.DataFrame({"a": [1, 2**60 + 1], "b": [0.5, 1.5]}))
    assert not any("exact" in str(choice) for choice in small.choices)
    assert any("whole numbers of a become float64, exact up to 2**53" in str(choice) for choice in large.choices)


@pytest.mark.parametrize("kind", KINDS)
def test_missing_numbers_are_nan_and_said(tmp_path, kind):
    table = pd.DataFrame({"a": pd.array([1, None, 3], "Int64"), "b": [0.5, 1.5, 2.5]})
    source = bs.open(as_kind(kind, table, tmp_path))
    found = field(source, "x")
    assert np.array_equal(found, [[1, 0.5], [np.nan, 1.5], [3, 2.5]], equal_nan=True)
    assert any("missing values are NaN (a 1)" in str(choice) for choice in source.choices)


def test_parquet_without_statistics_counts_missing_values(tmp_path):
    import pyarrow.parquet as pq

    table = pa.table({"a": pa.array([1.0, None, 3.0]), "b": [1.0, 2.0, 3.0]})
    pq.write_table(table, tmp_path / "t.parquet", write_statistics=False)
    source = bs.open(tmp_path / "t.parquet")
    assert any("missing values are NaN (a 1)" in str(choice) for choice in source.choices)
    assert np.isnan(field(source, "x")[1, 0])


@pytest.mark.parametrize("kind", KINDS)
def test_identifiers_text_and_dates_are_left_out_by_name(tmp_path, kind):
    table = frame(
        id=range(1000, 1120),
        patient=[f"p{i // 3}" for i in range(120)],
        note=[f"note {i}" for i in range(120)],
        day=pd.date_range("2024-01-01", periods=120),
    )
    source = bs.open(as_kind(kind, table, tmp_path))
    assert source.feature_names == ("a", "b", "c", "d")
    said = " | ".join(source.left_out)
    for name in ("id: an identifier", "patient: text", "note: text", "day: "):
        assert name in said
    assert "id" in bs.open(as_kind(kind, table, tmp_path), fields=["id", "a"]).spec


def test_row_numbers_of_pandas_are_no_feature(tmp_path):
    frame().to_csv(tmp_path / "t.csv")
    source = bs.open(tmp_path / "t.csv")
    assert source.feature_names == ("a", "b", "c", "d")
    assert "row numbers" in " ".join(source.left_out)
    table = pa.Table.from_pandas(frame().iloc[::2])  # with __index_level_0__
    assert bs.open(table).feature_names == ("a", "b", "c", "d")


def test_numbers_that_repeat_are_a_feature_though_they_are_called_id():
    assert "id" in bs.open(frame(id=[i % 7 for i in range(120)])).feature_names


def test_a_table_without_numbers_names_its_columns():
    with pytest.raises(bs.BadFile, match=r"no column of numbers or images; its columns are t \(.*string\)"):
        bs.open(pd.DataFrame({"t": ["a", "b"]}))


@pytest.mark.parametrize("kind", KINDS)
def test_columns_that_are_no_fields_can_be_read(tmp_path, kind):
    table = frame(patient=[f"p{i // 3}" for i in range(120)], note=[f"n{i}" for i in range(120)])
    source = bs.open(as_kind(kind, table, tmp_path))
    assert set(table.columns) <= set(source.column_names)
    assert source.column("patient").tolist() == table.patient.tolist()
    assert source.subset([5, 3]).column("patient").tolist() == ["p1", "p1"]
    assert np.allclose(source.column("b"), table.b, atol=1e-14)
    with pytest.raises(bs.BadSetting, match=r"no column 'nothing'.*patient"):
        source.column("nothing")
