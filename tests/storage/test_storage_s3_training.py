"""Training from a bucket gives the same weights as from the disk, bit for bit, also when it goes on from the other place."""

import importlib.util
import signal
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

import bitesize as bs
from tests.storage.in_bucket import InBucket

pytestmark = pytest.mark.remote
ROWS = 40


@pytest.fixture
def place(tmp_path, s3_server, bucket):
    here = InBucket(tmp_path / "data", s3_server, bucket)
    for i in range(ROWS):
        path = here.folder / "ab"[i % 2] / f"{i}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(np.random.default_rng(i).integers(0, 256, (20 + i % 3, 18, 3), np.uint8)).save(path)
    here.put()
    yield here
    here.close()


# --- a plain loop ----------------------------------------------------------------------------------------------------------


def train(root, epochs=3, stop=None, begin=None, **settings):
    """Train softmax regression in NumPy; return weights, and the state of the loader after ``stop`` batches of the last epoch."""
    steps = [bs.RandomResizedCrop(8), bs.Flip(), bs.Normalize("imagenet")]
    weights, state = (np.zeros((8 * 8 * 3, 2)), None) if begin is None else begin
    with bs.Loader(bs.open(root), batch_size=8, transforms=steps, memory="128 MiB", seed=5, threads=3, **settings) as loader:
        if state is not None:
            loader.load_state_dict(state)
        for epoch in range(loader.epoch, epochs):
            for number, batch in enumerate(loader):
                x = batch["x"].reshape(len(batch["x"]), -1).astype(np.float64)
                scores = np.exp(x @ weights - (x @ weights).max(axis=1, keepdims=True))
                wrong = scores / scores.sum(axis=1, keepdims=True) - np.eye(2)[batch["y"]]
                weights = weights - 0.01 * x.T @ wrong
                if epoch == epochs - 1 and number + 1 == stop:
                    return weights, loader.state_dict()
    return weights, None


@pytest.mark.parametrize("cache", [False, True])
def test_a_plain_loop_goes_on_at_the_other_place(place, tmp_path, cache):
    settings = {"cache": bs.Cache(tmp_path / "cache", "64 MiB")} if cache else {}
    expected = train(place.folder)[0]
    assert np.array_equal(train(place.root, **settings)[0], expected)
    for first, second in ((place.folder, place.root), (place.root, place.folder)):
        begun = train(first, epochs=2, stop=3, **settings)
        assert begun[1] is not None
        assert np.array_equal(train(second, begin=begun, **settings)[0], expected)


# --- Keras -------------------------------------------------------------------------------------------------------------------

PROGRAM = """
import sys
import keras
import numpy as np
import bitesize as bs
root, folder, weights = sys.argv[1:4]
options = {options!r} if "://" in root else None
keras.utils.set_random_seed(1)
model = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Flatten(), keras.layers.Dense(4, "relu"), keras.layers.Dense(2)])
model.compile(optimizer="adam", loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True))
steps = [bs.RandomResizedCrop(8), bs.Flip(), bs.Normalize("imagenet")]
source = bs.open(root, storage_options=options)

class Slow(keras.callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        print("batch", batch, flush=True)
        if len(sys.argv) > 4:
            __import__("time").sleep(0.15)

with bs.Loader(source, batch_size=4, transforms=steps, memory="128 MiB", seed=5, threads=2) as loader:
    checkpoint = bs.keras.Checkpoint(folder, every_batches=3)
    bs.keras.fit(model, loader, epochs=3, checkpoint=checkpoint, verbose=0, callbacks=[Slow()])
np.savez(weights, *model.get_weights())
"""


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.skipif(not all(map(importlib.util.find_spec, ("keras", "jax"))), reason="Keras and JAX are not installed")
def test_training_with_keras_that_is_killed_goes_on_at_the_other_place(place, tmp_path):
    program = PROGRAM.format(options=place.options)

    def start(root, folder, weights, *more):
        arguments = [sys.executable, "-c", program, str(root), str(folder), str(weights), *more]
        return subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def weights(root, folder):
        process = start(root, tmp_path / folder, tmp_path / f"{folder}.npz")
        said = process.communicate(timeout=120)
        assert process.returncode == 0, said[1]
        with np.load(tmp_path / f"{folder}.npz") as saved:
            return [saved[name] for name in saved.files]

    expected = weights(place.folder, "local")
    for one, other in zip(weights(place.root, "remote"), expected, strict=True):
        assert one.tobytes() == other.tobytes()
    for first, second, folder in ((place.folder, place.root, "there"), (place.root, place.folder, "back")):
        process = start(first, tmp_path / folder, tmp_path / "unused.npz", "slow")
        for _ in range(15):  # batches: in the second epoch of ten
            assert process.stdout.readline().startswith("batch"), process.communicate()[1]
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert list((tmp_path / folder).glob("*epoch[12]*.npz"))
        for one, other in zip(weights(second, folder), expected, strict=True):
            assert one.tobytes() == other.tobytes()


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.skipif(not all(map(importlib.util.find_spec, ("keras", "jax"))), reason="Keras and JAX are not installed")
def test_the_command_trains_from_a_bucket_as_from_the_disk(place, tmp_path):
    from tests.cli.running import run

    arguments = ["--model", "mlp", "--image-size", 8, "--epochs", 2, "--memory", "128MiB", "--batch-size", 8, "--seed", 3]
    for root, name in ((place.folder, "local"), (place.root, "remote")):
        run("train", root, *arguments, "--out", tmp_path / name)
    models = [sorted((tmp_path / name).glob("model*"))[0] for name in ("local", "remote")]
    weights = [bs_weights(path) for path in models]
    for one, other in zip(*weights, strict=True):
        assert one.tobytes() == other.tobytes()


def bs_weights(path):
    import keras

    return keras.saving.load_model(path, compile=False).get_weights()
