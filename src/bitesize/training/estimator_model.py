"""Saved scikit-learn estimators, with the interface of a model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from bitesize.errors import BadFile, MissingPackage
from bitesize.packages import pip_install


class EstimatorModel:
    """Fitted estimator with the interface that `Scorer` needs."""

    def __init__(self, estimator: Any) -> None:
        self.estimator = estimator

    def predict_on_batch(self, x: Any) -> Any:
        """Return the probability of each class."""
        return np.asarray(self.estimator.predict_proba(x.reshape(len(x), -1)), np.float64)


def load_estimator(path: Path) -> EstimatorModel:
    """Load the saved estimator of a run.

    Raises
    ------
    BadFile
        If the file is damaged, or contains types that are not scikit-learn's.
    MissingPackage
        If skops is not installed.
    """
    try:
        import skops.io
    except ImportError as error:
        raise MissingPackage(f"{path} needs scikit-learn and skops: {pip_install('sklearn', 'skops')}") from error
    try:
        foreign = skops.io.get_untrusted_types(file=path)
        strange = [name for name in foreign if not name.startswith("sklearn.")]
        if strange:
            raise BadFile(f"{path} contains types that are not scikit-learn's: {', '.join(strange[:5])}")
        return EstimatorModel(skops.io.load(path, trusted=foreign))
    except BadFile:
        raise
    except Exception as error:  # skops raises many types of errors for damaged files
        raise BadFile(f"{path} cannot be loaded: {error}") from error
