"""What Keras on TensorFlow makes of a dataset."""

import subprocess
import sys

import pytest

pytest.importorskip("keras")
pytest.importorskip("tensorflow")

# Where Keras's pipeline is tuned, the end of each epoch waits for the thread that tunes it, up to as long as the epoch took.
PIPELINES = """
import os
os.environ["KERAS_BACKEND"] = "tensorflow"
import sys, keras, numpy as np, tensorflow as tf, bitesize as bs

seen = set()

class Look(keras.callbacks.Callback):
    def look(self):
        frame = sys._getframe(2)
        while "epoch_iterator" not in frame.f_locals:
            frame = frame.f_back
        options = frame.f_locals["epoch_iterator"]._distributed_dataset.options()
        seen.add((frame.f_code.co_name, options.autotune.enabled, options.threading.private_threadpool_size))

    def on_train_batch_begin(self, batch, logs=None): self.look()
    def on_test_batch_begin(self, batch, logs=None): self.look()
    def on_predict_batch_begin(self, batch, logs=None): self.look()

model = keras.Sequential([keras.layers.Dense(1)])
model.compile("sgd", "mse")
with bs.Loader(bs.open(np.ones((12, 3), "f4"), np.ones(12, "f4")), batch_size=4, memory="16 MiB", shuffle=False) as loader:
    data = bs.to_keras(loader)
    model.fit(data, epochs=2, verbose=0, callbacks=[Look()])
    model.evaluate(data, verbose=0, callbacks=[Look()])
    model.predict(data, verbose=0, callbacks=[Look()])
assert seen == {(name, False, 1) for name in ("fit", "evaluate", "predict")}, seen
"""


@pytest.mark.framework
def test_the_pipeline_that_keras_makes_is_not_tuned():
    done = subprocess.run([sys.executable, "-c", PIPELINES], capture_output=True, text=True, check=False, timeout=280)
    assert done.returncode == 0, done.stderr[-3000:]
