"""Labels in the forms that people have: lists, arrays and series of several libraries, with values missing or of several types."""

import numpy as np
import pytest
from tests.layouts.drawing import image, labels_by_marker

import bitesize as bs

X = np.arange(6.0).reshape(3, 2)

pd = pytest.importorskip("pandas")
pl = pytest.importorskip("polars")
pa = pytest.importorskip("pyarrow")
pl.Series(["a"]).is_null().arg_true()  # Polars starts its threads, which keep descriptors open

MISSING = {
    "None beside text": lambda: ["a", None, "b"],
    "NaN beside text": lambda: ["a", np.nan, "b"],
    "NaN in an array of objects": lambda: np.array(["a", np.nan, "b"], object),
    "NaN that NumPy has made text": lambda: np.array(["a", np.nan, "b"]),
    "None beside numbers": lambda: [1, None, 2],
    "NaN beside class numbers": lambda: [1, np.nan, 2],
    "NaN in an array of floats": lambda: np.array([1.5, np.nan, 2.5]),
    "NaN in one of two targets": lambda: np.array([[1, 2], [np.nan, 1], [1, 2.5]]),
    "NaT": lambda: np.array(["2024-01-01", "NaT", "2024-01-02"], "M8[D]"),
    "a masked value in a list": lambda: [1, np.ma.masked, 2],
    "an empty text": lambda: ["a", " ", "b"],
}


@pytest.mark.parametrize("form", MISSING)
def test_a_missing_label_is_refused_by_its_row(form):
    with pytest.raises(bs.BadSetting, match=r"the label of row 1 is (missing|empty|'nan')"):
        bs.open(X, labels=MISSING[form]())


def test_many_missing_labels_are_counted_and_the_first_named():
    with pytest.raises(bs.BadSetting, match=r"row 0 is missing .*8 such rows: 0, 1, 2, 3, 4, \.\.\."):
        bs.open(np.zeros((9, 2)), labels=[None] * 8 + ["a"])


def test_a_class_called_nan_is_taken_from_a_list_of_text():
    assert bs.open(X, labels=["a", "nan", "b"]).classes == ("a", "b", "nan")


@pytest.mark.parametrize(
    ("labels", "second"),
    [(["a", 1, "b"], "row 1 is 1"), (["a", 1.5, True], "row 1 is 1.5"), ([True, "a", "b"], "row 0 is True")],
)
def test_text_and_numbers_together_are_refused_by_two_rows(labels, second):
    with pytest.raises(bs.BadSetting, match=rf"must be of one type.*row \d is the text 'a'.*{second}"):
        bs.open(X, labels=labels)


def test_masked_labels_are_refused_for_arrays_mappings_and_files(tmp_path):
    masked = np.ma.masked_equal([0, 1, 2], 1)
    for i in range(3):
        image(tmp_path / f"{i}.png", i)
    for what, labels in ((X, masked), ({"x": X, "y": masked}, None), (tmp_path, masked)):
        with pytest.raises(bs.BadSetting, match=r"labels are a masked array.*filled"):
            bs.open(what, labels=labels)


def test_lists_of_tags_become_a_0_or_1_for_each_tag(tmp_path):
    source = bs.open(X, labels=[["sun"], ["beach", "sun"], []])
    assert source.classes == ("beach", "sun")
    assert next(iter(bs.Loader(source, batch_size=3, shuffle=False)))["y"].tolist() == [[0, 1], [1, 1], [0, 0]]
    assert bs.open(X, labels=[["a", "b"], ["b", "c"], ["c", "a"]]).classes == ("a", "b", "c")
    for i in range(3):
        image(tmp_path / f"{i}.png", i)
    named = bs.open(tmp_path, labels={"0.png": ["a"], "1.png": ["a", "b"], "2.png": ["b"]})
    assert labels_by_marker(named) == {0: [1, 0], 1: [1, 1], 2: [0, 1]}
    with pytest.raises(bs.BadSetting, match=r"list of text for each row.*row 1 is 'a'"):
        bs.open(X, labels=[["a"], "a", ["b"]])
    with pytest.raises(bs.BadSetting, match="labels of different lengths"):
        bs.open(X, labels=[[1], [1, 2], [3]])


COLUMNS = {
    "polars": lambda cells: pl.Series(cells),
    "pyarrow": lambda cells: pa.array(cells),
    "pyarrow in chunks": lambda cells: pa.chunked_array([cells[:1], cells[1:]], pa.array(cells).type),
    "pandas": lambda cells: pd.Series(cells, dtype="string" if isinstance(cells[0], str) else "Int64"),
    "pandas array": lambda cells: pd.array(cells, dtype="string" if isinstance(cells[0], str) else "Int64"),
}


@pytest.mark.parametrize("library", COLUMNS)
def test_columns_of_other_libraries_are_labels_and_their_nulls_are_refused(library):
    column = COLUMNS[library]
    assert bs.open(X, labels=column(["b", "a", "b"])).labels.tolist() == [1, 0, 1]
    numbers = bs.open(X, labels=column([2, 0, 2]))
    assert (numbers.spec["y"].dtype, numbers.labels.tolist()) == (np.int64, [2, 0, 2])
    for cells in (["a", None, "b"], [1, None, 2]):
        with pytest.raises(bs.BadSetting, match="the label of row 1 is missing"):
            bs.open(X, labels=column(cells))


def test_a_series_with_text_for_index_labels_files_by_name(tmp_path):
    paths = [image(tmp_path / f"{i}.png", i) for i in range(3)]
    series = pd.Series(["c", "b", "a"], index=["2.png", "1.png", "0.png"])
    for what in (tmp_path, str(tmp_path / "*.png"), paths):
        assert labels_by_marker(bs.open(what, labels=series)) == {0: "a", 1: "b", 2: "c"}
    with pytest.raises(bs.BadSetting, match=r"several values for '2\.png'"):
        bs.open(tmp_path, labels=pd.Series(["a", "b"], index=["2.png", "2.png"]))


def test_a_series_in_another_order_than_the_data_is_refused(tmp_path):
    shuffled = pd.Series([0, 1, 2], index=[2, 1, 0])
    assert bs.open(X, labels=pd.Series([2, 1, 0])).labels.tolist() == [2, 1, 0]
    for series in (
        shuffled,
        shuffled.to_frame("label"),
        pd.Series([0, 1, 2], index=[0, 1, 5]),
        pd.Series([0, 1, 2], index=list("abc")),
    ):
        with pytest.raises(bs.BadSetting, match=r"labels have an index, .* but the data has none: labels\.to_numpy\(\)"):
            bs.open(X, labels=series)
    with pytest.raises(bs.BadSetting, match="labels have an index"):
        bs.open({"x": X, "y": shuffled})
    for i in range(3):
        image(tmp_path / f"{i}.png", i)
    with pytest.raises(bs.BadSetting, match="labels have an index"):
        bs.open(tmp_path, labels=shuffled)
    assert bs.open(X, labels=shuffled.to_numpy()).labels.tolist() == [0, 1, 2]


def test_a_series_and_a_data_frame_need_one_index():
    frame = pd.DataFrame({"a": [1.0, 2, 3]}, index=[2, 1, 0])
    assert bs.open(frame, labels=pd.Series([0, 1, 2], index=[2, 1, 0])).column("y").tolist() == [0, 1, 2]
    for what, labels in (
        (frame, pd.Series([0, 1, 2])),
        (frame.reset_index(drop=True), pd.Series([0, 1, 2], index=[2, 1, 0])),
        ({"x": frame, "y": pd.Series([0, 1, 2])}, None),
    ):
        with pytest.raises(
            bs.BadSetting, match=r"index of labels= is in another order than the index of the data.*labels\.loc"
        ):
            bs.open(what, labels=labels)


def test_a_table_of_paths_and_labels_labels_the_files_of_a_folder(tmp_path):
    for i in range(3):
        image(tmp_path / f"{i}.png", i)
    columns = {"path": ["2.png", "0.png", "1.png"], "label": ["c", "a", "b"]}
    for table in (pd.DataFrame(columns), pl.DataFrame(columns), pa.table(columns)):
        source = bs.open(tmp_path, labels=table)
        assert labels_by_marker(source) == {0: "a", 1: "b", 2: "c"}
        assert "labels: the column 'label' of the table, for the files of 'path'" in [
            choice.chosen for choice in source.choices
        ]
    with pytest.raises(bs.BadSetting, match="columns path, u, v, none of which has the name of a label column"):
        bs.open(tmp_path, labels=pd.DataFrame({"path": ["0.png"], "u": [1], "v": [2]}))


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (lambda: {0, 1, 2}, "a set, which has no order"),
        (lambda: (i for i in range(3)), r"a generator.*labels=list\(\.\.\.\)"),
        (lambda: {"a": 1, "b": 2, "c": 3}.values(), r"dict_values.*labels=list\(\.\.\.\)"),
        (lambda: str, "a type, <class 'str'>"),
        (lambda: lambda path: path, "a function"),
        (lambda: True, "not True"),
        (lambda: 5, "not 5"),
        (lambda: np.array(3), "one per row"),
        (lambda: [2**70] * 3, r"below 2\*\*63"),
    ],
)
def test_labels_that_are_no_values_in_order_are_refused(labels, message):
    with pytest.raises(bs.BadSetting, match=message):
        bs.open(X, labels=labels())


def test_tensors_with_a_gradient_are_labels():
    torch = pytest.importorskip("torch")
    assert bs.open(X, labels=torch.tensor([1.0, 2, 3], requires_grad=True)).column("y").tolist() == [1, 2, 3]


@pytest.mark.parametrize(("labels", "seen"), [("[", "not a regular expression.*unterminated"), ("id", "has no group")])
def test_a_text_that_is_no_file_and_no_pattern_is_refused(tmp_path, labels, seen):
    image(tmp_path / "0.png", 0)
    with pytest.raises(bs.BadSetting, match=f"no such file or folder.*{seen}"):
        bs.open(tmp_path, labels=labels)


@pytest.mark.parametrize("library", ["polars", "pyarrow", "pyarrow in chunks", "pandas"])
def test_a_column_of_paths_opens_the_files(tmp_path, library):
    paths = [image(tmp_path / f"{i}.png", i) for i in (2, 0, 1)]
    assert labels_by_marker(bs.open(COLUMNS[library](paths), labels=["c", "a", "b"])) == {0: "a", 1: "b", 2: "c"}


def test_paths_and_labels_of_one_data_frame_keep_its_order(tmp_path):
    paths = [image(tmp_path / f"{i}.png", i) for i in range(3)]
    frame = pd.DataFrame({"where": paths, "label": ["a", "b", "c"]}).iloc[[2, 0]]
    assert labels_by_marker(bs.open(frame["where"], labels=frame["label"])) == {0: "a", 2: "c"}
    with pytest.raises(bs.BadSetting, match="another order"):
        bs.open(frame["where"], labels=frame["label"].reset_index(drop=True))
    with pytest.raises(bs.BadSetting, match="only if all its values are paths, but the value of row 1 is 3"):
        bs.open(pd.Series([paths[0], 3]))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (lambda root: {"a.png"}, "a set has no order"),
        (lambda root: iter(["a.png"]), r"list\(\.\.\.\)"),
        (lambda root: root.glob("*.png"), r"list\(\.\.\.\)"),
        (lambda root: pl.DataFrame({"a": [1]}).lazy(), r"frame\.collect\(\).*sink_parquet"),
        (lambda root: np.zeros(3, [("a", "f4"), ("b", "i4")]), r"named fields \(a, b\).*DataFrame"),
    ],
)
def test_data_without_order_or_length_is_refused_with_the_way(tmp_path, data, message):
    with pytest.raises(bs.BadSetting, match=message):
        bs.open(data(tmp_path))


def test_an_open_file_is_refused_by_its_path_and_an_open_archive_is_opened_by_it(tmp_path):
    np.savez(tmp_path / "n.npz", x=X, y=[0, 1, 0])
    with (
        open(tmp_path / "n.npz", "rb") as file,
        pytest.raises(bs.BadSetting, match=r"pass its path, bs\.open\('.*n\.npz'\)"),
    ):
        bs.open(file)
    with np.load(tmp_path / "n.npz") as archive:
        source = bs.open(archive)
    assert (source.reads_files, source.labels.tolist()) == (True, [0, 1, 0])


def rows_of(source):
    with bs.Loader(source, batch_size=len(source), memory="64 MiB", shuffle=False) as loader:
        batch = next(iter(loader))
        return {name: np.array(batch[name]).tolist() for name in batch}


def test_a_mapping_takes_arrays_of_other_libraries_and_lists_of_labels(tmp_path):
    h5py, zarr = pytest.importorskip("h5py"), pytest.importorskip("zarr")
    sparse, torch = pytest.importorskip("scipy.sparse"), pytest.importorskip("torch")
    y = [2, 0, 1]
    group = zarr.open_group(tmp_path / "a.zarr", mode="w")
    group["x"], group["y"] = X, np.array(y)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["x"], file["y"], file["mask"] = X, y, np.arange(3 * 81, dtype=np.uint8).reshape(3, 9, 9)
    with h5py.File(tmp_path / "a.h5") as file:
        for mapping in (
            {"x": file["x"], "y": file["y"]},
            {"x": group["x"], "y": group["y"]},
            {"x": torch.tensor(X), "y": torch.tensor(y)},
            {"x": sparse.csr_matrix(X), "y": np.array(y)},
            {"x": pd.DataFrame(X, columns=["a", "b"]), "y": pd.Series(y)},
            {"x": X, "y": pl.Series(y)},
            {"x": X, "y": y},
            {"x": X.tolist(), "y": np.array(y)},
        ):
            assert rows_of(bs.open(mapping)) == {"x": X.tolist(), "y": y}
        masks = rows_of(bs.open({"x": file["x"], "y": file["mask"]}))
        assert masks == {"x": X.tolist(), "y": file["mask"][:].tolist()}
    assert bs.open({"x": X, "y": ["b", "a", "b"]}).classes == ("a", "b")


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("a.npy", r"value of 'y' in the mapping is a path, but other values are arrays: bs\.zip"),
        ({1, 2, 3}, "value of 'y' in the mapping is a set, not an array"),
        (5, "value of 'y' in the mapping is a int, not an array"),
        ([1, 2], r"the same number of rows: x \(3, 2\), y \(2,\)"),
    ],
)
def test_a_value_of_a_mapping_that_is_no_array_is_named(value, message):
    with pytest.raises(bs.BadSetting, match=message):
        bs.open({"x": X, "y": value})


def test_text_in_a_mapping_that_is_no_label_is_named():
    with pytest.raises(bs.BadSetting, match=r"value of 'z' in the mapping is text.*labels='z'"):
        bs.open({"x": X, "z": ["a", "b", "c"], "y": [1, 2, 3]})
    assert bs.open({"x": X, "z": ["a", "b", "a"]}, labels="z").classes == ("a", "b")


def test_archives_that_may_hold_many_rows_are_said_to_be_one_row_each(tmp_path):
    for i in range(3):
        np.savez(tmp_path / f"{i}.npz", x=np.zeros((5, 3)) + i, y=np.arange(5))
    for what in (tmp_path, str(tmp_path / "*.npz")):
        source = bs.open(what)
        assert len(source) == 3
        assert ("each of the 3 .npz files is one row, its arrays the fields", "file_is_row=False") in source.choices
        assert not any("is one row" in choice.chosen for choice in bs.open(what, file_is_row=False).choices)


def test_arrays_in_a_list_are_said_to_be_rows():
    source = bs.open([X, X + 1])
    assert (len(source), source.spec["x"].shape) == (2, (3, 2))
    assert "each array of the list is one row, of shape (3, 2)" in [choice.chosen for choice in source.choices]
    assert not bs.open(X.tolist()).choices
    with pytest.raises(bs.BadSetting, match=r"shapes \(3, 2\), \(3,\).*bs\.open\(x, y\)"):
        bs.open([X, np.arange(3)])
