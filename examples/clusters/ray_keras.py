"""Ray Train with Keras on JAX: python examples/clusters/ray_keras.py FOLDER (new, and seen by all machines of the cluster)"""

import os
import socket
import sys
import tempfile
from pathlib import Path

os.environ["KERAS_BACKEND"] = "jax"  # Ray's own trainer for Keras imports tensorflow.keras

import numpy as np
import ray
from ray import train
from ray.train.collective import broadcast_from_rank_zero
from ray.train.v2.jax import JaxTrainer

import bitesize as bs

ROWS, EPOCHS, BATCH = 1000, 3, 50


def train_loop(config):
    """Train in one of the workers."""
    import keras

    context = train.get_context()
    with socket.socket() as free:
        free.bind(("", 0))
        address = f"{ray.util.get_node_ip_address()}:{free.getsockname()[1]}"
    address = broadcast_from_rank_zero(address)  # where worker 0 listens
    keras.distribution.initialize(address, context.get_world_size(), context.get_world_rank())
    # Keras would cut the loader's batches again: they are this worker's part already.
    keras.distribution.set_distribution(keras.distribution.DataParallel(auto_shard_dataset=False))
    keras.utils.set_random_seed(0)
    source = bs.zip(bs.open(Path(config["folder"], "x.npy"), Path(config["folder"], "y.npy")), row=bs.open(np.arange(ROWS)))
    loader = bs.Loader(source, batch_size=BATCH, memory="32 MiB", shard="auto")

    class Counts(keras.layers.Layer):
        """Count how often each row was trained, by all workers."""

        def build(self, _):
            self.counts = self.add_weight(shape=(ROWS,), initializer="zeros", trainable=False)

        def call(self, x, row):
            self.counts.assign_add(keras.ops.sum(keras.ops.one_hot(row, ROWS), axis=0))
            return x

    x, row = keras.Input((16,)), keras.Input((), dtype="int32")
    counts = Counts()
    model = keras.Model([x, row], keras.layers.Dense(1)(counts(x, row)))
    model.compile(keras.optimizers.Adam(0.01), "mse")

    class Report(keras.callbacks.Callback):
        """Report each epoch to Ray, with a checkpoint from worker 0."""

        def on_epoch_end(self, epoch, logs=None):
            with tempfile.TemporaryDirectory() as saved:
                self.model.save(Path(saved, "model.keras"))  # by all workers: weights may be spread over them
                checkpoint = train.Checkpoint.from_directory(saved) if context.get_world_rank() == 0 else None
                train.report({"epochs": epoch + 1, "workers": context.get_world_size(), **logs}, checkpoint=checkpoint)

    model.fit(bs.to_keras(loader, inputs=["x", "row"]), epochs=EPOCHS, callbacks=[Report()], verbose=0)
    assert (keras.ops.convert_to_numpy(counts.counts) == EPOCHS).all()


def main(folder):
    """Train on two workers, and print what came of it."""
    folder = Path(folder).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    x = np.random.default_rng(0).random((ROWS, 16), np.float32)
    np.save(folder / "x.npy", x), np.save(folder / "y.npy", x.mean(axis=1))
    ray.init(log_to_driver=False)
    trainer = JaxTrainer(
        train_loop,
        train_loop_config={"folder": str(folder)},
        scaling_config=train.ScalingConfig(num_workers=2, resources_per_worker={"CPU": 1}),
        run_config=train.RunConfig(name="run", storage_path=str(folder)),
    )
    done = trainer.fit().metrics
    print(f"{done['workers']} workers: {ROWS} rows once in each of {done['epochs']} epochs, loss {done['loss']:.6f}")


if __name__ == "__main__":
    main(sys.argv[1])
