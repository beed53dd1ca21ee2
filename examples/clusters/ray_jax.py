"""Ray Train with JAX: python examples/clusters/ray_jax.py FOLDER (new, and seen by all machines of the cluster)"""

import json
import socket
import sys
import tempfile
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import ray
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from ray import train
from ray.train.collective import broadcast_from_rank_zero
from ray.train.v2.jax import JaxTrainer

import bitesize as bs

ROWS, EPOCHS, BATCH = 1000, 3, 64


def join():
    """Connect the workers. JaxTrainer has done it on GPUs and TPUs, but does nothing on CPUs."""
    if not jax.distributed.is_initialized():
        context = train.get_context()
        with socket.socket() as free:
            free.bind(("", 0))
            address = f"{ray.util.get_node_ip_address()}:{free.getsockname()[1]}"
        address = broadcast_from_rank_zero(address)  # where worker 0 listens
        jax.distributed.initialize(address, context.get_world_size(), context.get_world_rank())


def loss(weights, batch):
    """Mean squared error over the rows of all workers: the arrays of a batch are global."""
    errors = (batch["x"] @ weights - batch["y"]) ** 2
    return (errors * batch["mask"]).sum() / batch["mask"].sum()


@jax.jit
def step(weights, batch):
    """Make one step of gradient descent; XLA adds what the workers exchange."""
    value, gradient = jax.value_and_grad(loss)(weights, batch)
    return weights - 0.1 * gradient, value


def train_loop(config):
    """Train in one of the workers."""
    join()
    rows = NamedSharding(Mesh(np.array(jax.devices()), ("rows",)), PartitionSpec("rows"))
    source = bs.zip(bs.open(Path(config["folder"], "x.npy"), Path(config["folder"], "y.npy")), row=bs.open(np.arange(ROWS)))
    # Each worker reads its part of each batch. last="pad": all batches have one shape, so that the step is compiled once.
    loader = bs.Loader(source, batch_size=BATCH, memory="32 MiB", shard="auto", last="pad")
    batches = bs.to_jax(loader, sharding=rows)
    weights = jax.device_put(jnp.zeros(16), NamedSharding(rows.mesh, PartitionSpec()))
    if checkpoint := train.get_checkpoint():  # after a failure, Ray calls this function again
        with checkpoint.as_directory() as saved:
            weights = jax.device_put(np.load(Path(saved, "weights.npy")), weights.sharding)
            batches.set_state(json.loads(Path(saved, "loader.json").read_text()))
    count = jax.jit(lambda counts, batch: counts.at[batch["row"]].add(batch["mask"]))
    for epoch in range(loader.epoch, EPOCHS):
        counts = jnp.zeros(ROWS, jnp.int32)
        for batch in batches:
            weights, value = step(weights, batch)
            counts = count(counts, batch)  # how often each row was trained, by all workers
        assert (np.asarray(counts) == 1).all()
        with tempfile.TemporaryDirectory() as saved:  # all workers report, and worker 0 has the checkpoint
            Path(saved, "loader.json").write_text(json.dumps(batches.get_state()))
            np.save(Path(saved, "weights.npy"), weights)
            checkpoint = train.Checkpoint.from_directory(saved) if jax.process_index() == 0 else None
            train.report({"epochs": epoch + 1, "loss": float(value), "workers": jax.process_count()}, checkpoint=checkpoint)
    jax.distributed.shutdown()


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
