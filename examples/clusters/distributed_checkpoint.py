"""torch.distributed.checkpoint: torchrun --standalone --nproc-per-node 2 examples/clusters/distributed_checkpoint.py FOLDER

FOLDER is new, and seen by all machines. The first run stops within an epoch; repeat the command with another number of processes.
"""

import gc
import sys
from itertools import islice
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp
from torch.distributed.checkpoint.state_dict import get_state_dict, set_state_dict

import bitesize as bs

ROWS, EPOCHS, BATCH, STOP = 1000, 3, 64, 24  # an epoch has 16 batches, so 24 are one and a half


class State:
    """What a checkpoint holds, as torch.distributed.checkpoint asks for it."""

    def __init__(self, model, optimizer, loader):
        self.model, self.optimizer, self.loader = model, optimizer, loader
        self.counts = torch.zeros(EPOCHS, ROWS)  # how often each row was trained, by all ranks

    def state_dict(self):
        """Return the state. The loader's is a small dict, equal on all ranks: no rank has a part of its own."""
        model, optimizer = get_state_dict(self.model, self.optimizer)
        return {"model": model, "optimizer": optimizer, "loader": self.loader.state_dict(), "counts": self.counts}

    def load_state_dict(self, state):
        """Take up a state that any number of ranks has saved."""
        set_state_dict(self.model, self.optimizer, model_state_dict=state["model"], optim_state_dict=state["optimizer"])
        self.loader.load_state_dict(state["loader"])


def all_batches(loader):
    """Yield the batches of this rank in all epochs; after a resume, from the next one on."""
    for epoch in range(loader.epoch, EPOCHS):
        loader.set_epoch(epoch)
        yield from bs.to_torch(loader)


def main(folder):
    """Train until the middle of an epoch, or from there to the end, and print what came of it."""
    rank, ranks = dist.get_rank(), dist.get_world_size()
    x = np.random.default_rng(0).random((ROWS, 16), np.float32)
    loader = bs.Loader(bs.open(x, x.mean(axis=1)), batch_size=BATCH, memory="32 MiB", shard="auto", last="pad")
    torch.manual_seed(0)
    model = torch.nn.parallel.DistributedDataParallel(torch.nn.Linear(16, 1))
    state = State(model, torch.optim.Adam(model.parameters(), 0.01), loader)
    resumes = (folder / ".metadata").exists()
    if resumes:
        dcp.load({"app": state}, checkpoint_id=folder)
    new = torch.zeros_like(state.counts)
    for batch in islice(all_batches(loader), None if resumes else STOP):
        state.optimizer.zero_grad()
        errors, mask = (model(batch["x"])[:, 0] - batch["y"]).square(), batch["mask"]
        # The mean over this rank's rows; batch.weight turns the mean over ranks, which DDP takes, into a mean over all rows.
        (batch.weight * (errors * mask).sum() / mask.sum().clamp(min=1)).backward()
        state.optimizer.step()
        new[batch.epoch, batch.rows[batch.mask]] += 1
    dist.all_reduce(new)
    state.counts += new
    if not resumes:
        dcp.save({"app": state}, checkpoint_id=folder)
        if rank == 0:
            print(f"{ranks} ranks: {int(state.counts.sum())} rows in {STOP} batches, then a checkpoint")
    else:
        assert (state.counts == 1).all()
        if rank == 0:
            print(f"{ranks} ranks: the other {int(new.sum())} rows; each of {ROWS} once in each of {EPOCHS} epochs")


if __name__ == "__main__":
    dist.init_process_group("gloo")
    main(Path(sys.argv[1]))
    gc.collect()  # ends the model before its process group; the other way round, PyTorch may abort or hang here (pytorch#56297)
    dist.barrier()
    dist.destroy_process_group()
