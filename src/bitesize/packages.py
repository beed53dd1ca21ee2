"""Packages that are installed only by who needs them: the line that installs what is missing."""

from __future__ import annotations

import importlib.util

# What a package is called on PyPI, where that is another name than Python's.
_ON_PYPI = {"sklearn": "scikit-learn", "yaml": "pyyaml"}


def pip_install(*modules: str) -> str:
    """Return the command that installs those of some packages that are missing.

    Parameters
    ----------
    modules
        As they are imported.

    Returns
    -------
    str
        ``"pip install ..."``, with all of them where none is missing: then one is broken.

    Examples
    --------
    >>> pip_install("numpy", "a_package_that_is_missing")
    'pip install a_package_that_is_missing'
    """
    missing = [module for module in modules if not is_installed(module)]
    return "pip install " + " ".join(_ON_PYPI.get(module, module) for module in missing or modules)


def is_installed(module: str) -> bool:
    """Whether a package is there, without importing it."""
    return importlib.util.find_spec(module) is not None
