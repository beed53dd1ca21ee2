"""Choose the Keras backend before Keras is imported."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from bitesize.errors import MissingPackage
from bitesize.packages import is_installed, pip_install

# In order of the time of a small convnet on 2 CPU cores: 13, 15 and 34 ms per row.
_PREFERRED = ("torch", "tensorflow", "jax")
# Keras writes this file itself and names TensorFlow even if it is not installed: it is not a choice of the user.
_UNTOUCHED = {"floatx": "float32", "epsilon": 1e-07, "backend": "tensorflow", "image_data_format": "channels_last"}


def choose_backend(feature: str = "training") -> str:
    """Return the backend that Keras will use, without loading Keras.

    The user's choice comes first: KERAS_BACKEND, or Keras's ``keras.json``. Otherwise the first installed package of torch,
    TensorFlow and JAX is used.

    Parameters
    ----------
    feature
        Name of the feature that needs Keras, for the error message.

    Raises
    ------
    MissingPackage
        If Keras, the chosen backend, or every backend is missing.
    """
    there = [name for name in _PREFERRED if is_installed(name)]
    if not is_installed("keras"):
        raise MissingPackage(f"{feature} needs Keras: {pip_install('keras', *([] if there else ['jax']))}")
    backend, origin = chosen_backend()
    if backend:
        if not is_installed(backend):
            raise MissingPackage(f"{origin} sets the Keras backend to {backend}, which is not installed")
        return backend
    if not there:
        raise MissingPackage(f"{feature} needs Keras, and Keras needs torch, tensorflow or jax: {pip_install('jax')}")
    return there[0]


def chosen_backend() -> tuple[str | None, str]:
    """Return the backend that the user chose, or None, and where: KERAS_BACKEND, or the path of Keras's ``keras.json``."""
    backend = os.environ.get("KERAS_BACKEND")
    return (backend, "KERAS_BACKEND") if backend else (_configured(), str(_config_path()))


def load_keras(feature: str = "training") -> Any:
    """Import Keras with the backend of `choose_backend`, which takes ``what``."""
    os.environ["KERAS_BACKEND"] = choose_backend(feature)
    # TensorFlow prints long messages about CPU features at import; errors are still shown.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    import keras

    return keras


def keras_home() -> Path:
    """Return the folder of Keras's settings, and of downloaded weights in ``models``."""
    home = os.environ.get("KERAS_HOME")
    return Path(home) if home else Path.home() / ".keras"


def _config_path() -> Path:
    return keras_home() / "keras.json"


def _configured() -> str | None:
    """Read the backend in ``keras.json``, unless it is the file that Keras writes when first imported."""
    try:
        config = json.loads(_config_path().read_text(encoding="utf-8"))
    except (OSError, ValueError):  # Keras also ignores a file that it cannot read
        return None
    backend = config.get("backend") if isinstance(config, dict) else None
    if config == _UNTOUCHED:
        return None
    return backend if isinstance(backend, str) else None
