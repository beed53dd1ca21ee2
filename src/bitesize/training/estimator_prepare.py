"""Create and check everything that the training of an estimator needs before it starts; see `prepare` for Keras models."""

from __future__ import annotations

import inspect
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from bitesize._version import __version__
from bitesize.engine.loader import Loader
from bitesize.errors import BadSetting
from bitesize.memory.budget import Budget
from bitesize.sources.base import Source
from bitesize.spec import Encoded
from bitesize.training.adapting import described_rows
from bitesize.training.data import check_alike, open_data
from bitesize.training.epochs import choose_epochs
from bitesize.training.estimators import build_estimator, takes_only_counts
from bitesize.training.finite_rows import watch_rows
from bitesize.training.interrupted import Start
from bitesize.training.job import PreparedData
from bitesize.training.record import Split
from bitesize.training.run import RunFolder
from bitesize.training.run_log.trackers import check_trackers
from bitesize.training.settings import TrainSettings, geometry
from bitesize.training.values import Scaling, adapt_scaling, choose_scaling, measure_values

# Default image size for an estimator: few enough numbers for a linear model to learn from in minutes.
_IMAGE_SIZE = 32


@dataclass
class EstimatorJob(PreparedData):
    """Everything needed to train an estimator, created and checked before training starts."""

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


def prepare_estimator(settings: TrainSettings, start: Start) -> EstimatorJob:
    """Open the data, plan the memory and create the estimator; raise for all errors that can be found before training."""
    _refuse_options_of_keras(settings)
    trackers = check_trackers(settings)
    model = build_estimator(settings.model, settings.seed)
    data = open_data(settings)
    data.task.check_model(settings.model)
    train, val = data.train, data.val
    if val is not None:
        check_alike(train, val)
    if settings.image_size is None and isinstance(train.spec["x"], Encoded):
        settings = replace(settings, image_size=_IMAGE_SIZE)
    budget = Budget(settings.memory)
    train, val = watch_rows(train, val, settings.on_error, budget)
    scaling = _scaling(settings, train, budget)
    evaluated = [*geometry(train, settings.image_size, False), *scaling.steps]
    lines, val_steps = [scaling.line, *trackers], evaluated
    if val is not None and (settings.val is not None or val.spec["x"] != train.spec["x"]):
        steps, differs = adapt_scaling(scaling.steps, scaling.values, measure_values(val, budget))
        val_steps = [*geometry(val, settings.image_size, False), *steps]
        lines += [differs] if differs else []
    lines += _about_weights(settings, train, model)
    val_loader = None if val is None else _open_loader(settings, val, val_steps, budget, training=False)
    try:
        train_steps = [*geometry(train, settings.image_size, settings.augment), *scaling.steps]
        train_loader = _open_loader(settings, train, train_steps, budget, training=True)
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
        task=data.task,
        train=train,
        val=val,
        budget=budget,
        loader=train_loader,
        val_loader=val_loader,
        model=model,
        run=start.run,
        config=config,
        split=split,
        said=[*lines, *chosen],
        warnings=data.warnings,
    )


def _open_loader(settings: TrainSettings, source: Source, steps: list[Any], budget: Budget, *, training: bool) -> Loader:
    """Create a loader with the settings of the run."""
    assert settings.batch_size != "auto"
    return Loader(
        source,
        batch_size=settings.batch_size,
        transforms=steps,
        memory=budget,
        shuffle=training,
        seed=settings.seed,
        last="short" if training else "pad",
        dtype=np.float32,
        on_error=settings.on_error,
        max_bad=settings.max_bad,
        cache=settings.caching,
    )


def _refuse_options_of_keras(settings: TrainSettings) -> None:
    """Raise for options that estimators do not have."""
    default = TrainSettings(settings.data)
    for name in ("checkpoint_every", "weights", "class_weights", "loss", "early_stopping", "learning_rate"):
        if getattr(settings, name) != getattr(default, name):
            raise BadSetting(f"--{name.replace('_', '-')} is for Keras models, but --model is {settings.model}")
    if settings.batch_size == "auto":
        raise BadSetting(f"--batch-size auto is for Keras models, but --model is {settings.model}: use a number")


def _about_weights(settings: TrainSettings, train: Source, model: Any) -> list[str]:
    """Return a warning if the data has sample weights, and the estimator does not take them."""
    if train.weight_name is None or "sample_weight" in inspect.signature(model.partial_fit).parameters:
        return []
    return [f"warning: the sample weights {train.weight_name!r} are not used: {settings.model} does not take sample weights"]


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
        "task": {"name": "classify"},
        "input_shape": list(loader.spec["x"].shape),
        **described_rows(loader.source),
        "output": "probabilities",
        "transforms": [transform.to_dict() for transform in evaluated],
        "scaling": [step.to_dict() for step in scaling.steps],
        "values": scaling.line,
        "value_range": scaling.values.as_dict(),
        "features": None if loader.source.feature_names is None else list(loader.source.feature_names),
        "train_transforms": [transform.to_dict() for transform in loader.transforms],
        "fingerprint": loader.source.fingerprint(),
    }
