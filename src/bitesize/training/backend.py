"""Which Keras backend is used, decided before Keras is imported."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from bitesize.errors import MissingPackage
from bitesize.packages import is_installed, pip_install

# By what a small convnet took on 2 CPU cores: 13, 15 and 34 ms a row.
_PREFERRED = ("torch", "tensorflow", "jax")
# Keras writes this file by itself, naming TensorFlow whether or not it is installed: so it is nobody's choice.
_UNTOUCHED = {"floatx": "float32", "epsilon": 1e-07, "backend": "tensorflow", "image_data_format": "channels_last"}


def choose_backend(what: str = "training") -> str:
    """Tell which backend Keras will run on, without loading it.

    What the user set counts: KERAS_BACKEND, or Keras's own ``keras.json``. Otherwise the first that is installed of torch,
    TensorFlow and JAX.

    Parameters
    ----------
    what
        What needs Keras, for the message where it is missing.

    Raises
    ------
    MissingPackage
        If Keras, every backend, or the one that was set is missing.
    """
    there = [name for name in _PREFERRED if is_installed(name)]
    if not is_installed("keras"):
        raise MissingPackage(f"{what} needs Keras: {pip_install('keras', *([] if there else ['jax']))}")
    backend, origin = os.environ.get("KERAS_BACKEND"), "KERAS_BACKEND"
    if not backend:
        backend, origin = _configured(), str(_config_path())
    if backend:
        if not is_installed(backend):
            raise MissingPackage(f"{origin} sets Keras's backend to {backend}, which is not installed")
        return backend
    if not there:
        raise MissingPackage(f"{what} needs Keras, and Keras needs torch, tensorflow or jax: {pip_install('jax')}")
    return there[0]


def load_keras(what: str = "training") -> Any:
    """Import Keras on the backend of `choose_backend`, which takes ``what``."""
    os.environ["KERAS_BACKEND"] = choose_backend(what)
    # TensorFlow prints pages about CPU features at import; errors still show.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    import keras

    return keras


def keras_home() -> Path:
    """Return the folder in which Keras keeps its settings, and weights that it downloads in ``models``."""
    home = os.environ.get("KERAS_HOME")
    return Path(home) if home else Path.home() / ".keras"


def _config_path() -> Path:
    return keras_home() / "keras.json"


def _configured() -> str | None:
    """Read the backend of ``keras.json``, unless the file is the one that Keras itself writes when first imported."""
    try:
        config = json.loads(_config_path().read_text(encoding="utf-8"))
    except (OSError, ValueError):  # Keras too goes on without a file that it cannot read
        return None
    backend = config.get("backend") if isinstance(config, dict) else None
    if config == _UNTOUCHED:
        return None
    return backend if isinstance(backend, str) else None
