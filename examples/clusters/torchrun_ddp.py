"""torchrun: torchrun --standalone --nproc-per-node 2 examples/clusters/torchrun_ddp.py FOLDER (new, and seen by all machines)"""

import gc
import os
import sys
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist

import bitesize as bs

ROWS, EPOCHS, BATCH = 1000, 3, 64


def make_data(folder):
    """Let one process write the data, while the others wait."""
    if dist.get_rank() == 0:
        folder.mkdir(parents=True, exist_ok=True)
        x = np.random.default_rng(0).random((ROWS, 16), np.float32)
        np.save(folder / "x.npy", x), np.save(folder / "y.npy", x.mean(axis=1))
    dist.barrier()
    return bs.open(folder / "x.npy", folder / "y.npy")


def main(folder):
    """Train, save after each epoch, go on where a run before has ended, and print what came of it."""
    rank, ranks = dist.get_rank(), dist.get_world_size()
    device = torch.device("cuda", int(os.environ["LOCAL_RANK"])) if torch.cuda.is_available() else torch.device("cpu")
    # "auto" takes rank and number of ranks from torch.distributed: no DistributedSampler. Each batch of 64 is cut among the ranks.
    loader = bs.Loader(make_data(folder), batch_size=BATCH, memory="32 MiB", shard="auto", last="pad")
    batches = bs.to_torch(loader, device)
    torch.manual_seed(0)
    net = torch.nn.Linear(16, 1).to(device)
    model = torch.nn.parallel.DistributedDataParallel(net)
    optimizer = torch.optim.Adam(net.parameters(), 0.01)
    if (folder / "state.pt").exists():  # torchrun --max-restarts starts all processes again after one has failed
        state = torch.load(folder / "state.pt", map_location=device, weights_only=True)
        net.load_state_dict(state["net"]), optimizer.load_state_dict(state["optimizer"])
        loader.load_state_dict(state["loader"])  # the same on all ranks, for any number of ranks
    for epoch in range(loader.epoch, EPOCHS):
        counts, total = torch.zeros(ROWS, device=device), torch.zeros(1, device=device)
        for batch in batches:
            optimizer.zero_grad()
            errors, mask = (model(batch["x"])[:, 0] - batch["y"]).square(), batch["mask"]
            # The mean over this rank's rows; batch.weight turns the mean over ranks, which DDP takes, into a mean over all rows.
            (batch.weight * (errors * mask).sum() / mask.sum().clamp(min=1)).backward()
            optimizer.step()
            counts[batch.rows[batch.mask]] += 1
            total += (errors * mask).sum().detach()
        dist.all_reduce(counts), dist.all_reduce(total)
        assert (counts == 1).all()
        if rank == 0:
            state = {"net": net.state_dict(), "optimizer": optimizer.state_dict(), "loader": loader.state_dict()}
            torch.save(state, folder / "new.pt")
            os.replace(folder / "new.pt", folder / "state.pt")  # whoever is killed, one of them is complete
            print(f"epoch {epoch} on {ranks} ranks: {ROWS} rows, each on one rank, loss {float(total) / ROWS:.6f}")


if __name__ == "__main__":
    dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    main(Path(sys.argv[1]))
    gc.collect()  # ends the model before its process group; the other way round, PyTorch may abort or hang here (pytorch#56297)
    dist.barrier()
    dist.destroy_process_group()
