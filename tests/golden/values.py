"""What golden files hold: orders of rows, batches of every source and transform, fingerprints, states."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import xxhash

import bitesize as bs
from tests.golden.data import ROWS, SOURCES, arrays, class_folders, each_source, labels, numbers

_MEMORY = "64 MiB"
_EDGES = np.array([0, 3, 10, 11, 40, 64, 90])


def orders() -> dict[str, Callable[[], bs.Order]]:
    """Return an order of every kind, by its name."""
    weights = np.arange(1, 91) % 7
    return {
        "in order": lambda: bs.Order(90, shuffle=False),
        "one row": lambda: bs.Order(1),
        "two rows": lambda: bs.Order(2, seed=5),
        "shuffled": lambda: bs.Order(90, seed=1),
        "shuffled, large seed": lambda: bs.Order(90, seed=2**70 + 1),
        "shuffled, negative seed": lambda: bs.Order(90, seed=-3),
        "a power of two": lambda: bs.Order(4096, seed=1),
        "more than a block": lambda: bs.Order(200_003, seed=1),
        "limited": lambda: bs.Order(90, seed=1, limit_rows=31),
        "repeated": lambda: bs.Order(90, seed=1, repeat=3),
        "limited and repeated": lambda: bs.Order(90, seed=1, limit_rows=31, repeat=3),
        "in order, limited and repeated": lambda: bs.Order(90, shuffle=False, limit_rows=31, repeat=3),
        "weighted": lambda: bs.Order(90, seed=1, weights=weights),
        "weighted, limited and repeated": lambda: bs.Order(90, seed=1, weights=weights, limit_rows=31, repeat=2),
        "windows of chunks": lambda: bs.Order(90, seed=1, window=30, streams=3, chunks=_EDGES, batch_size=8),
        "windows, one lane": lambda: bs.Order(90, seed=1, window=30, streams=1, chunks=_EDGES, batch_size=8),
        "windows, repeated": lambda: bs.Order(90, seed=1, window=20, streams=4, chunks=_EDGES, batch_size=8, repeat=2),
        "windows, limited": lambda: bs.Order(90, seed=1, window=20, streams=4, chunks=_EDGES, batch_size=8, limit_rows=50),
    }


def digest(parts: Iterable[Any]) -> str:
    """Return a hash of arrays and names: of dtypes, shapes and values."""
    state = xxhash.xxh3_128()
    for part in parts:
        if isinstance(part, np.ndarray):
            state.update(f"{part.dtype.str}{part.shape}".encode())
            state.update(np.ascontiguousarray(part).tobytes())
        else:
            state.update(str(part).encode())
    return state.hexdigest()


def order_values() -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield for each order its settings, the first rows of three epochs and hashes of all, and replacements of bad rows."""
    for name, make in orders().items():
        order = make()
        epochs = {epoch: order.rows(epoch, 0, order.length) for epoch in (0, 1, 7)}
        yield (
            name,
            {
                "settings": order.settings(),
                "first": {str(epoch): rows[:12].tolist() for epoch, rows in epochs.items()},
                "rows": {str(epoch): digest([rows]) for epoch, rows in epochs.items()},
                "replacements": [order.replacement(epoch, 0, attempt) for epoch in (0, 1) for attempt in (0, 1)],
            },
        )
    huge = bs.Order(1 << 62, seed=1)
    yield "2**62 rows", {"first": huge.rows(3, 1 << 61, (1 << 61) + 8).tolist()}


def batches_of(loader: bs.Loader, epochs: int = 2) -> str:
    """Return a hash of all batches of some epochs."""
    with loader:
        return digest(part for _ in range(epochs) for batch in loader for part in parts_of(batch))


def parts_of(batch: bs.Batch) -> Iterator[Any]:
    """Yield the names and arrays of a batch."""
    for name in batch:
        yield name
        yield np.asarray(batch[name])


def source_values(folder: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield for each kind of data its fingerprint and a hash of two epochs of batches."""
    for name, source in each_source(folder):
        images = any(isinstance(field, bs.Encoded) for field in source.spec.values())
        loader = bs.Loader(source, batch_size=5, memory=_MEMORY, seed=3, transforms=[bs.Resize(8)] if images else [])
        yield (
            name,
            {"fingerprint": source.fingerprint(), "classes": list(source.classes or ()), "batches": batches_of(loader)},
        )
    assert len(SOURCES) > 20


def transforms() -> dict[str, list[Any]]:
    """Return lists of transforms that together hold every transform, and every way that it can be set."""
    scale = bs.Scale(1 / 255)
    return {
        "Resize": [bs.Resize(10)],
        "Resize, bicubic": [bs.Resize((9, 14), interpolation="bicubic")],
        "Resize, nearest": [bs.Resize((9, 14), interpolation="nearest")],
        "Resize, cover": [bs.Resize(10, "cover")],
        "Resize, pad": [bs.Resize(10, "pad", fill=7.0)],
        "Resize, shorter": [bs.Resize(10, "shorter"), bs.CenterCrop(8)],
        "CenterCrop": [bs.CenterCrop(8)],
        "RandomCrop": [bs.RandomCrop(8, padding=3)],
        "RandomResizedCrop": [bs.RandomResizedCrop(8)],
        "Flip": [bs.Flip(0.5, 0.5)],
        "Rotate90": [bs.Resize(10), bs.Rotate90()],
        "Rotate": [bs.Rotate(20, fill=9.0)],
        "Shear": [bs.Shear(12, 5)],
        "Translate": [bs.Translate(0.2, 0.1)],
        "Zoom": [bs.Zoom(0.3)],
        "Cutout": [bs.Cutout(p=0.8)],
        "Brightness": [bs.Brightness(0.3)],
        "Contrast": [bs.Contrast(0.3)],
        "Saturation": [bs.Saturation(0.3)],
        "Hue": [bs.Hue(0.1)],
        "ColorJitter": [bs.ColorJitter(0.2, 0.3, 0.4, 0.1)],
        "Grayscale": [bs.Grayscale(0.5)],
        "ColorMatrix": [color_matrix()((0.5, 0.1, 0, 3, 0, 0.7, 0, 0, 0.2, 0, 0.9, -5))],
        "Normalize": [bs.Normalize("imagenet")],
        "Normalize, numbers": [bs.Normalize((0.1, 0.2, 0.3), (0.5, 0.6, 0.7))],
        "Normalize, data": [bs.Normalize("data")],
        "Scale": [bs.Scale(1 / 127.5, -1.0)],
        "Map": [bs.Map(invert)],
        "Map, random": [bs.Map(shift, random=True)],
        "Map, batch": [bs.Map(invert, batch=True)],
        "MixUp": [scale, bs.MixUp(0.4)],
        "CutMix": [scale, bs.CutMix(1.0)],
        "all together": [
            bs.RandomResizedCrop(9), bs.Flip(), bs.Rotate(10), bs.ColorJitter(0.2, 0.2, 0.2), bs.Normalize("imagenet"),
            bs.Cutout(p=0.5),
        ],
    }  # fmt: skip


def saved_transforms() -> list[dict[str, Any]]:
    """Return every transform but functions as run folders save it."""
    return [step.to_dict() for steps in transforms().values() for step in steps if not isinstance(step, bs.Map)]


def color_matrix() -> Any:
    """Return the transform by a matrix of colors, whatever this version calls it."""
    return getattr(bs, "ColorMatrix", None) or bs.ColorMatrix


def invert(x: Any) -> Any:
    """Return 255 - x."""
    return 255 - x


def shift(x: Any, random: Any) -> Any:
    """Return x moved around by a random number of pixels."""
    return np.roll(x, int(random.integers(0, 5)), axis=1)


def transform_values(folder: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield for each list of transforms hashes of two epochs of arrays, photographs, and images with masks."""
    photos = bs.open(class_folders(folder / "photos"))
    masked = bs.open(numbers(ROWS, 12, 16, 3), labels=numbers(ROWS, 12, 16, seed=1) // 64)
    floats = bs.open(numbers(ROWS, 12, 16, 3, dtype="float32") / 255, labels=labels())
    for name, steps in transforms().items():
        sizes = steps if any("size" in vars(step) for step in steps) else [bs.Resize(12), *steps]
        sources = {"uint8": (arrays(), steps), "photographs": (photos, sizes)}
        if name not in ("MixUp", "CutMix"):
            sources["masks"] = (masked, steps)
        if not any(isinstance(step, bs.Scale) for step in steps):
            sources["float32"] = (floats, steps)
        yield (
            name,
            {
                kind: batches_of(bs.Loader(source, batch_size=6, memory=_MEMORY, seed=2, transforms=list(chosen)))
                for kind, (source, chosen) in sources.items()
            },
        )


def loader_values() -> Iterator[tuple[str, Any]]:
    """Yield what loaders give with other settings: ranks, weights, mixtures, last batches, types, layouts."""
    rows = bs.open(np.arange(50), labels=np.arange(50) % 5)
    weights = np.arange(1, 51) % 4
    mixed = bs.mix([rows.subset(range(10)), rows.subset(range(10, 50))], [0.3, 0.7])
    each: dict[str, tuple[bs.Source, dict[str, Any]]] = {
        "shuffled": (rows, {}),
        "in order": (rows, {"shuffle": False}),
        "balanced": (rows, {"order": "balanced"}),
        "weighted": (rows, {"order": bs.Order(50, weights=weights)}),
        "windows": (rows, {"order": bs.Order(50, seed=1, window=20, streams=3, chunks=np.arange(0, 50, 7))}),
        "mixture": (mixed, {}),
        "mixture, in order": (mixed, {"shuffle": False}),
        "drop": (rows, {"last": "drop"}),
        "pad": (rows, {"last": "pad"}),
    }
    for name, (source, settings) in each.items():
        for ranks in (1, 3):
            for rank in range(ranks):
                shard = {} if ranks == 1 else {"shard": bs.Shard(rank, ranks)}
                loader = bs.Loader(source, batch_size=9, memory=_MEMORY, **settings, **shard)
                yield f"{name}, rank {rank} of {ranks}", batches_of(loader)
    for dtype in ("uint8", "float16", "float64"):
        yield f"dtype {dtype}", batches_of(bs.Loader(arrays(), batch_size=9, memory=_MEMORY, dtype=dtype))
    yield "CHW", batches_of(bs.Loader(arrays(), batch_size=9, memory=_MEMORY, layout="CHW", transforms=[bs.Resize(5)]))


def loader_to_continue() -> bs.Loader:
    """Return the loader whose state, after two batches of the second epoch, is a golden file."""
    return bs.Loader(bs.open(np.arange(50), labels=np.arange(50) % 5), batch_size=8, memory=_MEMORY, seed=9)


def rest(loader: bs.Loader) -> list[list[int]]:
    """Return the rows of the batches that are left of an epoch."""
    return [batch["x"].tolist() for batch in loader]
