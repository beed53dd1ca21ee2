"""PyTorch's DataLoader with two workers that stay alive (https://docs.pytorch.org/docs/stable/data.html)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from bench.cases import MEAN, STD, Case

Loads = tuple[Callable[[], Any], str]
_OPTIONS: dict[str, Any] = {"shuffle": True, "num_workers": 2, "persistent_workers": True, "drop_last": True}


def _loads(dataset: Dataset[Any], case: Case, what: str) -> Loads:
    loader = DataLoader(dataset, batch_size=case.batch, **_OPTIONS)

    def load() -> Iterator[int]:
        for x in loader:
            yield len(x)

    return load, f"DataLoader(batch_size={case.batch}, {', '.join(f'{k}={v}' for k, v in _OPTIONS.items())}); {what}"


class _Files(Dataset[Any]):
    def __init__(self, folder: Path, suffix: tuple[str, ...], read: Callable[[Path], Any]) -> None:
        self.files = sorted(file for file in folder.glob("*/*") if file.suffix in suffix)
        self.read = read

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, i: int) -> Any:
        return self.read(self.files[i])


class _Normalized:
    """(height, width, 3) uint8 to (3, height, width) float32."""

    def __init__(self) -> None:
        self.mean, self.std = torch.tensor(MEAN).view(3, 1, 1), torch.tensor(STD).view(3, 1, 1)

    def __call__(self, pixels: torch.Tensor) -> torch.Tensor:
        return pixels.permute(2, 0, 1).to(torch.float32).div_(255).sub_(self.mean).div_(self.std)


class _Pil:
    def __init__(self, side: int) -> None:
        self.side, self.normalized = side, _Normalized()

    def __call__(self, file: Path) -> torch.Tensor:
        from PIL import Image

        image = Image.open(file).convert("RGB").resize((self.side, self.side), Image.Resampling.BILINEAR)
        return self.normalized(torch.from_numpy(np.array(image)))


class _OpenCV:
    def __init__(self, side: int) -> None:
        self.side, self.normalized = side, _Normalized()

    def __call__(self, file: Path) -> torch.Tensor:
        import cv2

        cv2.setNumThreads(1)
        image = cv2.resize(cv2.imread(str(file)), (self.side, self.side), interpolation=cv2.INTER_LINEAR)
        return self.normalized(torch.from_numpy(cv2.cvtColor(image, cv2.COLOR_BGR2RGB)))


class _Native:
    def __init__(self, side: int) -> None:
        self.side, self.normalized = side, _Normalized()

    def __call__(self, file: Path) -> torch.Tensor:
        from torchvision.io import ImageReadMode, decode_image

        pixels = decode_image(str(file), mode=ImageReadMode.RGB)
        small = torch.nn.functional.interpolate(
            pixels[None], size=(self.side, self.side), mode="bilinear", antialias=True, align_corners=False
        )
        return self.normalized(small[0].permute(1, 2, 0))


def jpeg_pil(case: Case, folder: Path) -> Loads:
    """Decode and resize with Pillow."""
    dataset = _Files(folder, (".jpg", ".png"), _Pil(case["size"]))
    return _loads(dataset, case, "PIL.Image.open, resize(BILINEAR)")


def jpeg_opencv(case: Case, folder: Path) -> Loads:
    """Decode and resize with OpenCV, whose linear resize does not antialias."""
    import cv2  # noqa: F401 - whether it is there, before workers start

    return _loads(
        _Files(folder, (".jpg",), _OpenCV(case["size"])), case, "cv2.imread, resize(INTER_LINEAR): not antialiased"
    )


def jpeg_native(case: Case, folder: Path) -> Loads:
    """Decode and resize with torchvision's own operators."""
    try:
        read = _Native(case["size"])
        read(next(folder.glob("*/*.jpg")))
    except RuntimeError as error:
        raise ImportError(f"torchvision's decoder is not in this build: {str(error)[:120]}") from error
    return _loads(_Files(folder, (".jpg",), read), case, "torchvision.io.decode_image, interpolate(uint8, antialias=True)")


class _Npy:
    def __init__(self, scale: float | None) -> None:
        self.scale = scale

    def __call__(self, file: Path) -> torch.Tensor:
        x = torch.from_numpy(np.load(file)).to(torch.float32)
        return x * self.scale if self.scale else x


def npy_files(case: Case, folder: Path) -> Loads:
    """np.load a file."""
    return _loads(_Files(folder, (".npy",), _Npy(case["scale"])), case, "np.load, .to(float32)")


class _Mapped(Dataset[Any]):
    def __init__(self, path: Path, scale: float | None) -> None:
        self.x, self.scale = np.load(path, mmap_mode="r"), scale

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, i: int) -> torch.Tensor:
        x = torch.from_numpy(self.x[i].astype(np.float32))
        return x * self.scale if self.scale else x


def memmap(case: Case, folder: Path) -> Loads:
    """Rows of a memory-mapped array."""
    return _loads(_Mapped(folder / "x.npy", case["scale"]), case, "np.load(mmap_mode='r')[i].astype(float32)")
