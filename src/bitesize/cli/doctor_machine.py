"""Backend, GPU and disk for `bitesize doctor`."""

from __future__ import annotations

import contextlib
import glob
import json
import mmap
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

_DISK_NBYTES, _BLOCK = 64 << 20, 4 << 20
_IN_MEMORY = ("tmpfs", "ramfs")
# Loading a framework for the first time reads gigabytes.
_BACKEND_SECONDS, _GPU_SECONDS = 180, 20
# In a process of its own: a broken framework may end its process, or never return.
_PROGRAM = """
import json, sys
import keras
found, name = {"keras": keras.__version__, "built_for": None}, sys.argv[1]
if name == "torch":
    import torch
    found |= {"version": torch.__version__, "built_for": torch.version.cuda and f"CUDA {torch.version.cuda}"}
    found["devices"] = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    if not found["devices"] and torch.backends.mps.is_available():
        found["devices"] = ["GPU of this Mac (mps)"]
elif name == "jax":
    import jax
    found |= {"version": jax.__version__, "devices": [each.device_kind for each in jax.devices() if each.platform != "cpu"]}
elif name == "tensorflow":
    import tensorflow
    found |= {"version": tensorflow.__version__}
    found["devices"] = [each.name for each in tensorflow.config.list_physical_devices("GPU")]
    if tensorflow.test.is_built_with_cuda():
        found["built_for"] = "CUDA"
print(json.dumps(found))
"""
_OTHER_BUILDS = {
    "torch": "https://pytorch.org/get-started/locally shows how a build for the GPU is installed",
    "jax": 'pip install "jax[cuda12]"',
    "tensorflow": 'pip install "tensorflow[and-cuda]"',
}


def backend() -> dict[str, Any]:
    """Return the backend that Keras will use, who chose it, its version and devices; or what is wrong with it."""
    from bitesize.errors import BitesizeError
    from bitesize.packages import is_installed
    from bitesize.training.backend import choose_backend, chosen_backend

    wanted, origin = chosen_backend()
    found: dict[str, Any] = {"name": None, "chosen_by": origin if wanted else None, "devices": [], "problem": None}
    try:
        name = found["name"] = choose_backend()
    except BitesizeError as error:
        # Without Keras, data is loaded all the same: no problem, unless a backend was asked for.
        return found | {"missing": str(error), "problem": str(error) if wanted and is_installed("keras") else None}
    environment = {**os.environ, "KERAS_BACKEND": name, "TF_CPP_MIN_LOG_LEVEL": "2"}
    try:
        done = subprocess.run(
            [sys.executable, "-c", _PROGRAM, name], env=environment, capture_output=True, text=True, errors="replace",
            timeout=_BACKEND_SECONDS, check=False, stdin=subprocess.DEVNULL,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        return found | {"problem": f"Keras with {name} cannot be loaded: {error}"}
    with contextlib.suppress(IndexError, ValueError):
        return found | dict(json.loads(done.stdout.splitlines()[-1]))
    why = [*filter(None, map(str.strip, done.stderr.splitlines())), f"its process ended with code {done.returncode}"]
    return found | {"problem": f"Keras with {name} cannot be loaded: {why[-2] if len(why) > 1 else why[-1]}"}


def gpus() -> list[str]:
    """Return the NVIDIA GPUs of this machine, each with its driver, whether a framework can use them or not."""
    program = shutil.which("nvidia-smi")
    if program is not None:
        with contextlib.suppress(OSError, subprocess.SubprocessError):
            done = subprocess.run(
                [program, "--query-gpu=name,driver_version", "--format=csv,noheader"],
                capture_output=True, text=True, errors="replace", timeout=_GPU_SECONDS, check=True, stdin=subprocess.DEVNULL,
            )  # fmt: skip
            return [line.strip().replace(", ", ", driver ") for line in done.stdout.splitlines() if line.strip()]
    return ["NVIDIA GPU" for _ in glob.glob("/dev/nvidia[0-9]*")]


def unused_gpu(found: dict[str, Any], there: list[str]) -> str | None:
    """Return why the GPUs of this machine are not used by the backend; None if they are, or are hidden on purpose."""
    name = found["name"]
    if (
        not there
        or found["devices"]
        or found["problem"]
        or name is None
        or os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1")
    ):
        return None
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    hidden = "" if visible is None else f"; CUDA_VISIBLE_DEVICES is {visible}"
    what = f"{there[0]} is not used: {name} {found.get('version')}"
    if name != "jax" and found.get("built_for"):
        return f"{what} for {found['built_for']} finds no device that it can use{hidden}"
    kind = "finds no device that it can use" if name == "jax" else "is a build for CPUs"
    return f"{what} {kind}{hidden}. {_OTHER_BUILDS[name]}"


def disk(folder: str) -> dict[str, Any]:
    """Return the free bytes of a disk, and the speed of writing and of reading a file past the page cache, in bytes per second."""
    found: dict[str, Any] = {"folder": folder, "system": None, "free": None, "write": None, "read": None, "problem": None}
    try:
        found["system"] = _file_system(folder)
        found["free"] = shutil.disk_usage(folder).free
        if found["free"] < 2 * _DISK_NBYTES:
            return found | {"problem": "too little free space to measure"}
        with (
            tempfile.TemporaryFile(dir=folder, buffering=0) as file,
            mmap.mmap(-1, _BLOCK) as block,
        ):  # its address is aligned
            block[:] = os.urandom(_BLOCK)  # which a disk cannot compress
            began = time.perf_counter()
            for _ in range(_DISK_NBYTES // _BLOCK):
                file.write(block)
            os.fsync(file.fileno())
            found["write"] = _DISK_NBYTES / (time.perf_counter() - began)
            if found["system"] not in _IN_MEMORY and _past_the_cache(file.fileno()):
                file.seek(0)
                began = time.perf_counter()
                while file.readinto(block):
                    pass
                found["read"] = _DISK_NBYTES / (time.perf_counter() - began)
    except OSError as error:
        found["problem"] = error.strerror or str(error)
    return found


def _file_system(folder: str) -> str | None:
    """Return the type of the file system of a folder, such as ext4, nfs4 or tmpfs."""
    import psutil

    path = Path(folder).resolve()
    holding = [each for each in psutil.disk_partitions(all=True) if Path(each.mountpoint) in (path, *path.parents)]
    return max(holding, key=lambda each: len(each.mountpoint)).fstype if holding else None


def _past_the_cache(file: int) -> bool:
    """Read a file from the disk from now on, rather than from memory, and return whether the system can do that."""
    try:
        import fcntl
    except ImportError:  # Windows
        return False
    try:
        if hasattr(os, "O_DIRECT"):  # Linux
            fcntl.fcntl(file, fcntl.F_SETFL, fcntl.fcntl(file, fcntl.F_GETFL) | os.O_DIRECT)
            return True
        if hasattr(fcntl, "F_NOCACHE"):  # macOS
            fcntl.fcntl(file, fcntl.F_NOCACHE, 1)
            return True
    except OSError:  # a disk in memory
        return False
    return False
