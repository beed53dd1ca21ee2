"""Python programs get the task, the labels and the model of `bitesize train`."""

import numpy as np
import pytest

import bitesize as bs
from bitesize.errors import BadSetting

pytest.importorskip("keras")
RANDOM = np.random.default_rng(0)


def masks():
    x = RANDOM.integers(0, 60, (24, 16, 16, 3)).astype(np.uint8)
    y = np.zeros((24, 16, 16), np.uint8)
    for i in range(24):
        top, left = RANDOM.integers(0, 10, 2)
        y[i, top : top + 6, left : left + 6] = 1
    x[y == 1] += 150
    return bs.open(x, labels=y)


def fitted(train, val=None, *, steps=(), epochs=2, **settings):
    prepared = bs.keras.prepare_task(train, val, **settings)
    with bs.Loader(prepared.train, batch_size=8, memory="64 MiB", transforms=list(steps), dtype="float32", seed=0) as loader:
        model = bs.keras.build_model(loader, prepared.task, learning_rate=0.01)
        history = bs.keras.fit(model, loader, epochs=epochs, class_weight=prepared.class_weight, verbose=0)
    return prepared, model, history.history


def test_masks_get_a_unet_and_its_metrics():
    train, val = masks().split(0.75, seed=0)
    prepared, model, history = fitted(train, val, steps=[bs.Scale(1 / 255)], epochs=6)
    assert (prepared.task.name, model.name) == ("segment", "unet")
    assert prepared.said[0] == "task: segment, because the labels are masks (task= changes this)"
    assert history["mean_iou"][-1] > 0.8
    with bs.Loader(prepared.val, batch_size=6, memory="64 MiB", transforms=[bs.Scale(1 / 255)], shuffle=False) as loader:
        figures = model.evaluate(bs.to_keras(loader), verbose=0, return_dict=True)
    assert figures["mean_iou"] > 0.6


def test_outputs_for_numbers_are_standardized():
    x = RANDOM.random((200, 3)).astype(np.float32)
    price = 1e5 + 4e5 * x[:, 0]
    prepared, model, _ = fitted(bs.open(x, labels=price.astype(np.float64) + 0.25), epochs=30)
    assert (prepared.task.name, model.name) == ("regress", "mlp")
    found = model.predict(x, verbose=0) * np.float32(prepared.task.std) + np.float32(prepared.task.mean)
    assert np.abs(found[:, 0] - price).mean() < 0.3 * np.abs(price - price.mean()).mean()


def test_tags_and_class_weights():
    tags = (RANDOM.random((60, 3)) < [0.5, 0.1, 0.3]).astype(np.float32)
    source = bs.open(np.concatenate([tags, RANDOM.random((60, 3))], axis=1).astype(np.float32), labels=tags)
    prepared, _, history = fitted(source, class_weights=True)
    assert prepared.task.name == "multilabel"
    assert np.isfinite(history["loss"]).all()


def test_classes_are_matched_by_name():
    x = RANDOM.random((40, 4)).astype(np.float32)
    train = bs.open(x, labels=["cat", "dog"] * 20)
    val = bs.open(x[:6], labels=["dog"] * 6)
    prepared = bs.keras.prepare_task(train, val)
    assert prepared.task.names == ("cat", "dog")
    assert prepared.val.labels.tolist() == [1] * 6


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"task": "classify"}, "use task= regress"),
        ({"task": "tag"}, "task= must be auto, classify, multilabel, regress, segment"),
        ({"loss": "hinge"}, "loss= must be mse or huber for task= regress"),
        ({"ignore_class": 255}, "ignore_class= is for masks, but task= is regress"),
        ({"class_weights": True}, "class_weights= is for classes and tags, but task= is regress"),
    ],
)
def test_errors_name_the_settings_of_python(settings, message):
    source = bs.open(RANDOM.random((40, 3)), labels=np.linspace(0.5, 9.5, 40))
    with pytest.raises(BadSetting, match=message):
        bs.keras.prepare_task(source, **settings)
