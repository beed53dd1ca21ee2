"""Fields of one number as rows of features, and columns in another order."""

import numpy as np
import pytest

import bitesize as bs
from bitesize.sources.combine.features import SelectedFeatures, StackedFields
from bitesize.sources.open_to_train import open_to_train


@pytest.fixture
def columns(tmp_path):
    random = np.random.default_rng(0)
    values = {"a": random.random(9), "b": random.integers(0, 9, 9), "c": random.random(9).astype(np.float32)}
    np.savez(tmp_path / "t.npz", **values, y=np.arange(9) % 2, weight=np.arange(9.0))
    return tmp_path / "t.npz", np.column_stack(list(values.values()))


def batch(source):
    with bs.Loader(source, batch_size=9, memory="8 MiB", shuffle=False) as loader:
        return {name: values.copy() for name, values in next(iter(loader)).items()}


def test_fields_of_one_number_become_features(columns):
    path, x = columns
    source = open_to_train(path, weights="weight")
    assert source.feature_names == ("a", "b", "c")
    found = batch(source)
    np.testing.assert_array_equal(found["x"], x)
    np.testing.assert_array_equal(found["y"], np.arange(9) % 2)
    np.testing.assert_array_equal(found["weight"], np.arange(9))
    assert source.weight_name == "weight"
    assert any(choice.chosen == "x: the columns a, b, c as one row of features" for choice in source.choices)


def test_features_are_taken_in_another_order(columns):
    path, x = columns
    source = SelectedFeatures(open_to_train(path, fields=["a", "b", "c", "y"]), ["c", "a"])
    np.testing.assert_array_equal(batch(source)["x"], x[:, [2, 0]])
    assert source.feature_names == ("c", "a")
    assert source.fingerprint() != SelectedFeatures(source.base, ["a", "c"]).fingerprint()


def test_features_of_a_part_are_those_of_its_rows(columns):
    path, x = columns
    source = StackedFields(bs.open(path, fields=["a", "b", "y"]), ["b", "a"]).subset([4, 2])
    np.testing.assert_array_equal(rows_of(source), x[[4, 2]][:, [1, 0]])


def rows_of(source):
    out = np.empty((len(source), *source.spec["x"].shape), source.spec["x"].dtype)
    source.read(np.arange(len(source)), {"x": out})
    return out
