"""What is TensorFlow's own about its output."""

import time

import numpy as np
import pytest

import bitesize as bs
from bitesize.engine import holding

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
    with loader, pytest.raises(bs.BadSetting, match="does not support this dtype"):
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


def kept_by_program(data):
    """Run a loop that keeps batches; return the error that ends it, once it is TensorFlow's turn to wait."""
    with pytest.raises(tf.errors.ResourceExhaustedError) as caught:
        list(data)
    return str(caught.value)


@pytest.mark.parametrize(
    "keep",
    [lambda data: data, lambda data: data.cache(), lambda data: data.shuffle(20), lambda data: data.map(lambda x, y: (tf.identity(x), y))],
    ids=["list", "cache", "shuffle", "identity"],
)  # fmt: skip
def test_batches_that_a_program_keeps_are_an_error_with_what_copies_them(keep, monkeypatch):
    monkeypatch.setattr(holding, "KEPT_SECONDS", 0.5)
    with make_loader(batch_size=4) as loader:
        said = kept_by_program(keep(bs.to_tensorflow(loader)))
    assert "tf.raw_ops.DeepCopy(x=x)" in said
    assert "BatchesHeld" in said


def test_a_compiled_function_that_waits_for_a_cache_is_an_error_too(monkeypatch):
    monkeypatch.setattr(holding, "KEPT_SECONDS", 1.0)
    with make_loader(batch_size=4) as loader, pytest.raises(tf.errors.ResourceExhaustedError, match="DeepCopy"):
        bs.to_tensorflow(loader).cache().reduce(np.float32(0), lambda total, batch: total + tf.reduce_sum(batch[0]))


def test_a_step_that_takes_long_ends_no_loop(monkeypatch):
    monkeypatch.setattr(holding, "KEPT_SECONDS", 0.2)
    with make_loader(batch_size=4) as loader:
        for i, _ in enumerate(bs.to_tensorflow(loader).prefetch(8)):  # which asks for more, and holds every slot meanwhile
            if i == 1:
                time.sleep(1.5)
        assert i == 12


@pytest.mark.parametrize("dtype", ["uint8", "float16", "float32", "bool", "int64"])
def test_copies_can_be_cached_and_shuffled(dtype):
    x = np.arange(50 * 20).reshape(50, 20).astype(dtype)
    with bs.Loader(bs.open(x, np.arange(50)), batch_size=4, memory="16 MiB") as loader:
        copied = bs.to_tensorflow(loader).map(lambda x, y: (tf.raw_ops.DeepCopy(x=x), y)).cache().shuffle(5)
        for _ in range(2):
            seen = [(y, a) for a_batch, y_batch in copied for y, a in zip(y_batch.numpy(), a_batch.numpy(), strict=True)]
            assert sorted(y for y, _ in seen) == list(range(50))
            assert all((row == x[y]).all() for y, row in seen)


def test_labels_of_whole_epochs_can_be_kept():
    with make_loader(batch_size=4) as loader:
        all_y = [y for _ in range(2) for _, y in bs.to_tensorflow(loader)]
    assert sorted(np.concatenate(all_y).tolist()) == sorted([*range(50)] * 2)


def test_a_tf_data_script_maps_takes_prefetches_and_batches_anew():
    with make_loader() as loader:
        data = bs.to_tensorflow(loader)
        assert [len(y) for _, y in data.map(lambda x, y: (x * 2, y)).take(3).prefetch(1)] == [8, 8, 8]
        assert [len(y) for _, y in data.unbatch().batch(20)] == [20, 20, 10]
