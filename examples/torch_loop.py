"""A PyTorch loop of one's own: python examples/torch_loop.py bitesize-demo/photos"""

import sys

import torch
from torch import nn

import bitesize as bs

AUGMENT = [bs.RandomResizedCrop(64, scale=(0.6, 1.0)), bs.Flip(0.5, 0.5), bs.Normalize("imagenet")]
PLAIN = [bs.Resize(64), bs.Normalize("imagenet")]


def make_model(classes):
    """Build a small network: 64 x 64 pixels to one number a class."""
    layers = []
    for inputs, outputs in ((3, 24), (24, 48), (48, 96)):
        layers += [nn.Conv2d(inputs, outputs, 3, 2, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveMaxPool2d(1), nn.Flatten(), nn.Linear(96, classes))


@torch.no_grad()
def accuracy(model, batches):
    """Tell the share of rows that is right."""
    model.eval()
    return sum(int((model(batch["x"]).argmax(1) == batch["y"]).sum()) for batch in batches) / len(batches.loader.source)


def main(folder):
    """Train, and print what came of it."""
    torch.manual_seed(0)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    train, val = bs.open(folder).split(0.85, seed=0)
    loader = bs.Loader(train, batch_size=32, memory="128 MiB", transforms=AUGMENT)
    val_loader = bs.Loader(val, batch_size=32, memory="128 MiB", transforms=PLAIN, shuffle=False)
    batches, val_batches = bs.to_torch(loader, device), bs.to_torch(val_loader, device)
    model = make_model(len(train.classes)).to(device)
    optimizer = torch.optim.Adam(model.parameters(), 3e-3)
    for epoch in range(4):
        model.train()
        for batch in batches:  # {"x": (32, 3, 64, 64) float32, "y": (32,) int64}: views on the loader's memory
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(batch["x"]), batch["y"]).backward()
            optimizer.step()
        print(f"epoch {epoch}: validation accuracy {accuracy(model, val_batches):.3f}")


if __name__ == "__main__":
    main(sys.argv[1])
