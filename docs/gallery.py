"""Draw the pictures of gallery.md: ``python docs/gallery.py``.

Each picture of the page is drawn from the block of code above it, so that a reader sees what made it.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

import bitesize as bs

sys.path.insert(0, str(Path(__file__).parent))
from scene import scene

PAGE = Path(__file__).parent / "gallery.md"
Picture = NDArray[np.uint8]
_GAP = 10
_FIXED = {
    "resize",
    "resize-cover",
    "resize-pad",
    "center-crop",
    "grayscale",
    "color-matrix",
    "normalize",
    "scale",
    "window",
    "percentiles",
    "map",
}
_COLORS = np.array([(0, 0, 0), (230, 160, 40), (40, 120, 220), (220, 50, 50), (250, 230, 60)], float)


def pictures_of_page() -> list[tuple[str, str]]:
    """Return the name of each picture, and the code above it."""
    found, code = [], ""
    for block, name in re.findall(
        r"```python\n(.*?)```|!\[[^\]]*\]\(gallery/([\w-]+)\.webp\)", PAGE.read_text("utf-8"), re.DOTALL
    ):
        if name:
            found.append((name, code))
        code = block or code
    return found


def as_picture(x: NDArray[Any]) -> Picture:
    """Return values of any range as gray or colors of 8 bits."""
    if x.dtype != np.uint8:
        low, high = float(x.min()), float(x.max())
        x = ((x.astype(np.float64) - low) * (255 / (high - low or 1))).astype(np.uint8)
    return np.repeat(x, 3, axis=2) if x.shape[2] == 1 else x


def beside(pictures: Sequence[Picture]) -> Image.Image:
    """Return pictures in a row, centered, on nothing."""
    height = max(len(picture) for picture in pictures)
    strip = Image.new("RGBA", (sum(p.shape[1] + _GAP for p in pictures) - _GAP, height))
    left = 0
    for picture in pictures:
        strip.paste(Image.fromarray(picture), (left, (height - len(picture)) // 2))
        left += picture.shape[1] + _GAP
    return strip


def rendered(source: bs.Source, transforms: Sequence[Any], seed: int = 0) -> bs.Batch:
    """Return all rows of a source in order, transformed."""
    with bs.Loader(
        source, batch_size=len(source), transforms=transforms, memory="256 MiB", shuffle=False, seed=seed
    ) as loader:
        return next(iter(loader)).copy()


def strip(name: str, transforms: Sequence[Any]) -> Image.Image:
    """Return the picture, and one or two of its transformed versions: of some seeds those that differ most."""
    picture, _ = scene()
    if name in _FIXED:
        batch = rendered(bs.open(picture[None]), transforms)
        return beside([picture, as_picture(batch["x"][0])])
    pair = bs.open(np.stack([picture] * 2))
    drawn = [rendered(pair, transforms, seed)["x"] for seed in range(12)]
    return beside([picture, *max(drawn, key=lambda x: difference(picture, *x))])


def difference(*pictures: Picture) -> float:
    """Return the least mean difference of any two pictures, as far as their sizes allow."""
    pairs = [(a, b) for a, b in combinations(pictures, 2) if a.shape == b.shape]
    return min(float(np.abs(a.astype(float) - b).mean()) for a, b in pairs)


def mixed(name: str, transforms: Sequence[Any]) -> Image.Image:
    """Return two pictures, and what is made of both."""
    pair = [scene()[0], scene("evening", 3)[0]]
    for seed in range(100):  # shares that show what happens
        batch = rendered(bs.open(np.stack(pair), np.array([0, 1])), transforms, seed)
        if 0.3 < batch["y"][0, 0] < 0.7:
            break
    return beside([*pair, *((x * 255).clip(0, 255).astype(np.uint8) for x in batch["x"])])


def covered(picture: Picture, mask: Picture) -> Picture:
    """Return a picture with the classes of its mask in color over it; pixels without a class are white."""
    colors = np.where((mask == 255)[..., None], 255, _COLORS[np.minimum(mask, 4)])
    weight = np.where(mask == 0, 0.0, np.where(mask == 255, 1.0, 0.5))[..., None]
    return (picture * (1 - weight) + colors * weight).astype(np.uint8)


def masks(name: str, transforms: Sequence[Any]) -> Image.Image:
    """Return a picture with its mask, and two transformed versions of both."""
    picture, mask = scene()
    batch = rendered(bs.open(np.stack([picture] * 2), labels=np.stack([mask] * 2)), transforms, seed=1)
    return beside([covered(picture, mask), *(covered(x, y) for x, y in zip(batch["x"], batch["y"], strict=True))])


def patches(name: str, transforms: Sequence[Any]) -> Image.Image:
    """Return an image with the outlines of its patches, and some of these beside it."""
    image, _ = scene(height=480, width=640)
    windows = bs.patches(image, 160, stride=120)
    batch = rendered(windows, [])
    shown = Image.fromarray(image)
    draw = ImageDraw.Draw(shown)
    for top, left in batch["at"].tolist():
        draw.rectangle((left + 2, top + 2, left + 157, top + 157), outline=(255, 255, 255), width=2)
    some = [batch["x"][i] for i in (3, 6, 11, 15)]
    quarter = np.asarray(shown.resize((320, 240), Image.Resampling.LANCZOS))
    tiles = [np.asarray(Image.fromarray(x).resize((115, 115), Image.Resampling.LANCZOS)) for x in some]
    gap = np.full((_GAP, 115, 3), 255, np.uint8)
    columns = [np.concatenate([tiles[i], gap, tiles[i + 1]]) for i in (0, 2)]
    return beside([quarter, *columns])


def inspected(name: str, transforms: Sequence[Any]) -> Image.Image:
    """Return the grid of `bitesize inspect` of some such pictures."""
    with tempfile.TemporaryDirectory() as folder:
        for kind in ("day", "evening"):
            photos = Path(folder) / "photos" / kind
            photos.mkdir(parents=True)
            for seed in range(4):
                Image.fromarray(scene(kind, seed)[0]).save(photos / f"{seed}.png")
        command = ["inspect", "photos", "--image-size", "96", "--rows", "4", "--draws", "2", "--out", "grid.png"]
        subprocess.run([sys.executable, "-m", "bitesize", *command], cwd=folder, check=True, stdout=subprocess.DEVNULL)  # noqa: S603
        with Image.open(Path(folder) / "grid.png") as grid:
            return grid.convert("RGB")


DRAW = {"mix-up": mixed, "cut-mix": mixed, "masks": masks, "patches": patches, "inspect": inspected}


def draw() -> Iterator[tuple[str, Image.Image]]:
    """Yield each picture of the page with its name."""
    names: dict[str, Any] = {"np": np, "bs": bs}
    for name, code in pictures_of_page():
        exec(code, names)  # noqa: S102 - the page's own code
        yield name, DRAW.get(name, strip)(name, names["transforms"])


def main() -> None:
    """Write all pictures into the folder ``gallery``."""
    folder = PAGE.parent / "gallery"
    folder.mkdir(exist_ok=True)
    for name, picture in draw():
        picture.save(folder / f"{name}.webp", quality=78, method=6)


if __name__ == "__main__":
    main()
