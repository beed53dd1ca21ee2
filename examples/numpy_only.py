"""A model of one's own, in NumPy alone: logistic regression on spectra, batch by batch.

python examples/numpy_only.py bitesize-demo/photos
"""

import sys

import numpy as np

import bitesize as bs

SIZE = 64
WINDOW = np.hanning(SIZE)[:, None] * np.hanning(SIZE)
RADIUS = np.hypot(*np.mgrid[-SIZE // 2 : SIZE // 2, -SIZE // 2 : SIZE // 2]).astype(int)
RINGS = [np.flatnonzero(radius == RADIUS) for radius in range(4, 28)]


def spectrum(image):
    """Give the strongest waves of each length, whatever their direction: stripes have one, checks have two."""
    gray = image.mean(axis=2)
    power = np.abs(np.fft.fftshift(np.fft.fft2((gray - gray.mean()) * WINDOW))).ravel()
    return np.log1p([np.sort(power[ring])[-9::2] for ring in RINGS]).astype(np.float32).ravel() / 6 - 1


def loaders(folder):
    """Open the photos, and cut them into training and validation."""
    train, val = bs.open(folder).split(0.85, seed=0)
    settings = {"batch_size": 32, "memory": "64 MiB", "transforms": [bs.Resize(SIZE), bs.Map(spectrum)]}
    return bs.Loader(train, **settings), bs.Loader(val, shuffle=False, **settings)


def main(folder):
    """Train, and print what came of it."""
    loader, val = loaders(folder)
    weights = np.zeros(loader.spec["x"].shape[0] + 1, np.float64)
    for epoch in range(8):
        for batch in loader:  # {"x": (32, 120) float32, "y": (32,) int64}, made while the last one is used
            x = np.column_stack([batch["x"], np.ones(len(batch["x"]))])
            error = 1 / (1 + np.exp(-x @ weights)) - batch["y"]
            weights -= 0.5 * x.T @ error / len(x)
        right = sum(int(((batch["x"] @ weights[:-1] + weights[-1] > 0) == batch["y"]).sum()) for batch in val)
        print(f"epoch {epoch}: validation accuracy {right / len(val.source):.3f}")


if __name__ == "__main__":
    main(sys.argv[1])
