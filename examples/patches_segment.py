"""Patches of a slide larger than its budget, a small segmentation network, and the stitched mask: python examples/patches_segment.py"""

import tempfile
from pathlib import Path

import numpy as np
import tifffile
import torch
from torch import nn

import bitesize as bs


def make_slide(folder):
    """Write a slide with dark cells as a tiled TIFF, and their mask."""
    random = np.random.default_rng(0)
    (y, x), cells = np.mgrid[:1024, :1024], random.integers((0, 0, 40), (1024, 1024, 120), (20, 3))
    mask = np.any([(y - cy) ** 2 + (x - cx) ** 2 < radius**2 for cy, cx, radius in cells], axis=0).astype(np.uint8)
    slide = 200 - 80 * mask[..., None] + random.integers(-40, 40, (1024, 1024, 3))
    tifffile.imwrite(folder / "slide.tif", slide.astype(np.uint8), tile=(256, 256), compression="jpeg")
    tifffile.imwrite(folder / "mask.tif", mask, tile=(256, 256), compression="zlib")
    return mask


def main(folder):
    """Train, stitch the prediction, and print how many pixels are right."""
    torch.manual_seed(0)
    slide, mask = folder / "slide.tif", make_slide(folder)
    model = nn.Sequential(nn.Conv2d(3, 8, 5, padding=2), nn.ReLU(), nn.Conv2d(8, 2, 5, padding=2))
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    patches = bs.patches(slide, 128, stride=64, masks=folder / "mask.tif", keep=lambda x, y: bool(y.any()))
    augment = [bs.Flip(0.5, 0.5), bs.Normalize([0.7] * 3, [0.2] * 3)]
    batches = bs.to_torch(bs.Loader(patches, batch_size=16, memory="64 MiB", transforms=augment), "cpu")
    for _ in range(3):
        for batch in batches:  # x: (16, 3, 128, 128) float32, y: (16, 128, 128) uint8
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(batch["x"]), batch["y"].long()).backward()
            optimizer.step()

    @torch.no_grad()
    def predict(x):
        return model(torch.from_numpy(np.ascontiguousarray(x)).float() / 51 - 3.5).softmax(1).numpy()

    bs.stitch(bs.patches(slide, 128, stride=112), predict, folder / "predicted.npy", layout="CHW", memory="96 MiB")
    print(f"accuracy of pixels {(np.load(folder / 'predicted.npy').argmax(-1) == mask).mean():.3f}")


if __name__ == "__main__":
    main(Path(tempfile.mkdtemp()))
