"""Record of a run, to report or repeat it: versions, machine, sessions, and the rows of each split."""

from __future__ import annotations

import csv
import hashlib
import importlib.metadata
import os
import platform
import sys
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitesize._version import __version__
from bitesize.files.atomic import replacing
from bitesize.sources.base import Source
from bitesize.sources.combine.subset import row_numbers

# Packages that affect values of a run: packages that are always used, and modules that are used if loaded, with the names of their
# distributions if these differ.
_ALWAYS = ("numpy", "numba", "simplejpeg", "pillow")
_LOADED = {
    "keras": "", "jax": "", "jaxlib": "", "torch": "", "tensorflow": "", "sklearn": "scikit-learn", "skops": "", "h5py": "", "zarr": "",
    "numcodecs": "", "pyarrow": "", "pandas": "", "polars": "", "datasets": "", "tifffile": "", "pydicom": "", "nibabel": "",
}  # fmt: skip
# Maximum number of rows for which the split is a readable table with paths; a larger table would take long to write.
_MOST_LISTED = 1_000_000


def now() -> str:
    """Return the current time in UTC, in ISO 8601 format."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def begun(command: str, earlier: Mapping[str, Any] | None = None, checkpoint: str | None = None) -> dict[str, Any]:
    """Return the identity of a run, and its sessions: one for its start, and one for each time it was resumed.

    Parameters
    ----------
    command
        Command line; empty from Python.
    earlier
        Result of this function when the run was started or last resumed.
    checkpoint
        Name of the checkpoint from which the run is resumed now.

    Returns
    -------
    dict
        ``run`` (its identity), ``started``, ``command``, ``versions`` and ``machine`` of its start, ``continued`` (how often it
        was resumed), and ``sessions``, which record versions and machine if they differ from the start.
    """
    here: dict[str, Any] = {"versions": versions(), "machine": machine()}
    session: dict[str, Any] = {"started": now(), "command": command}
    if earlier is None or "run" not in earlier:
        return {"run": uuid.uuid4().hex, **session, **here, "continued": 0, "sessions": [session]}
    session |= {"from": checkpoint, **{name: each for name, each in here.items() if each != earlier[name]}}
    kept = {name: earlier[name] for name in ("run", "started", "command", "versions", "machine")}
    sessions = [*earlier["sessions"], session]
    return {**kept, "continued": len(sessions) - 1, "sessions": sessions}


def fingerprints(train: Source, val: Source | None, classes: Sequence[str]) -> dict[str, str]:
    """Return fingerprints of a run's data: of the rows of training and validation, and of the class names.

    Class names are separate, because a table with other class names for the same files in the same order has the same rows.
    """
    names = hashlib.sha256("\0".join(classes).encode("utf-8", "surrogateescape")).hexdigest()[:16]
    return {"train": train.fingerprint(), **({"val": val.fingerprint()} if val is not None else {}), "classes": names}


def versions() -> dict[str, str]:
    """Return the versions of bitesize, Python, and the packages in use that affect values."""
    installed = {"bitesize": __version__, "python": platform.python_version()}
    installed |= {name: importlib.metadata.version(name) for name in _ALWAYS}
    for module, name in _LOADED.items():
        if module in sys.modules:
            try:
                installed[name or module] = importlib.metadata.version(name or module)
            except importlib.metadata.PackageNotFoundError:  # such as tensorflow of tensorflow-cpu
                installed[name or module] = str(getattr(sys.modules[module], "__version__", "unknown"))
    return installed


def machine() -> dict[str, Any]:
    """Return the system, the processor, its cores, the memory in bytes, and the names of accelerators in use."""
    import psutil

    return {
        "system": platform.platform(),
        "processor": _processor(),
        "cores": psutil.cpu_count(logical=False),
        "threads": psutil.cpu_count(),
        "memory": psutil.virtual_memory().total,
        "accelerators": _accelerators(),
    }


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _accelerators() -> list[str]:
    """Return the names of the accelerators of a loaded framework."""
    torch, jax, tensorflow = (sys.modules.get(name) for name in ("torch", "jax", "tensorflow"))
    if torch is not None and torch.cuda.is_initialized():
        return [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    if jax is not None:
        return [each.device_kind for each in jax.local_devices() if each.platform != "cpu"]
    if tensorflow is not None:
        return [each.name for each in tensorflow.config.list_logical_devices("GPU")]
    return []


@dataclass(frozen=True)
class Split:
    """Rows of training and validation of a run.

    Parameters
    ----------
    train, val
        Sources from `bitesize.training.data.open_data`.
    """

    train: Source
    val: Source | None

    @property
    def file(self) -> str:
        """Name of the file: a table, or arrays of row numbers for very many rows."""
        return "split.csv" if sum(len(part) for part in self._parts.values()) <= _MOST_LISTED else "split.npz"

    @property
    def _parts(self) -> dict[str, Source]:
        return {"train": self.train} | ({} if self.val is None else {"val": self.val})

    def as_dict(self) -> dict[str, Any]:
        """Return the file's name, and the number of rows of each part."""
        return {"file": self.file, **{name: len(part) for name, part in self._parts.items()}}

    def write(self, folder: Path) -> None:
        """Write the file: ``part``, ``row`` (its number in the data that was opened) and ``path``, or for very many rows numbers only."""
        numbers = {name: row_numbers(part) for name, part in self._parts.items()}
        with replacing(folder / self.file) as temporary:
            if self.file.endswith(".npz"):
                np.savez(temporary, **numbers)  # type: ignore[arg-type]
            else:
                _write_table(temporary, self._parts, numbers)


def _write_table(path: Path, parts: Mapping[str, Source], numbers: Mapping[str, NDArray[np.int64]]) -> None:
    # With a byte order mark, so that Excel reads UTF-8: paths may be in any script.
    with path.open("w", encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["part", "row", "path"])
        for name, part in parts.items():
            root = len(os.path.join(part.paths_root, b"")) if part.paths_root else 0
            for row, number in enumerate(numbers[name].tolist()):
                found = part.path(row)
                writer.writerow([name, number, part.describe(row) if found is None else os.fsdecode(found[root:])])
