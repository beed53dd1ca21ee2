"""The scikit-learn classifiers that can be trained batch by batch: ``--model sklearn:SGDClassifier``."""

from __future__ import annotations

import difflib
import inspect
import warnings
from typing import Any

from bitesize.errors import BadSetting, MissingPackage
from bitesize.packages import pip_install

_PREFIX = "sklearn:"
# Classifiers that learn nothing from pixels between 0 and 1: they take categories, or binary values.
_OF_OTHER_VALUES = frozenset(("BernoulliNB", "CategoricalNB"))
# Classifiers that do not take values below 0.
_OF_COUNTS = frozenset(("ComplementNB", "MultinomialNB"))


def is_estimator(model: str) -> bool:
    """Return whether a model's name is that of a scikit-learn estimator."""
    return model.startswith(_PREFIX)


def takes_only_counts(model: str) -> bool:
    """Return whether a model's name is that of an estimator that does not take values below 0."""
    return model.removeprefix(_PREFIX) in _OF_COUNTS


def build_estimator(name: str, seed: int) -> Any:
    """Create an unfitted classifier.

    Parameters
    ----------
    name
        ``"sklearn:"`` and the name of a classifier with ``partial_fit`` and probabilities.
    seed
        Random state of the classifier, if it has one.

    Raises
    ------
    MissingPackage
        If scikit-learn is not installed.
    BadSetting
        If the classifier does not exist, or cannot be used.
    """
    try:
        import skops.io  # noqa: F401 - saves the model: its absence must be found before training
        from sklearn.utils import all_estimators
    except ImportError as error:
        raise MissingPackage(f"--model {name} needs scikit-learn and skops: {pip_install('sklearn', 'skops')}") from error
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # warnings of scikit-learn about deprecated names in its list
        known = {one: kind for one, kind in all_estimators("classifier") if hasattr(kind, "partial_fit")}
        made = {one: _made(kind, seed) for one, kind in known.items() if _needs_nothing(kind)}
    fitting = sorted(
        one for one, estimator in made.items() if hasattr(estimator, "predict_proba") and one not in _OF_OTHER_VALUES
    )
    short = name.removeprefix(_PREFIX)
    if short not in fitting:
        near = difflib.get_close_matches(short.lower(), [one.lower() for one in fitting], 1, 0.6)
        meant = next((f"; did you mean {_PREFIX}{one}?" for one in fitting if [one.lower()] == near), ".")
        raise BadSetting(
            f"unknown model {name!r}{meant} Usable classifiers of scikit-learn, with partial_fit and probabilities: {', '.join(fitting)}"
        )
    return made[short]


def _needs_nothing(kind: type[Any]) -> bool:
    parameters = list(inspect.signature(kind).parameters.values())
    return all(parameter.default is not inspect.Parameter.empty for parameter in parameters)


def _made(kind: type[Any], seed: int) -> Any:
    takes = inspect.signature(kind).parameters
    settings: dict[str, Any] = {"random_state": seed % 2**32} if "random_state" in takes else {}
    if kind.__name__ == "SGDClassifier":
        settings["loss"] = "log_loss"  # its default loss gives no probabilities
    return kind(**settings)
