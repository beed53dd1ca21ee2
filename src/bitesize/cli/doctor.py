"""`bitesize doctor`: what this machine and this environment have, what limits them, and what is missing."""

from __future__ import annotations

import importlib.metadata
import os
import re
import tempfile
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from bitesize.cli.console import console, plain, print_json
from bitesize.cli.options import Json

# What each extra is for.
EXTRAS = {
    "keras": "train, evaluate and predict with Keras on JAX",
    "torch": "the same with PyTorch, on a CPU the fastest backend",
    "tensorflow": "the same with TensorFlow",
    "sklearn": "models of scikit-learn: --model sklearn:SGDClassifier",
    "hdf5": "HDF5 files",
    "zarr": "Zarr arrays",
    "parquet": "Parquet and Feather files",
    "huggingface": "datasets of Hugging Face",
    "tiff": "TIFF of many bands, floats, tiles and pages; 16-bit color PNG",
    "dicom": "DICOM images and series",
    "nifti": "NIfTI volumes",
    "heic": "HEIC images",
    "remote": "data in S3, GCS, Azure and on web servers",
    "aws": "profiles of AWS with roles or single sign-on",
    "ray": "several processes and machines: --workers",
    "tensorboard": "training in TensorBoard: --log tensorboard",
    "mlflow": "training in MLflow: --log mlflow",
    "wandb": "training in Weights & Biases: --log wandb",
    "prometheus": "the present figures of training for Prometheus: --prometheus",
}
_DISK_NBYTES = 64 << 20
_BLOCK = 4 << 20
_NAME = re.compile(r"[A-Za-z0-9._-]+")


def doctor(
    folder: Annotated[
        str,
        typer.Argument(metavar="FOLDER", help="A folder on the disk to measure; a file of 64 MiB is written and removed."),
    ] = ".",
    json: Json = False,
) -> None:
    """Show versions, backends, memory limits, processors, the speed of a disk, and what missing packages would add."""
    from bitesize.errors import NotFound

    if not os.path.isdir(folder):
        raise NotFound(f"the folder {folder} does not exist")
    found = {"machine": _machine(), "limits": _limits(), "backend": _backend(), "disk": _disk(folder), "extras": _extras()}
    if json:
        print_json(found)
        return
    _print(found)


def _machine() -> dict[str, Any]:
    from bitesize.memory.limits import usable_cpus
    from bitesize.training.record import machine, versions

    return {**machine(), "usable_processors": usable_cpus(), "versions": versions()}


def _limits() -> list[dict[str, Any]]:
    from bitesize.memory.limits import limits

    return [{"name": limit.name, "room": limit.room} for limit in limits()]


def _backend() -> dict[str, Any]:
    """Return the backend that Keras will use, with its devices; or why there is none."""
    from bitesize.errors import BitesizeError
    from bitesize.training.backend import choose_backend

    try:
        name = choose_backend()
    except BitesizeError as error:
        return {"name": None, "problem": str(error), "devices": []}
    try:
        return {"name": name, "problem": None, "devices": _devices(name)}
    except Exception as error:  # a broken installation raises anything
        return {"name": name, "problem": f"{type(error).__name__}: {error}", "devices": []}


def _devices(backend: str) -> list[str]:
    if backend == "torch":
        import torch

        return [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    if backend == "jax":
        import jax

        return [each.device_kind for each in jax.devices() if each.platform != "cpu"]
    import tensorflow

    return [each.name for each in tensorflow.config.list_physical_devices("GPU")]


def _disk(folder: str) -> dict[str, Any]:
    """Return the speed of writing and of reading a file, in bytes per second, and the free bytes."""
    import shutil

    found: dict[str, Any] = {"folder": folder, "free": shutil.disk_usage(folder).free, "write": None, "read": None}
    try:
        with tempfile.TemporaryFile(dir=folder, buffering=0) as file:
            block = os.urandom(_BLOCK)
            began = time.perf_counter()
            for _ in range(_DISK_NBYTES // _BLOCK):
                file.write(block)
            os.fsync(file.fileno())
            found["write"] = _DISK_NBYTES / (time.perf_counter() - began)
            if hasattr(os, "posix_fadvise"):  # elsewhere, the file would be read from memory
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
                file.seek(0)
                began = time.perf_counter()
                while file.read(_BLOCK):
                    pass
                found["read"] = _DISK_NBYTES / (time.perf_counter() - began)
    except OSError as error:
        found["problem"] = str(error)
    return found


def _extras() -> list[dict[str, Any]]:
    """Return for each extra its packages that are missing, and what it is for."""
    needs: dict[str, list[str]] = {name: [] for name in EXTRAS}
    for line in importlib.metadata.requires("bitesize") or ():
        extra = re.search(r"extra == ['\"]([\w-]+)['\"]", line)
        package = _NAME.match(line)
        if extra and package and extra[1] in needs:
            needs[extra[1]].append(package[0])
    return [
        {"name": name, "for": use, "missing": [each for each in needs[name] if not _is_there(each)]}
        for name, use in EXTRAS.items()
    ]


def _is_there(package: str) -> bool:
    try:
        importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        # Another build of the same package, such as tensorflow-cpu.
        return any(
            name.partition("-")[0] == package
            for names in importlib.metadata.packages_distributions().values()
            for name in names
        )
    return True


def _print(found: dict[str, Any]) -> None:
    from rich.table import Table

    from bitesize.memory.sizes import format_size
    from bitesize.packages import pip_install_extra

    machine, backend, disk = found["machine"], found["backend"], found["disk"]
    versions = machine["versions"]
    lines = [
        ["bitesize", f"{versions['bitesize']} on Python {versions['python']}, {machine['system']}"],
        ["processors", f"{machine['usable_processors']} usable of {machine['threads']}: {machine['processor']}"],
        ["memory", f"{format_size(machine['memory'])} in the machine"],
        *(["", f"{format_size(limit['room'])} left: {limit['name']}"] for limit in found["limits"]),
        ["Keras", backend["problem"] or f"{backend['name']}; {', '.join(backend['devices']) or 'no GPU'}"],
        [f"disk of {Path(disk['folder']).resolve()}", _of_disk(disk)],
    ]
    for name, text in lines:
        console.print(f"[bold]{plain(name):<12}[/] {plain(text)}", highlight=False, soft_wrap=True)
    console.print()
    table = Table("extra", "installed", "for", box=None, padding=(0, 2))
    for each in found["extras"]:
        table.add_row(each["name"], "no" if each["missing"] else "yes", each["for"])
    console.print_table(table)
    missing = [each["name"] for each in found["extras"] if each["missing"]]
    if missing:
        console.print(
            f"\nA missing extra is added with, for example, {plain(pip_install_extra(missing[0]))}", highlight=False
        )


def _of_disk(disk: dict[str, Any]) -> str:
    from bitesize.memory.sizes import format_size

    free = f"{format_size(disk['free'])} free"
    if "problem" in disk:
        return f"{free}; not measured: {disk['problem']}"
    read = "reading is not measured here" if disk["read"] is None else f"reads {format_size(int(disk['read']))}/s"
    return f"{free}, writes {format_size(int(disk['write']))}/s, {read}"
