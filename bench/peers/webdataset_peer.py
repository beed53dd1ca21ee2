"""WebDataset (https://github.com/webdataset/webdataset): tar files, read by two workers of a WebLoader."""

from __future__ import annotations

import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
import webdataset as wds

from bench.cases import MEAN, STD, Case

Loads = tuple[Callable[[], Any], str]


class _Read:
    def __init__(self, side: int) -> None:
        self.side = side
        self.mean, self.std = torch.tensor(MEAN).view(3, 1, 1), torch.tensor(STD).view(3, 1, 1)

    def __call__(self, image: Any) -> torch.Tensor:
        from PIL import Image

        small = np.array(image.resize((self.side, self.side), Image.Resampling.BILINEAR))
        return torch.from_numpy(small).permute(2, 0, 1).to(torch.float32).div_(255).sub_(self.mean).div_(self.std)


def jpeg(case: Case, folder: Path) -> Loads:
    """Decode with Pillow, resize, batch in the worker."""
    shards = folder.parent / f"{folder.name}-tar"
    files = sorted(folder.glob("*/*.jpg"))
    if not shards.exists():
        shards.mkdir()
        for i in range(4):  # two for each worker
            with tarfile.open(shards / f"{i}.tar", "w") as tar:
                for file in files[i::4]:
                    tar.add(file, f"{file.parent.name}_{file.stem}.jpg")
    data = (
        wds.WebDataset([str(file) for file in sorted(shards.glob("*.tar"))], shardshuffle=4, empty_check=False)
        .shuffle(1000)
        .decode("pil")
        .to_tuple("jpg")
        .map_tuple(_Read(case["size"]))
        .batched(case.batch, partial=False)
    )
    loader = wds.WebLoader(data, batch_size=None, num_workers=2, persistent_workers=True)

    def load() -> Iterator[int]:
        yield from (len(x) for (x,) in loader)

    return load, "WebDataset(4 tars).shuffle(1000).decode('pil').map(resize BILINEAR).batched; WebLoader(num_workers=2)"
