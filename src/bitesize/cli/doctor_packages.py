"""Packages for `bitesize doctor`: what is missing, what is too old, and what it is for."""

from __future__ import annotations

import functools
import importlib.metadata
from typing import Any

from packaging.requirements import Requirement

# What each extra is for.
EXTRAS = {
    "keras": "train, evaluate and predict with Keras on JAX",
    "torch": "the same with PyTorch, on a CPU the fastest backend",
    "tensorflow": "the same with TensorFlow",
    "sklearn": "models of scikit-learn: --model sklearn:SGDClassifier",
    "hdf5": "HDF5 files",
    "zarr": "Zarr arrays",
    "parquet": "Parquet and Feather files, and tables of numbers (CSV)",
    "huggingface": "datasets of Hugging Face",
    "tiff": "TIFF of many bands, floats, tiles and pages; 16-bit color PNG",
    "dicom": "DICOM images and series",
    "nifti": "NIfTI volumes",
    "heic": "HEIC images",
    "remote": "data in S3, GCS, Azure and on web servers",
    "aws": "profiles of AWS with roles or single sign-on",
    "ray": "several processes and machines: --workers",
    "tensorboard": "figures of training in TensorBoard: --log tensorboard",
    "mlflow": "figures of training in MLflow: --log mlflow",
    "wandb": "figures of training in Weights & Biases: --log wandb",
    "prometheus": "the present figures of training for Prometheus: --prometheus",
}


def extras() -> list[dict[str, Any]]:
    """Return for each extra what it is for, and its packages that are missing or too old; empty if bitesize is not installed as a package."""
    needs: dict[str, list[Requirement]] = {}
    for extra, requirement in _requirements():
        if extra in EXTRAS:
            needs.setdefault(extra, []).append(requirement)
    return [
        {
            "name": name,
            "for": EXTRAS[name],
            "missing": [each.name for each in needs[name] if version_of(each.name) is None],
            "old": [line for each in needs[name] if (line := _too_old(each))],
        }
        for name in EXTRAS
        if name in needs
    ]


def problems_of_packages() -> list[str]:
    """Return a line for each package that is installed, but older than bitesize, or one of its extras, needs."""
    lines = dict.fromkeys(_too_old(requirement) for extra, requirement in _requirements() if extra in (None, *EXTRAS))
    return [f"{line}: pip install --upgrade {line.split()[0]}" for line in lines if line]


def version_of(package: str) -> str | None:
    """Return the version of an installed package, or of another build of it, such as tensorflow-cpu; None if it is not installed."""
    for name in (package, *_other_builds(package)):
        try:
            return importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return None


def _other_builds(package: str) -> list[str]:
    return [name for name in _modules().get(package, ()) if name.partition("-")[0] == package]


@functools.cache
def _modules() -> dict[str, list[str]]:
    return dict(importlib.metadata.packages_distributions())


def _requirements() -> list[tuple[str | None, Requirement]]:
    """Return the requirements of bitesize that apply here, each with its extra."""
    try:
        lines = importlib.metadata.requires("bitesize") or []
        names = importlib.metadata.metadata("bitesize").get_all("Provides-Extra") or []
    except importlib.metadata.PackageNotFoundError:
        return []
    found: list[tuple[str | None, Requirement]] = []
    for requirement in map(Requirement, lines):
        marker = requirement.marker
        if marker is None or marker.evaluate({"extra": ""}):
            found.append((None, requirement))
        else:
            found += [(name, requirement) for name in names if marker.evaluate({"extra": name})]
    return found


def _too_old(requirement: Requirement) -> str | None:
    """Return a line if a package is installed in a version that does not do."""
    version = version_of(requirement.name)
    if version is None or requirement.specifier.contains(version, prereleases=True):
        return None
    return f"{requirement.name} {version} is installed, but bitesize needs {requirement.name}{requirement.specifier}"
