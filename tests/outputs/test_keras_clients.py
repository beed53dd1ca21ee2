"""Programs written for Keras run on a loader: image classification, segmentation, several devices."""

import os
import subprocess
import sys
import textwrap

import numpy as np
import pytest
from PIL import Image

import bitesize as bs

pytest.importorskip("jax")
keras = pytest.importorskip("keras")


def run(program, devices):
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
        env={**os.environ, "KERAS_BACKEND": "jax", "XLA_FLAGS": f"--xla_force_host_platform_device_count={devices}"},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def test_a_last_batch_that_devices_cannot_share_is_refused_before_the_epoch():
    said = run(
        """
        import keras, numpy as np, bitesize as bs
        keras.distribution.set_distribution(keras.distribution.DataParallel(auto_shard_dataset=False))
        model = keras.Sequential([keras.Input((5,)), keras.layers.Dense(1)])
        model.compile("sgd", "mse")
        steps = []
        count = keras.callbacks.LambdaCallback(on_train_batch_end=lambda step, logs: steps.append(step))
        def fit(rows, **settings):
            data = bs.open(np.ones((rows, 5), np.float32), np.ones(rows, np.float32))
            with bs.Loader(data, memory="16 MiB", threads=1, **settings) as loader:
                try:
                    model.fit(bs.to_keras(loader), epochs=1, verbose=0, callbacks=[count])
                except bs.BadSetting as error:
                    print(len(steps), error)
                else:
                    print(len(steps), "steps")
        fit(37, batch_size=16)
        fit(38, batch_size=7)
        fit(37, batch_size=16, last="pad")
        fit(37, batch_size=16, last="drop")
        fit(38, batch_size=16)
        """,
        devices=2,
    ).splitlines()
    assert said[0].startswith(
        "0 keras.distribution.DataParallel spreads each batch over 2 devices, and the last batch of an epoch has 5"
    )
    assert 'last="drop" leaves them out' in said[0]
    assert said[1].startswith(
        "0 keras.distribution.DataParallel spreads each batch over 2 devices, and batch_size=7 does not divide"
    )
    assert "the last batch of an epoch has 5" in said[2]
    assert said[3:] == ["2 steps", "5 steps"]


@pytest.mark.slow
def test_images_are_classified_from_scratch_and_saved(tmp_path):
    random = np.random.default_rng(0)
    for i in range(60):
        folder = tmp_path / "PetImages" / ("Cat", "Dog")[i % 2]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(random.integers(0, 100, (40, 50, 3), np.uint8) + np.uint8(100 * (i % 2))).save(folder / f"{i}.jpg")
    keras.utils.set_random_seed(0)
    train, val = bs.open(tmp_path / "PetImages").split(0.8, seed=1337)
    settings = {"batch_size": 8, "memory": "64 MiB", "transforms": [bs.Resize((32, 32)), bs.Scale(1 / 255)], "threads": 1}
    layers = [
        keras.Input((32, 32, 3)),
        keras.layers.Conv2D(4, 3),
        keras.layers.GlobalAveragePooling2D(),
        keras.layers.Dense(1),
    ]
    model = keras.Sequential(layers)
    accuracy = keras.metrics.BinaryAccuracy(name="acc", threshold=0.0)
    model.compile(keras.optimizers.Adam(0.1), keras.losses.BinaryCrossentropy(from_logits=True), metrics=[accuracy])
    with bs.Loader(train, **settings) as train_loader, bs.Loader(val, shuffle=False, **settings) as val_loader:
        train_ds, val_ds = bs.to_keras(train_loader), bs.to_keras(val_loader)
        callbacks = [keras.callbacks.ModelCheckpoint(tmp_path / "save_at_{epoch}.keras")]
        history = model.fit(train_ds, epochs=6, callbacks=callbacks, validation_data=val_ds, verbose=0).history
        assert history["val_acc"][-1] == 1.0
        assert model.predict(val_ds, verbose=0).shape == (12, 1)
    assert len(list(tmp_path.glob("save_at_*.keras"))) == 6


def test_pets_are_segmented_by_masks_that_count_from_one(tmp_path):
    for name in ("images", "trimaps"):
        (tmp_path / name).mkdir()
    for i in range(24):
        mask = np.ones((40, 40), np.uint8)
        mask[5 + i : 12 + i] = 2
        Image.fromarray(np.repeat((mask * 80)[..., None], 3, axis=2)).save(tmp_path / "images" / f"cat_{i}.jpg", quality=95)
        Image.fromarray(mask).save(tmp_path / "trimaps" / f"cat_{i}.png")
    keras.utils.set_random_seed(0)
    data = bs.open(tmp_path / "images", labels=tmp_path / "trimaps")
    steps = [bs.Resize((32, 32)), bs.Scale(1 / 255), bs.Map(lambda mask: mask - 1, fields="y")]
    model = keras.Sequential([keras.Input((32, 32, 3)), keras.layers.Conv2D(2, 1)])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(0.3), loss, metrics=["accuracy"])
    with bs.Loader(data, batch_size=8, memory="64 MiB", transforms=steps, threads=1) as loader:
        assert model.fit(bs.to_keras(loader), epochs=15, verbose=0).history["accuracy"][-1] > 0.9
