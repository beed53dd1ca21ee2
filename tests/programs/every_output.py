"""Print what a framework gets from a loader, epoch by epoch, and after a resume. See test_outputs.py.

Prints one JSON object: for each batch a hash of its values and its labels, for two epochs; and the same of a run that is broken off
after some batches and goes on in another loader.
"""

from __future__ import annotations

import json
import os
import sys

import numpy as np
import xxhash

ROWS, BATCH, BREAK = 90, 16, 8  # 10 rows are left over in each epoch; the break is in the second


def make_loader(last: str):
    import bitesize as bs

    random = np.random.default_rng(0)
    x = random.integers(0, 256, (ROWS, 12, 10, 3), dtype=np.uint8)
    steps = [bs.RandomResizedCrop((8, 9)), bs.Flip(), bs.ColorJitter(0.4, 0.4, 0.4), bs.Normalize("imagenet")]
    data = bs.open(x, np.arange(ROWS).astype(np.float32))
    return bs.Loader(data, batch_size=BATCH, transforms=steps, memory="32 MiB", threads=3, seed=4, last=last)


class Recorder:
    """Learns nothing: notes what it is given."""

    def __init__(self):
        self.seen: list[tuple[np.ndarray, np.ndarray]] = []

    def partial_fit(self, x, y):
        self.seen.append((x.reshape(len(x), 8, 9, 3).copy(), y.copy()))


def batches(name: str, loader, count: int):
    """Give so many batches as (x, y), as NumPy has them, whatever the framework."""
    import bitesize as bs

    seen: list[tuple[np.ndarray, np.ndarray]] = []

    def take(x, y, mask=None):
        """Note a batch."""
        x, y = np.asarray(x), np.asarray(y)
        real = slice(None) if mask is None else np.asarray(mask)
        seen.append((x[real].copy(), y[real].copy()))
        return len(seen) == count

    if name == "numpy":
        outputs = loader
    elif name == "torch":
        outputs = bs.to_torch(loader)
    elif name == "torch DataLoader":
        from torch.utils.data import DataLoader

        outputs = DataLoader(bs.to_torch(loader), batch_size=None)
    elif name == "jax":
        outputs = bs.to_jax(loader)
    elif name == "tensorflow":
        outputs = bs.to_tensorflow(loader)
    elif name == "sklearn":
        recorder = Recorder()
        bs.sklearn.partial_fit(recorder, loader, epochs=2, callback=lambda done: len(recorder.seen) == count)
        return recorder.seen
    while True:
        for batch in outputs:
            if name == "tensorflow":
                done = take(batch[0].numpy(), batch[1].numpy())
            elif name.startswith("torch"):
                done = take(batch["x"].permute(0, 2, 3, 1).numpy(), batch["y"].numpy(), batch.get("mask"))
            elif name == "jax":
                done = take(batch["x"], batch["y"], batch.get("mask"))
            else:
                done = take(batch["x"], batch["y"], batch.mask)
            if done:
                return seen


def hashed(seen) -> list[str]:
    """Hash each batch."""
    out = []
    for x, y in seen:
        assert x.dtype == np.float32
        out.append(xxhash.xxh3_64_hexdigest(np.ascontiguousarray(x).tobytes()) + str(y.astype(int).tolist()))
    return out


def main(name: str) -> None:
    """Run one output."""
    last = "pad" if name == "jax" else "short"
    with make_loader(last) as loader:
        whole = hashed(batches(name, loader, 12))
    with make_loader(last) as loader:
        first = batches(name, loader, BREAK)
        state = json.loads(json.dumps(loader.state_dict()))
    with make_loader(last) as loader:
        loader.load_state_dict(state)
        rest = hashed(batches(name, loader, 12 - BREAK))
    sys.stdout.write(json.dumps({"whole": whole, "resumed": hashed(first) + rest}))


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    main(sys.argv[1])
