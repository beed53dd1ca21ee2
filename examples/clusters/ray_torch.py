"""Ray Train with PyTorch: python examples/clusters/ray_torch.py FOLDER (new, and seen by all machines of the cluster)"""

import os
import sys
import tempfile
from pathlib import Path

import numpy as np
import ray
import torch
from ray import train
from ray.train.torch import TorchTrainer, prepare_model

import bitesize as bs

ROWS, EPOCHS, BATCH = 1000, 3, 64


def train_loop(config):
    """Train in one of the workers, from the last checkpoint on."""
    folder, rank = Path(config["folder"]), train.get_context().get_world_rank()
    # The loader takes rank and number of ranks from Ray. No prepare_data_loader: it would add a sampler that cuts the rows again.
    source = bs.open(folder / "x.npy", folder / "y.npy")
    loader = bs.Loader(source, batch_size=BATCH, memory="32 MiB", shard="auto", last="pad")  # every row, with a mask
    torch.manual_seed(0)
    net = torch.nn.Linear(16, 1)
    model = prepare_model(net)  # averages gradients over ranks
    optimizer = torch.optim.Adam(net.parameters(), 0.01)
    steps, counts = 0, torch.zeros(EPOCHS, ROWS)  # how often each row was trained
    if checkpoint := train.get_checkpoint():
        with checkpoint.as_directory() as saved:
            state = torch.load(Path(saved) / "state.pt", weights_only=True)
        net.load_state_dict(state["net"]), optimizer.load_state_dict(state["optimizer"])
        loader.load_state_dict(state["loader"])  # the same for any number of ranks
        steps, counts = state["steps"], state["counts"]
    new = torch.zeros_like(counts)
    for epoch in range(loader.epoch, EPOCHS):
        loader.set_epoch(epoch)  # after a resume, the rest of this epoch
        for batch in bs.to_torch(loader):
            optimizer.zero_grad()
            errors, mask = (model(batch["x"])[:, 0] - batch["y"]).square(), batch["mask"]
            # The mean over this rank's rows; batch.weight turns the mean over ranks, which DDP takes, into a mean over all rows.
            loss = batch.weight * (errors * mask).sum() / mask.sum().clamp(min=1)
            loss.backward()
            optimizer.step()
            new[epoch, batch.rows[batch.mask]] += 1
            steps += 1
            if steps == config["killed_at"] and rank == 1 and not (folder / "killed").exists():
                (folder / "killed").touch()
                os._exit(1)  # as a machine that fails
            if steps % 10 == 0 or steps == config["stop_at"]:
                torch.distributed.all_reduce(new)
                counts, new = counts + new, torch.zeros_like(new)
                with tempfile.TemporaryDirectory() as saved:
                    # All ranks report, and rank 0 has the checkpoint: files of equal names would replace each other.
                    state = {"net": net.state_dict(), "optimizer": optimizer.state_dict(), "loader": loader.state_dict()}
                    torch.save({**state, "steps": steps, "counts": counts}, Path(saved) / "state.pt")
                    checkpoint = train.Checkpoint.from_directory(saved) if rank == 0 else None
                    train.report({"loss": float(loss.detach()), "steps": steps}, checkpoint=checkpoint)
            if steps == config["stop_at"]:
                return


def fit(folder, workers, **config):
    """Train with a number of workers; a run of the same name and storage goes on at its last checkpoint."""
    trainer = TorchTrainer(
        train_loop,
        train_loop_config={"folder": str(folder), "killed_at": None, **config},
        scaling_config=train.ScalingConfig(num_workers=workers, resources_per_worker={"CPU": 0.5}),
        run_config=train.RunConfig(name="run", storage_path=str(folder), failure_config=train.FailureConfig(max_failures=1)),
    )
    return trainer.fit()


def main(folder):
    """Train on two workers, one of which is killed, then on three, and print what came of it."""
    folder = Path(folder).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    x = np.random.default_rng(0).random((ROWS, 16), np.float32)
    np.save(folder / "x.npy", x), np.save(folder / "y.npy", x.mean(axis=1))
    ray.init(log_to_driver=False)
    fit(folder, 2, killed_at=14, stop_at=24)  # in the second epoch: an epoch has 16 batches
    result = fit(folder, 3, stop_at=48)
    with result.checkpoint.as_directory() as saved:
        counts = torch.load(Path(saved) / "state.pt", weights_only=True)["counts"]
    assert (counts == 1).all()
    print(
        f"2 workers, one of them killed at step 14, then 3 from step 24: {ROWS} rows once in each of {EPOCHS} epochs, "
        f"loss {result.metrics['loss']:.6f}"
    )


if __name__ == "__main__":
    main(sys.argv[1])
