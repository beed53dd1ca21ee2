"""Labels in the forms that people have: lists, arrays and series of several libraries, with values missing or of several types."""

import numpy as np
import pytest

import bitesize as bs
from tests.layouts.drawing import image, labels_by_marker

X = np.arange(6.0).reshape(3, 2)

pd = pytest.importorskip("pandas")
pl = pytest.importorskip("polars")
pa = pytest.importorskip("pyarrow")

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
    with pytest.raises(bs.BadSetting, match="that of row 1 is (missing|empty|'nan')"):
        bs.open(X, labels=MISSING[form]())


def test_many_missing_labels_are_counted_and_the_first_named():
    with pytest.raises(bs.BadSetting, match=r"row 0 is missing .*8 such rows: 0, 1, 2, 3, 4, \.\.\."):
        bs.open(np.zeros((9, 2)), labels=[None] * 8 + ["a"])


def test_a_class_called_nan_is_taken_from_a_list_of_text():
    assert bs.open(X, labels=["a", "nan", "b"]).classes == ("a", "b", "nan")


@pytest.mark.parametrize(
    ("labels", "second"), [(["a", 1, "b"], "row 1 is 1"), (["a", 1.5, True], "row 1 is 1.5"), ([True, "a", "b"], "row 0 is True")]
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
    with pytest.raises(bs.BadSetting, match="list of text for each row.*row 1 is 'a'"):
        bs.open(X, labels=[["a"], "a", ["b"]])
    with pytest.raises(bs.BadSetting, match="labels of different lengths"):
        bs.open(X, labels=[[1], [1, 2], [3]])
