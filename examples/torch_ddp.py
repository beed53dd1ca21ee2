"""PyTorch on several processes: torchrun --standalone --nproc_per_node=2 examples/torch_ddp.py bitesize-demo/photos"""

import gc
import sys

import torch
import torch.distributed as dist
from torch import nn
from torch_loop import AUGMENT, PLAIN, make_model

import bitesize as bs


def main(folder):
    """Train, and print what came of it."""
    torch.manual_seed(0)
    train, val = bs.open(folder).split(0.85, seed=0)
    # Every batch of 32 is cut among the ranks: no sampler, and the same order whatever their number.
    settings = {"batch_size": 32, "memory": "64 MiB", "shard": "auto"}
    batches = bs.to_torch(bs.Loader(train, transforms=AUGMENT, **settings))
    val_batches = bs.to_torch(bs.Loader(val, transforms=PLAIN, shuffle=False, **settings))  # padded, with a mask
    model = nn.parallel.DistributedDataParallel(make_model(len(train.classes)))
    optimizer = torch.optim.Adam(model.parameters(), 3e-3)
    for epoch in range(4):
        model.train()
        for batch in batches:
            optimizer.zero_grad()
            # batch.weight makes the mean over ranks, which this takes of gradients, a mean over rows.
            (batch.weight * nn.functional.cross_entropy(model(batch["x"]), batch["y"])).backward()
            optimizer.step()
        model.eval()
        with torch.no_grad():
            counts = torch.zeros(2)
            for batch in val_batches:
                right = model.module(batch["x"]).argmax(1) == batch["y"]
                counts += torch.tensor([(right & batch["mask"]).sum(), batch["mask"].sum()])
        dist.all_reduce(counts)
        if dist.get_rank() == 0:
            print(f"epoch {epoch}: validation accuracy {counts[0] / counts[1]:.3f} of {int(counts[1])} rows")


if __name__ == "__main__":
    dist.init_process_group("gloo")
    main(sys.argv[1])
    gc.collect()  # ends the model before its process group; the other way round, PyTorch may abort or hang here (pytorch#56297)
    dist.barrier()
    dist.destroy_process_group()
