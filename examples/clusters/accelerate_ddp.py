"""Hugging Face Accelerate: torchrun --standalone --nproc-per-node 2 examples/clusters/accelerate_ddp.py (or accelerate launch)"""

import numpy as np
import torch
from accelerate import Accelerator

import bitesize as bs

ROWS, EPOCHS, BATCH = 1000, 3, 64


def main(accelerator):
    """Train, and print what came of it."""
    x = np.random.default_rng(0).random((ROWS, 16), np.float32)
    loader = bs.Loader(bs.open(x, x.mean(axis=1)), batch_size=BATCH, memory="32 MiB", shard="auto", last="pad")
    batches = bs.to_torch(loader, accelerator.device)
    torch.manual_seed(0)
    model = torch.nn.Linear(16, 1)
    # Prepare the model and the optimizer, but not the batches: they are this rank's already, and a prepared loader would
    # give each rank only a part of them.
    model, optimizer = accelerator.prepare(model, torch.optim.Adam(model.parameters(), 0.01))
    for epoch in range(EPOCHS):
        counts, total = torch.zeros(ROWS, device=accelerator.device), torch.zeros(1, device=accelerator.device)
        for batch in batches:
            optimizer.zero_grad()
            errors, mask = (model(batch["x"])[:, 0] - batch["y"]).square(), batch["mask"]
            # The mean over this rank's rows; batch.weight turns the mean over ranks, which DDP takes, into a mean over all rows.
            accelerator.backward(batch.weight * (errors * mask).sum() / mask.sum().clamp(min=1))
            optimizer.step()
            counts[batch.rows[batch.mask]] += 1
            total += (errors * mask).sum().detach()
        counts, total = (accelerator.reduce(value, reduction="sum") for value in (counts, total))
        assert (counts == 1).all()
        loss = float(total) / ROWS
        accelerator.print(
            f"epoch {epoch} on {accelerator.num_processes} ranks: {ROWS} rows, each on one rank, loss {loss:.6f}"
        )


if __name__ == "__main__":
    # Without cpu=True, Accelerate connects no ranks on a machine without a GPU: each would train alone, on its part of the rows.
    accelerator = Accelerator(cpu=not torch.cuda.is_available())
    main(accelerator)
    accelerator.free_memory()  # ends the model before its process group; the other way round, PyTorch may abort or hang here (pytorch#56297)
    accelerator.wait_for_everyone()
    accelerator.end_training()
