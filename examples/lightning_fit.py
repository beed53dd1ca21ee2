"""PyTorch Lightning's Trainer: python examples/lightning_fit.py bitesize-demo/photos"""

import sys

import lightning
import torch
from torch import nn
from torch_loop import AUGMENT, PLAIN, make_model

import bitesize as bs


class Module(lightning.LightningModule):
    """A small network, and how it learns."""

    def __init__(self, classes):
        super().__init__()
        self.model = make_model(classes)

    def training_step(self, batch, _):
        """Give the loss of a batch."""
        return nn.functional.cross_entropy(self.model(batch["x"]), batch["y"])

    def validation_step(self, batch, _):
        """Note what is right."""
        self.log("accuracy", (self.model(batch["x"]).argmax(1) == batch["y"]).float().mean(), batch_size=len(batch["y"]))

    def configure_optimizers(self):
        """Choose Adam."""
        return torch.optim.Adam(self.parameters(), 3e-3)


def main(folder):
    """Train, and print what came of it."""
    lightning.seed_everything(0)
    train, val = bs.open(folder).split(0.85, seed=0)
    batches = bs.to_torch(bs.Loader(train, batch_size=32, memory="128 MiB", transforms=AUGMENT))
    val_batches = bs.to_torch(bs.Loader(val, batch_size=32, memory="128 MiB", transforms=PLAIN, shuffle=False))
    trainer = lightning.Trainer(
        max_epochs=4, accelerator="auto", logger=False, enable_checkpointing=False, enable_progress_bar=False
    )
    trainer.fit(Module(len(train.classes)), batches, val_batches)
    print(f"validation accuracy {float(trainer.callback_metrics['accuracy']):.3f}")


if __name__ == "__main__":
    main(sys.argv[1])
