"""Train scikit-learn classifiers batch by batch: ``--model sklearn:SGDClassifier``."""

from __future__ import annotations

import difflib
import inspect
import time
import warnings
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from bitesize._version import __version__
from bitesize.engine.loader import Loader
from bitesize.errors import BadFile, BadSetting, MissingPackage, NotFinite
from bitesize.memory.budget import Budget
from bitesize.outputs.finite import refusal
from bitesize.outputs.sklearn import Progress, partial_fit
from bitesize.packages import pip_install
from bitesize.sources.base import Source
from bitesize.spec import Encoded
from bitesize.training.classes import largest_class
from bitesize.training.data import check_alike, open_data
from bitesize.training.epochs import choose_epochs
from bitesize.training.finite_rows import watch_rows
from bitesize.training.interrupted import Start
from bitesize.training.loop import ProgressListener
from bitesize.training.record import Split, now
from bitesize.training.run import RunFolder
from bitesize.training.score import evaluate, log_probabilities
from bitesize.training.settings import TrainSettings, geometry
from bitesize.training.values import Scaling, adapt_scaling, choose_scaling, measure_values

_PREFIX = "sklearn:"
# Default image size for an estimator: few enough numbers for a linear model to learn from in minutes.
_IMAGE_SIZE = 32


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


@dataclass
class EstimatorJob:
    """Everything needed to train an estimator, created and checked before training starts."""

    settings: TrainSettings
    train: Source
    val: Source | None
    classes: tuple[str, ...]
    budget: Budget
    loader: Loader
    val_loader: Loader | None
    model: Any
    run: RunFolder
    config: dict[str, Any]
    split: Split
    checkpoint: None = None
    resuming: bool = False
    said: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    @property
    def described(self) -> str:
        """Description of the model."""
        return f"{self.settings.model} on {int(np.prod(self.loader.spec['x'].shape)):,} numbers per row"

    def close(self) -> None:
        """Close the loaders."""
        self.loader.close()
        if self.val_loader is not None:
            self.val_loader.close()


def prepare_estimator(settings: TrainSettings, start: Start) -> EstimatorJob:
    """Open the data, plan the memory and create the estimator; raise for all errors that can be found before training."""
    default = TrainSettings(settings.data)
    for name in ("checkpoint_every", "weights", "class_weights", "early_stopping", "learning_rate"):
        if getattr(settings, name) != getattr(default, name):
            raise BadSetting(f"--{name.replace('_', '-')} is for Keras models, but --model is {settings.model}")
    if settings.batch_size == "auto":
        raise BadSetting(f"--batch-size auto is for Keras models, but --model is {settings.model}: use a number")
    model = build_estimator(settings.model, settings.seed)
    data = open_data(settings)
    train, val, classes = data.train, data.val, data.classes
    if val is not None:
        check_alike(train, val)
    if settings.image_size is None and isinstance(train.spec["x"], Encoded):
        settings = replace(settings, image_size=_IMAGE_SIZE)
    budget = Budget(settings.memory)
    train, val = watch_rows(train, val, settings.on_error, budget)
    scaling = _scaling(settings, train, budget)
    evaluated = [*geometry(train, settings.image_size, False), *scaling.steps]
    said, val_steps = [scaling.line], evaluated
    if val is not None and (settings.val is not None or val.spec["x"] != train.spec["x"]):
        steps, differs = adapt_scaling(scaling.steps, scaling.values, measure_values(val, budget))
        val_steps = [*geometry(val, settings.image_size, False), *steps]
        said += [differs] if differs else []
    if train.weight_name is not None and "sample_weight" not in inspect.signature(model.partial_fit).parameters:
        said.append(
            f"warning: the sample weights {train.weight_name!r} are not used: {settings.model} does not take sample weights"
        )

    def loader(source: Source, *, training: bool) -> Loader:
        """Create a loader with the settings of the run."""
        assert settings.batch_size != "auto"
        return Loader(
            source,
            batch_size=settings.batch_size,
            transforms=[*geometry(source, settings.image_size, settings.augment), *scaling.steps] if training else val_steps,
            memory=budget,
            shuffle=training,
            seed=settings.seed,
            last="short" if training else "pad",
            dtype=np.float32,
            on_error=settings.on_error,
            max_bad=settings.max_bad,
        )

    val_loader = None if val is None else loader(val, training=False)
    try:
        train_loader = loader(train, training=True)
    except BaseException:
        if val_loader is not None:
            val_loader.close()
        raise
    settings, chosen = choose_epochs(settings, len(train_loader), validates=False)
    split = Split(data.train, data.val)
    config = _config(settings, train_loader, evaluated, scaling)
    config |= {**start.record(settings, split), "split": split.as_dict()}
    return EstimatorJob(
        settings=settings,
        train=train,
        val=val,
        classes=classes,
        budget=budget,
        loader=train_loader,
        val_loader=val_loader,
        model=model,
        run=start.run,
        config=config,
        split=split,
        said=[*said, *chosen],
        warnings=data.warnings,
    )


def _scaling(settings: TrainSettings, train: Source, budget: Budget) -> Scaling:
    """Choose the scaling of values."""
    return choose_scaling(
        train,
        settings.normalize,
        None,
        measure_values(train, budget),
        budget,
        nonnegative=takes_only_counts(settings.model),
        on_error=settings.on_error,
        max_bad=settings.max_bad,
    )


def _config(settings: TrainSettings, loader: Loader, evaluated: list[Any], scaling: Scaling) -> dict[str, Any]:
    import sklearn

    return {
        "bitesize": __version__,
        "sklearn": sklearn.__version__,
        "settings": settings.as_dict(),
        "input_shape": list(loader.spec["x"].shape),
        "output": "probabilities",
        "transforms": [transform.to_dict() for transform in evaluated],
        "scaling": [step.to_dict() for step in scaling.steps],
        "values": scaling.line,
        "value_range": scaling.values.as_dict(),
        "features": None if loader.source.feature_names is None else list(loader.source.feature_names),
        "train_transforms": [transform.to_dict() for transform in loader.transforms],
        "fingerprint": loader.source.fingerprint(),
    }


def train_estimator(job: EstimatorJob, watcher: ProgressListener) -> dict[str, Any]:
    """Train, and save the model and the history after each epoch; return the same as `training.loop.train`."""
    watcher.planned(job)
    began = time.perf_counter()
    epochs: list[dict[str, Any]] = []
    learning = 0.0
    assert job.settings.epochs != "auto"
    for epoch in range(job.settings.epochs):
        begun = time.perf_counter()

        def batch(done: Progress, epoch: int = epoch) -> None:
            watcher.batch(epoch, done.batch, {})

        partial_fit(job.model, job.loader, epochs=1, callback=batch, classes=np.arange(len(job.classes)))
        seconds = time.perf_counter() - begun
        learning += seconds
        line: dict[str, Any] = {"epoch": epoch + 1}
        if job.val_loader is not None:
            try:
                line |= _validated(job)
            except NotFinite as error:
                if error.rows:  # the epoch is done: the error is in the validation data
                    _save(job, epoch)
                raise
        _refuse_not_finite(job.model, line)
        line["seconds"] = round(time.perf_counter() - begun, 3)
        line["rows_per_second"] = round(job.loader.order.length / max(seconds, 1e-9), 1)
        epochs.append(line)
        _save(job, epoch)
        job.run.write_history(epochs)
        job.run.write_bad(_bad_rows(job))
        watcher.epoch(line)
    result = {
        "run": job.config["run"],
        "planned_epochs": job.settings.epochs,
        "epochs": epochs,
        "rows_per_second": round(job.loader.order.length * len(epochs) / max(learning, 1e-9), 1),
        "peak_bytes": job.budget.peak,
        "budget": job.budget.total,
        "seconds": round(time.perf_counter() - began, 3),
        "bad_rows": len(_bad_rows(job)),
        "best_epoch": None,
        "largest_class": largest_class(job.val, job.classes),
    }
    job.run.write_config(job.config | {"ended": now()}, job.classes)
    job.run.write_summary(result)
    return result


def _save(job: EstimatorJob, epoch: int) -> None:
    """Save the model after an epoch, from 0."""
    if epoch:
        job.run.save_model(job.model)
    else:
        job.run.begin(job.model, job.config, job.classes, split=job.split)


def _refuse_not_finite(model: Any, line: dict[str, Any]) -> None:
    """Raise if an estimator has NaN weights, or its validation loss is not finite."""
    for name, value in vars(model).items():
        arrays = value if isinstance(value, list) else [value]
        if any(isinstance(each, np.ndarray) and each.dtype.kind == "f" and np.isnan(each).any() for each in arrays):
            raise NotFinite(
                f"{name} of {type(model).__name__} has values that are NaN after epoch {line['epoch']}: training diverged"
            )
    loss = line.get("val_loss", 0.0)
    if not np.isfinite(loss):
        raise NotFinite(
            f"val_loss is {loss:g} after epoch {line['epoch']}: use bitesize check to find NaN in the validation data"
        )


def _validated(job: EstimatorJob) -> dict[str, float]:
    """Measure loss and accuracy on the validation data."""
    assert job.val_loader is not None
    model = EstimatorModel(job.model)

    def batches() -> Any:
        """Yield the rows of each batch without padding, with their labels and probabilities."""
        assert job.val_loader is not None
        for batch in job.val_loader:
            real = int((batch.rows >= 0).sum())
            log_p = log_probabilities(model.predict_on_batch(batch["x"])[:real], "probabilities")
            yield batch.rows[:real], batch.mask[:real], batch["y"][:real].copy(), log_p

    try:
        found = evaluate(job.classes, batches())
    except ValueError as error:
        if (odd := refusal(job.val_loader, (0, 0), len(job.val_loader), error)) is not None:
            raise odd from error
        raise
    return {"val_loss": round(found["loss"], 6), "val_accuracy": round(found["accuracy"], 6)}


def _bad_rows(job: EstimatorJob) -> list[tuple[Any, ...]]:
    parts = (("training", job.loader), ("validation", job.val_loader))
    return [(name, *bad) for name, loader in parts if loader is not None for bad in loader.bad]


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
