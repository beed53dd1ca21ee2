"""Run a process under a memory limit, for the demo: ``python -m bitesize.cli.limited BYTES naive|bitesize ARGUMENTS``.

The limit is RLIMIT_DATA. Linux enforces it for private memory, so NumPy fails as on a full machine.
"""

from __future__ import annotations

import sys

from bitesize.cli.app import main as bitesize
from bitesize.cli.memory_limit import limit_memory


def naive(folder: str) -> None:
    """Load a folder as in tutorials: all files into a list, then the list into one float64 array."""
    import glob
    import os

    import numpy as np
    from PIL import Image

    names = sorted(glob.glob(os.path.join(folder, "*", "*")))
    images: list[np.ndarray] = []
    try:
        images.extend(np.load(name) if name.endswith(".npy") else np.asarray(Image.open(name)) for name in names)
        x = np.array(images, dtype=np.float64)
    except MemoryError as error:
        done = len(images)
        images.clear()  # memory for the message
        kind = type(error)
        sys.exit(f"{done:,} of {len(names):,} files in the list, then\n{kind.__module__}.{kind.__qualname__}: {error}")
    sys.stdout.write(f"loaded {x.shape} {x.dtype}\n")


def main() -> None:
    """Set the limit, then run the command."""
    limit, program, *arguments = sys.argv[1:]
    limit_memory(int(limit))
    if program == "naive":
        naive(*arguments)
    else:
        sys.argv = ["bitesize", *arguments]
        bitesize()


if __name__ == "__main__":
    main()
