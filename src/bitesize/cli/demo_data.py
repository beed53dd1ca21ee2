"""Generate the demo's pictures, which a model can learn, but not from colors alone.

Each picture shows one to three smooth "pebbles" in front of noise under uneven light. The pebbles of one class are
striped, those of the other checked. Colors, positions, sizes, directions and light have the same distribution in both
classes, and stripes and checks cover the same share of a pebble. A thumbnail of 8 x 8 pixels averages the pattern away.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

CLASSES = ("checked", "striped")


def picture(index: int, height: int, width: int, seed: int = 0) -> tuple[NDArray[np.uint8], int]:
    """Render picture ``index`` of a seed.

    Returns
    -------
    pixels : ndarray of uint8, shape (height, width, 3)
    label : int
        Class number in `CLASSES`.
    """
    random = np.random.default_rng((seed, index))
    label = index % 2
    clouds = _clouds()
    layers = [_window(random, clouds, height, width) for _ in range(2)]
    sky, ground = random.uniform(0.15, 0.85, (2, 3)).astype(np.float32)
    mix = (0.5 + 0.35 * layers[0])[..., None]
    image = sky * mix + ground * (1 - mix) + 0.10 * layers[1][..., None]
    unit = min(height, width)
    for _ in range(random.integers(1, 4)):
        _pebble(random, image, unit, label)
    angle = random.uniform(0, 2 * np.pi)
    y, x = np.ogrid[-0.5 : 0.5 : height * 1j, -0.5 : 0.5 : width * 1j]
    light = 1 + 0.25 * (x * np.cos(angle) + y * np.sin(angle)).astype(np.float32)
    image *= light[..., None] * 255
    return np.clip(image, 0, 255, out=image).astype(np.uint8), label


def _pebble(random: np.random.Generator, image: NDArray[np.float32], unit: int, label: int) -> None:
    height, width = image.shape[:2]
    cx, cy = random.uniform(0.2, 0.8) * width, random.uniform(0.2, 0.8) * height
    a, b = random.uniform(0.22, 0.40, 2) * unit
    turn, wave = random.uniform(0, np.pi), random.uniform(0.075, 0.11) * unit
    dark, bright = random.uniform(0.05, 0.45, 3).astype(np.float32), random.uniform(0.55, 0.95, 3).astype(np.float32)
    reach = max(a, b)
    left, right = max(0, int(cx - reach)), min(width, int(cx + reach) + 1)
    top, bottom = max(0, int(cy - reach)), min(height, int(cy + reach) + 1)
    y, x = np.ogrid[top:bottom, left:right]
    x, y = (x - cx).astype(np.float32), (y - cy).astype(np.float32)
    sine, cosine = np.float32(np.sin(turn)), np.float32(np.cos(turn))
    u, v = x * cosine + y * sine, y * cosine - x * sine
    inside = np.clip((1 - np.hypot(u / np.float32(a), v / np.float32(b))) * 12, 0, 1)[..., None]
    pattern = np.sin(u * np.float32(2 * np.pi / wave))
    if CLASSES[label] == "checked":
        # A product of two waves is above zero on half the area, as one wave is.
        pattern *= np.sin(v * np.float32(2 * np.pi / wave)) * 1.5
    share = 0.5 + 0.5 * np.clip(pattern * 2, -1, 1)[..., None]
    part = image[top:bottom, left:right]
    part += inside * (dark + (bright - dark) * share - part)


@functools.cache
def _clouds() -> NDArray[np.float32]:
    """Return noise that falls with frequency, as in photographs, with standard deviation 1: shape (4, 512, 512)."""
    random = np.random.default_rng(20)
    frequency = np.hypot(np.fft.fftfreq(512)[:, None], np.fft.rfftfreq(512)[None])
    frequency[0, 0] = np.inf
    spectrum = np.fft.rfft2(random.standard_normal((4, 512, 512))) / frequency**1.3
    fields = np.fft.irfft2(spectrum)
    return np.asarray(fields / fields.std(axis=(1, 2), keepdims=True), np.float32)


def _window(random: np.random.Generator, clouds: NDArray[np.float32], height: int, width: int) -> NDArray[np.float32]:
    top, left = random.integers(0, 512 - height + 1), random.integers(0, 512 - width + 1)
    window = clouds[random.integers(len(clouds)), top : top + height, left : left + width]
    return window[:, ::-1] if random.random() < 0.5 else window


def write_photos(folder: Path, count: int, progress: Callable[[int], None], height: int = 240, width: int = 320) -> None:
    """Write JPEGs of quality 85 into one folder per class."""
    import simplejpeg

    def write(index: int) -> None:
        pixels, label = picture(index, height, width)
        (folder / CLASSES[label] / f"{index:05}.jpg").write_bytes(simplejpeg.encode_jpeg(pixels, quality=85))

    _write_all(folder, count, write, progress)


def write_arrays(folder: Path, count: int, progress: Callable[[int], None], side: int = 224) -> None:
    """Write `.npy` files of (side, side, 3) float64, 0 to 1, into one folder per class."""

    def write(index: int) -> None:
        pixels, label = picture(index, side, side)
        np.save(folder / CLASSES[label] / f"{index:05}.npy", pixels / 255.0)

    _write_all(folder, count, write, progress)


def _write_all(folder: Path, count: int, write: Callable[[int], None], progress: Callable[[int], None]) -> None:
    for name in CLASSES:
        (folder / name).mkdir(parents=True, exist_ok=True)
    _clouds()
    with ThreadPoolExecutor(max_workers=2) as pool:
        for _ in pool.map(write, range(count)):
            progress(1)
