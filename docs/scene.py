"""A landscape that looks a little like a photograph, drawn from a seed: the pictures of the gallery need no data of others."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

HEIGHT, WIDTH = 165, 220
SKIES = {"day": ((70, 130, 205), (205, 225, 240)), "evening": ((60, 45, 110), (250, 165, 95))}
GROUND = {"day": ((92, 128, 66), (64, 92, 120)), "evening": ((60, 58, 44), (120, 92, 110))}
CLASSES = ("sky", "mountains", "lake", "sail", "balloon")
_SCALE = 3  # everything is drawn larger, and shrunk


def clouds(rng: np.random.Generator, height: int, width: int) -> NDArray[np.float64]:
    """Return noise of several scales, from 0 to 1."""
    total = np.zeros((height, width))
    for octave in range(2, 7):
        cells = rng.random((2**octave * 3 // 4 + 1, 2**octave + 1)).astype(np.float32)
        layer = Image.fromarray(cells).resize((width, height), Image.Resampling.BICUBIC)
        total += np.asarray(layer) / 2**octave
    return (total - total.min()) / (total.max() - total.min())


def ridge(rng: np.random.Generator, width: int, base: float, height: float) -> NDArray[np.float64]:
    """Return the height of a chain of mountains at each column."""
    x = np.linspace(0, 1, width)
    line = sum(
        height / 2**k * np.abs(np.interp(x * 2**k * 2.2, np.arange(2**k * 3 + 2), rng.random(2**k * 3 + 2)))
        for k in range(6)
    )
    return base - np.asarray(line)


def scene(
    kind: str = "day", seed: int = 0, height: int = HEIGHT, width: int = WIDTH
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return a picture (height, width, 3), and its mask (height, width) with the number of a class for each pixel."""
    rng = np.random.default_rng(seed)
    h, w = height * _SCALE, width * _SCALE
    rows = np.arange(h)[:, None]
    share = np.clip(rows / (0.62 * h), 0, 1)[..., None]
    top, low = (np.array(color, float) for color in SKIES[kind])
    white = np.clip((clouds(rng, h, w) - 0.5) * 2.2, 0, 1)[..., None] * (1 - share) * 0.9
    picture = (top + (low - top) * share) * (1 - white) + 252 * white
    mask = np.zeros((h, w), np.uint8)
    near, far = (np.array(color, float) for color in GROUND[kind])
    texture = clouds(rng, h, w)[..., None]
    shore = 0.66 * h
    for base, rise, color in ((0.62, 0.24, far), (0.67, 0.15, near)):
        line = ridge(rng, w, base * h, rise * h)
        rock = (rows >= line) & (rows < shore)
        snow = np.clip(1 - (rows - line) / (0.035 * h), 0, 1)[..., None] * (base < 0.65)
        ground = color * (0.65 + 0.7 * texture)
        picture = np.where(rock[..., None], ground * (1 - snow) + 245 * snow, picture)
        mask[rock] = 1
    lake = np.broadcast_to(rows >= shore, (h, w))
    mirrored = picture[np.clip(2 * int(shore) - np.arange(h) - 1, 0, h - 1)]
    ripples = 1 + 0.10 * np.sin(rows / (2.2 + (rows - shore).clip(0) / 28) + 6 * texture[..., 0])
    water = (0.62 * mirrored + 0.38 * np.array((38, 84, 116))) * ripples[..., None]
    picture = np.where(lake[..., None], water, picture)
    mask[lake] = 2
    image = Image.fromarray(picture.clip(0, 255).astype(np.uint8))
    marks = Image.fromarray(mask)
    _things(ImageDraw.Draw(image), ImageDraw.Draw(marks), kind, w, h)
    grain = rng.normal(0, 3.5, (height, width, 1))
    small = np.asarray(image.filter(ImageFilter.GaussianBlur(0.6)).resize((width, height), Image.Resampling.LANCZOS), float)
    return (small + grain).clip(0, 255).astype(np.uint8), np.asarray(marks.resize((width, height), Image.Resampling.NEAREST))


def _things(draw: ImageDraw.ImageDraw, marks: ImageDraw.ImageDraw, kind: str, w: int, h: int) -> None:
    """Draw a sun, a boat, and by day a balloon."""
    sun = (0.80 * w, 0.13 * h, 0.80 * w + 0.09 * w, 0.13 * h + 0.09 * w)
    draw.ellipse(sun, fill=(255, 244, 190) if kind == "day" else (255, 205, 120))
    x, y = (0.30 * w, 0.80 * h) if kind == "day" else (0.62 * w, 0.84 * h)
    sail = [(x, y - 0.24 * h), (x, y), (x + 0.12 * w, y)]
    jib = [(x - 0.01 * w, y - 0.20 * h), (x - 0.01 * w, y), (x - 0.06 * w, y)]
    color = (214, 60, 48) if kind == "day" else (244, 238, 220)
    for shape, fill in ((sail, color), (jib, (246, 240, 225))):
        draw.polygon(shape, fill=fill)
        marks.polygon(shape, fill=3)
    hull = [
        (x - 0.08 * w, y + 0.015 * h),
        (x + 0.14 * w, y + 0.015 * h),
        (x + 0.10 * w, y + 0.055 * h),
        (x - 0.05 * w, y + 0.055 * h),
    ]
    draw.polygon(hull, fill=(88, 58, 40))
    marks.polygon(hull, fill=3)
    if kind == "day":
        left, top, size = 0.60 * w, 0.10 * h, 0.17 * w
        for i, color in enumerate(((236, 180, 46), (206, 68, 58), (240, 232, 210), (206, 68, 58), (236, 180, 46))):
            inset = size * (0.5 - abs(0.5 - i / 4)) if i != 2 else size * 0.36
            if i < 3:
                draw.ellipse((left + inset * 0.6, top, left + size - inset * 0.6, top + size * 1.12), fill=color)
        marks.ellipse((left, top, left + size, top + size * 1.12), fill=4)
        middle = left + size / 2
        draw.polygon(
            [(middle - size * 0.2, top + size), (middle + size * 0.2, top + size), (middle, top + size * 1.35)],
            fill=(206, 68, 58),
        )
        draw.rectangle((middle - size * 0.1, top + size * 1.4, middle + size * 0.1, top + size * 1.56), fill=(96, 64, 40))
