"""Objects that have items by number, and do not say where they end: NumPy would ask them for ever."""

import numpy as np
import pytest

import bitesize as bs

X = np.arange(12.0).reshape(4, 3)


class Items:
    """Items by number, without an end, as many datasets of the map style are."""

    def __init__(self, item):
        self.item = item

    def __len__(self):
        return 4

    def __getitem__(self, row):
        return self.item(row)


def test_a_dataset_without_any_package_opens_item_by_item():
    taken = []
    source = bs.open(Items(lambda row: (taken.append(row), (X[row % 4], row % 2))[1]))
    assert len(taken) < 4  # looked at, not read whole
    assert (len(source), source.label_name) == (4, "y")
    with bs.Loader(source, batch_size=4, memory="16 MiB", shuffle=False) as loader:
        batch = next(iter(loader))
    assert batch["x"].tolist() == X.tolist()
    assert batch["y"].tolist() == [0, 1, 0, 1]


def test_one_that_can_be_iterated_is_not_read_whole_either():
    class Iterated(Items):
        """Also a way to go through them."""

        def __iter__(self):
            raise AssertionError("read whole")

    assert len(bs.open(Iterated(lambda row: X[row]))) == 4


ROWS = Items(lambda row: X[0])
NUMBERS = Items(lambda row: row % 2)


@pytest.mark.parametrize(
    ("name", "use"),
    [
        ("data", lambda: bs.open([ROWS, ROWS])),
        ("an array to join", lambda: bs.concatenate([ROWS])),
        ("an array to join", lambda: bs.stack([ROWS])),
        ("rows", lambda: bs.open(X).subset(NUMBERS)),
        ("by", lambda: bs.open(X).split(0.5, by=NUMBERS)),
        ("shares", lambda: bs.mix([bs.open(X), bs.open(X)], NUMBERS)),
        ("weights", lambda: bs.Order(4, weights=NUMBERS)),
        ("chunks", lambda: bs.Order(4, window=2, batch_size=2, chunks=NUMBERS)),
    ],
)
def test_where_an_array_is_needed_they_are_refused(name, use):
    with pytest.raises(bs.BadSetting, match=f"^{name} must be an array or a list: Items has items by number"):
        use()


def test_an_object_with_keys_is_refused_with_the_mapping_to_pass():
    class Columns:
        """Arrays by name, without being a mapping of Python."""

        def __len__(self):
            return 2

        def __getitem__(self, name):
            return {"x": X, "y": np.arange(4) % 2}[name]

        def keys(self):
            return ["x", "y"]

    data = Columns()
    with pytest.raises(bs.BadSetting, match=r"a Columns has keys, .* pass \{key: data\[key\] for key in data\.keys\(\)\}"):
        bs.open(data)
    assert len(bs.open({key: data[key] for key in data.keys()})) == 4  # noqa: SIM118 - as the message says


def test_a_dataset_shorter_than_its_length_is_an_error_that_names_the_item():
    def item(row):
        if row >= 3:
            raise IndexError("no more")
        return X[row]

    with (
        bs.Loader(bs.open(Items(item)), batch_size=4, memory="16 MiB") as loader,
        pytest.raises(bs.BadFile, match=r"Items\[3\]: IndexError: no more"),
    ):
        next(iter(loader))


def test_batches_of_keras_are_no_rows():
    keras = pytest.importorskip("keras")

    class Batches(keras.utils.PyDataset):
        """Two batches."""

        def __len__(self):
            return 2

        def __getitem__(self, index):
            return X, np.zeros(4)

    with pytest.raises(bs.BadSetting, match="a Batches of Keras returns batches, not rows"):
        bs.open(Batches())
