"""Optional packages: the command that installs the missing ones."""

from __future__ import annotations

import importlib.util

# Names on PyPI that differ from the import names.
_ON_PYPI = {"sklearn": "scikit-learn"}
# Packages that an extra of bitesize installs, with others that go with them.
_EXTRAS = {
    "nibabel": "nifti",
    "pydicom": "dicom",
    "pillow_heif": "heic",
    "tensorboardX": "tensorboard",
    "mlflow": "mlflow",
    "wandb": "wandb",
    "prometheus_client": "prometheus",
}


def pip_install(*modules: str) -> str:
    """Return the command that installs missing packages.

    Parameters
    ----------
    modules
        Import names.

    Returns
    -------
    str
        ``"pip install ..."`` with the missing packages, or with all packages if none is missing (an installed one is then broken).

    Examples
    --------
    >>> pip_install("numpy", "a_package_that_is_missing")
    'pip install a_package_that_is_missing'
    """
    missing = [module for module in modules if not is_installed(module)]
    return "pip install " + " ".join(map(_requirement, missing or modules))


def _requirement(module: str) -> str:
    return f'"bitesize[{_EXTRAS[module]}]"' if module in _EXTRAS else _ON_PYPI.get(module, module)


def is_installed(module: str) -> bool:
    """Return whether a package is installed, without importing it."""
    return importlib.util.find_spec(module) is not None


def pip_install_extra(extra: str) -> str:
    """Return the command that installs an extra of bitesize.

    Examples
    --------
    >>> pip_install_extra("tiff")
    'pip install "bitesize[tiff]"'
    """
    return f'pip install "bitesize[{extra}]"'
