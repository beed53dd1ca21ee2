"""Train a Keras model with `bs.keras.fit` as one of several ranks; print the history as JSON.

Arguments: backend, rank, number of ranks, port, settings as JSON (batch_size, last, class_weight, auto_shard, skip_distribution).
"""

import json
import os
import sys

backend, rank, world, port, settings = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4], json.loads(sys.argv[5])
os.environ["KERAS_BACKEND"] = backend
if world > 1 and backend == "jax":
    import jax

    jax.distributed.initialize(f"127.0.0.1:{port}", world, rank)
elif world > 1:
    import torch.distributed as dist

    dist.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=world)

import keras  # noqa: E402 - its backend is chosen above
import numpy as np  # noqa: E402

import bitesize as bs  # noqa: E402


class ShardedByKeras:
    """Stand-in for the data adapter of later Keras versions: each process takes every n-th batch of a `PyDataset`."""

    def __init__(self, dataset):
        self.dataset = dataset
        divided = keras.distribution.distribution().auto_shard_dataset
        self.numbers = range(rank, len(dataset), world) if divided else range(len(dataset))

    def __iter__(self):
        self.dataset.on_epoch_begin()
        for number in self.numbers:
            yield self.dataset[number]
        self.dataset.on_epoch_end()


def main() -> None:
    if world > 1 and backend == "jax" and not settings.get("skip_distribution"):
        auto = settings.get("auto_shard", False)
        keras.distribution.set_distribution(keras.distribution.DataParallel(auto_shard_dataset=auto))
    keras.utils.set_random_seed(settings.get("seeds", [0] * world)[rank])
    generator = np.random.default_rng(0)
    x = generator.normal(size=(70, 5)).astype(np.float32)
    y = (x[:, 0] > 0).astype(np.int64)
    model = keras.Sequential([keras.Input((5,)), keras.layers.Dense(8, activation="relu"), keras.layers.Dense(2)])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    weighted = keras.metrics.SparseCategoricalCrossentropy("weighted_loss", from_logits=True)
    model.compile("adam", loss, metrics=["accuracy"], weighted_metrics=[weighted])
    last = "short" if world == 1 else settings.get("last", "pad")
    shard = bs.Shard() if settings.get("all_rows") else bs.Shard(rank, world)
    common = {"batch_size": settings.get("batch_size", 16), "memory": "64 MiB", "shard": shard, "dtype": "float32"}
    data, val = bs.open(x, y), bs.open(x[:33], y[:33])
    if settings.get("all_rows"):
        last = "short"
    with bs.Loader(data, last=last, **common) as loader, bs.Loader(val, last=last, shuffle=False, **common) as val_loader:
        if settings.get("stand_in"):
            rows = sum(len(batch[1]) for batch in ShardedByKeras(bs.to_keras(loader)))
            print(json.dumps({"rows": rows}))
            return
        weights = {0: 1.0, 1: 2.5} if settings.get("class_weight") else None
        history = bs.keras.fit(model, loader, epochs=3, verbose=0, validation_data=val_loader, class_weight=weights)
    print(json.dumps({name: [float(value) for value in values] for name, values in history.history.items()}))


try:
    main()
except bs.BitesizeError as error:
    print(json.dumps({"error": str(error)}))
sys.stdout.flush()
if world > 1 and backend == "jax":
    jax.distributed.shutdown()  # waits for the others
elif world > 1:
    dist.barrier()
os._exit(0)
