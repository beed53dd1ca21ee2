"""What is TensorFlow's own about its output."""

import numpy as np
import pytest

import bitesize as bs

tf = pytest.importorskip("tensorflow")
pytestmark = [pytest.mark.framework, pytest.mark.filterwarnings("ignore")]  # TensorFlow's, about itself


def make_loader(**settings):
    x = np.arange(200, dtype=np.float32).reshape(50, 4)
    settings = {"batch_size": 8, "memory": "16 MiB", "seed": 2} | settings
    return bs.Loader(bs.open(x, np.arange(50)), **settings)


def test_the_dataset_tells_its_length_and_its_shapes():
    with make_loader() as loader:
        data = bs.to_tensorflow(loader)
        assert isinstance(data, tf.data.Dataset)
        assert int(data.cardinality()) == 7
        x, y = data.element_spec
        assert (x.shape.as_list(), x.dtype, y.shape.as_list()) == ([None, 4], tf.float32, [None])
        assert not data.options().autotune.enabled
        assert data.options().threading.private_threadpool_size == 1
    with make_loader(last="drop") as loader:
        assert bs.to_tensorflow(loader).element_spec[0].shape.as_list() == [8, 4]
    with make_loader() as loader:
        assert bs.to_tensorflow(loader, targets=()).element_spec[1] == ()
    with bs.Loader(bs.open(np.ones((9, 2))), batch_size=3, memory="16 MiB") as loader:
        assert bs.to_tensorflow(loader).element_spec.shape.as_list() == [3, 2]


def test_each_iteration_is_an_epoch_and_a_left_one_is_repeated():
    with make_loader() as loader:
        expected = [[batch["y"].tolist() for batch in loader] for _ in range(3)]
    with make_loader() as loader:
        data = bs.to_tensorflow(loader)
        assert [y.numpy().tolist() for _, y in data] == expected[0]
        for i, (_, y) in enumerate(data):
            assert y.numpy().tolist() == expected[1][i]
            if i == 3:
                break
        assert loader.state_dict()["position"] == 32
        assert [y.numpy().tolist() for _, y in data] == expected[1]
        assert [y.numpy().tolist() for _, y in data] == expected[2]


def test_tensors_keep_their_values_while_they_are_held():
    with bs.Loader(
        bs.open(np.repeat(np.arange(64.0), 999).reshape(64, 999)), batch_size=4, memory="16 MiB", shuffle=False
    ) as loader:
        kept = [x[:, :1] * 1.0 for x in bs.to_tensorflow(loader)]
        before = None
        for x in bs.to_tensorflow(loader):
            if before is not None:
                assert (x.numpy()[:, 0] == before.numpy()[:, 0] + 4).all()
            before = x
    assert np.concatenate(kept).ravel().tolist() == list(range(64))


def test_rows_that_are_none_are_left_out(tmp_path):
    for i in range(20):
        np.save(tmp_path / f"{i:02}.npy", np.full(3, i, np.float32))
    (tmp_path / "07.npy").write_bytes(b"nothing")
    with bs.Loader(bs.open(tmp_path), batch_size=8, memory="16 MiB", shuffle=False, on_error="skip") as loader:
        seen = np.concatenate([x.numpy().copy() for x in bs.to_tensorflow(loader)])
    assert seen[:, 0].tolist() == [i for i in range(20) if i != 7]


def test_numbers_that_tensorflow_lacks_are_refused():
    loader = bs.Loader(bs.open(np.zeros(8, "datetime64[s]")), batch_size=4, memory="16 MiB")
    with loader, pytest.raises(bs.BadSetting, match="no such numbers"):
        bs.to_tensorflow(loader)


def test_names_in_the_model_weights_of_the_data_and_no_targets():
    source = bs.zip(bs.open(np.ones((20, 3), np.float32), np.arange(20)), w=bs.open(np.arange(20.0)))
    source.weight_name = "w"
    with bs.Loader(source, batch_size=4, memory="16 MiB") as loader:
        for x, y, w in bs.to_tensorflow(loader, inputs={"image": "x"}, targets=["y"]):
            assert x["image"].shape == (4, 3)
            assert y[0].numpy().tolist() == w.numpy().tolist()
        assert len(bs.to_tensorflow(loader, weights=False).element_spec) == 2
        assert bs.to_tensorflow(loader, targets=False).element_spec.shape.as_list() == [4, 3]
