"""PyTorch Lightning on two processes: python examples/clusters/lightning_ddp.py FOLDER (new, and seen by all machines)"""

import sys
from pathlib import Path

import lightning
import numpy as np
import torch
from lightning.pytorch.callbacks import ModelCheckpoint

import bitesize as bs

ROWS, EPOCHS, BATCH, STOP = 1000, 3, 64, 24  # an epoch has 16 batches, so 24 are one and a half


class Module(lightning.LightningModule):
    """A linear model, which counts how often each row was trained."""

    def __init__(self):
        super().__init__()
        self.net = torch.nn.Linear(16, 1)
        self.counts = torch.zeros(EPOCHS, ROWS)

    def train_dataloader(self):
        """Make the loader here, where torch.distributed is initialized, so that "auto" finds rank and number of ranks."""
        x = np.random.default_rng(0).random((ROWS, 16), np.float32)
        source = bs.zip(bs.open(x, x.mean(axis=1)), row=bs.open(np.arange(ROWS)))
        return bs.to_torch(bs.Loader(source, batch_size=BATCH, memory="32 MiB", shard="auto", last="pad"))

    def training_step(self, batch, _):
        """Return the loss of a batch."""
        errors, mask = (self.net(batch["x"])[:, 0] - batch["y"]).square(), batch["mask"]
        self.counts[self.current_epoch, batch["row"][mask]] += 1
        # Lightning makes new batches without batch.weight. DDP takes the mean over ranks, so divide by a rank's mean number of rows.
        return (errors * mask).sum() / self.trainer.strategy.reduce(mask.sum().float(), reduce_op="mean")

    def configure_optimizers(self):
        """Choose Adam. Do not ask for trainer.estimated_stepping_batches here: Lightning then drops the loader's state (#20550)."""
        return torch.optim.Adam(self.parameters(), 0.01)


def fit(folder, steps, checkpoint=None):
    """Train on two processes until a step, from a checkpoint on if there is one; return how often each row was trained."""
    module = Module()
    trainer = lightning.Trainer(
        max_epochs=EPOCHS,
        max_steps=steps,
        accelerator="cpu",
        devices=2,
        strategy="ddp",
        use_distributed_sampler=False,  # the loader cuts batches among ranks itself
        callbacks=ModelCheckpoint(folder, filename="{step}", every_n_train_steps=STOP, save_top_k=-1),
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(module, ckpt_path=checkpoint)
    return trainer.strategy.reduce(module.counts, reduce_op="sum")


def main(folder):
    """Train until the middle of an epoch, go on from the checkpoint, and print what came of it."""
    lightning.seed_everything(0, verbose=False)
    first = fit(folder, STOP)
    rest = fit(folder, -1, folder / f"step={STOP}.ckpt")  # which holds the loader's state
    assert (first + rest == 1).all()
    if torch.distributed.get_rank() == 0:
        before, after = int(first.sum()), int(rest.sum())
        print(f"2 ranks: {before} rows until the checkpoint, {after} after it; each of {ROWS} once in each epoch")


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
