"""Create and check everything that training needs before it starts, so that errors are raised early."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitesize._version import __version__
from bitesize.engine.distributed import shard_of_this_process
from bitesize.engine.loader import Loader
from bitesize.errors import BadSetting
from bitesize.memory.budget import Budget
from bitesize.outputs.keras import batches_held, to_keras
from bitesize.sources.base import Source
from bitesize.sources.combine.with_fields import WithFields
from bitesize.training.backend import choose_backend, load_keras
from bitesize.training.checkpoint import Checkpoint
from bitesize.training.data import check_alike, open_data
from bitesize.training.epochs import choose_epochs
from bitesize.training.finite_rows import watch_rows
from bitesize.training.interrupted import Start
from bitesize.training.learning_rate import choose_cycle
from bitesize.training.model_output import Output, choose_output
from bitesize.training.models import (
    begins_with_scaling,
    build_model,
    check_model,
    choose_image_size,
    default_model,
    is_application,
    run_beside,
    scales_itself,
    understood_shape,
)
from bitesize.training.need import TrainingLoaders
from bitesize.training.phases import Phase, choose_phases
from bitesize.training.pretrained import expected_colors, repeats_gray
from bitesize.training.record import Split
from bitesize.training.run import RunFolder
from bitesize.training.settings import TrainSettings, geometry, parse_interval
from bitesize.training.user_model import is_file
from bitesize.training.values import (
    SETTING,
    Scaling,
    adapt_scaling,
    channels_of,
    choose_scaling,
    measure_values,
    saved_scaling,
)

# Parts of the config that a checkpoint records.
_NOTED = (
    "settings", "given", "folder", "fingerprints", "scaling", "values", "value_range", "learning_rate_from_step", "run", "started", "command",
    "versions", "machine", "sessions",
)  # fmt: skip
# Number of rows to inspect a model's outputs, if its layers do not determine their type.
_SAMPLE = 8
_UNLIMITED = 1 << 60  # bytes, to compute the need of a loader; this memory is never allocated


@dataclass
class Job:
    """Everything that training needs, created and checked before it starts."""

    settings: TrainSettings
    train: Source
    val: Source | None
    classes: tuple[str, ...]
    budget: Budget
    loader: Loader
    val_loader: Loader | None
    data: Any
    val_data: Any
    model: Any
    phases: list[Phase]
    run: RunFolder
    config: dict[str, Any]
    split: Split
    checkpoint: Checkpoint | None
    resuming: bool
    said: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    @property
    def described(self) -> str:
        """Description of the model."""
        backend = load_keras().backend.backend()
        return f"{self.settings.model} with {self.model.count_params():,} parameters on Keras/{backend}"

    def close(self) -> None:
        """Close the loaders."""
        self.loader.close()
        if self.val_loader is not None:
            self.val_loader.close()


def prepare(settings: TrainSettings, start: Start) -> Job:
    """Open the data, plan the memory and build the model; raise for all errors that can be found before training."""
    broken = start.broken
    backend = (
        choose_backend()
    )  # report missing packages first; Keras takes seconds to load, and is not needed for data that is refused
    check_model(settings.model, settings.weights)
    data = open_data(settings)
    train, val, classes = data.train, data.val, data.classes
    if val is not None:
        check_alike(train, val)
    if broken is not None:
        broken.check_classes(data.train, data.val, classes)
    settings, said = choose_image_size(settings, train.spec["x"])
    budget = Budget(settings.memory)
    # Before anything is measured, so that errors about the budget name the figure that is enough for the whole training.
    held = batches_held(backend)
    loaders = TrainingLoaders(settings, train, val, (), held)
    loaders.grow_or_refuse(batch_size := loaders.choose_batch_size(budget), budget)
    with loaders.measuring(batch_size, budget):
        train, val = watch_rows(train, val, settings.on_error, budget)
    shape = _shape(train, settings)
    settings, modeled = _with_model(settings, shape)
    keras = load_keras()
    keras.utils.set_random_seed(settings.seed % 2**32)
    model = build_model(settings.model, shape, len(classes), settings.weights, tunes=settings.tunes)
    refuse_ranks()
    said += [*modeled, *_about_model(settings, model, shape)]
    with loaders.measuring(batch_size, budget):
        scaling = broken.scaling if broken is not None else _scaling(settings, train, model, budget)
        output, measured = choose_output(model, settings.model, lambda: _sample(train, settings, scaling, budget))
        said += measured
        val_steps = scaling.steps
        if val is not None and (settings.val is not None or val.spec["x"] != train.spec["x"]):
            val_steps, differs = adapt_scaling(scaling.steps, scaling.values, measure_values(val, budget))
            said += [differs] if differs else []
    if settings.class_weights and train.weight_name is not None:
        train = weigh_by_class(train, len(classes), classes)

    loaders = TrainingLoaders(settings, train, val, scaling.steps, held, val_steps)
    settings = replace(settings, batch_size=(batch_size := loaders.choose_batch_size(budget)))
    loaders.grow_or_refuse(batch_size, budget)
    train_loader, val_loader = loaders.open(batch_size, budget)
    try:
        data_for_keras = _as_keras(train_loader)
        val_data = None if val_loader is None else _as_keras(val_loader)
        settings, chosen = choose_epochs(settings, len(train_loader), val is not None)
        cycle, line = choose_cycle(broken, model, settings, len(train_loader))
        said += line
        settings, phases, phased = choose_phases(settings, model, output, cycle, len(train_loader))
        evaluated = [*geometry(train, settings.image_size, False), *scaling.steps]
        split = Split(data.train, data.val)
        config = _config(keras, settings, train_loader, output, evaluated, scaling)
        config |= {**start.record(settings, split), "split": split.as_dict(), "learning_rate_from_step": cycle}
        checkpoint = _checkpoint(start.run, settings, config)
    except BaseException:
        train_loader.close()
        if val_loader is not None:
            val_loader.close()
        raise
    return Job(
        settings=settings,
        train=train,
        val=val,
        classes=classes,
        budget=budget,
        loader=train_loader,
        val_loader=val_loader,
        data=data_for_keras,
        val_data=val_data,
        model=model,
        phases=phases,
        run=start.run,
        config=config,
        split=split,
        checkpoint=checkpoint,
        resuming=broken is not None,
        said=[scaling.line, *said, *chosen, *phased],
        warnings=data.warnings,
    )


def refuse_ranks() -> None:
    """Raise if a model's file has set up several processes: each would train on all rows, and write the same folder."""
    shard = shard_of_this_process({})
    if shard.world_size > 1:
        raise BadSetting(
            f"bitesize train runs in one process, but torch.distributed or jax.distributed has set up {shard.world_size}. To train with "
            'several processes, use bs.Loader(shard="auto") in Python'
        )


def _with_model(settings: TrainSettings, shape: tuple[int, ...]) -> tuple[TrainSettings, list[str]]:
    """Choose the model if it is not given; return lines about rows that are used as images but could be something else."""
    said = []
    if settings.model == "auto":
        settings = replace(settings, model=default_model(shape))
        if settings.model != "cnn":
            said.append(f"model: {settings.model}, for rows of shape {shape} (--model changes this)")
    understood = understood_shape(settings.model, shape)
    if understood:
        said.append(f"{understood} (--model mlp takes any shape)")
    return settings, said


def _about_model(settings: TrainSettings, model: Any, shape: tuple[int, ...]) -> list[str]:
    """Return lines about adaptations of rows to the model, and about its loss and optimizer."""
    said = []
    if repeats_gray(shape, settings.weights):
        said.append(f"gray rows of shape {shape} are repeated to the 3 channels of pretrained weights")
    if getattr(model, "compiled", False):
        said.append("the model is compiled: its optimizer, loss and metrics are used, and --learning-rate is ignored")
    elif settings.model.endswith(".keras"):
        said.append(
            f"{settings.model}: training starts from its weights, with the optimizer, loss and metrics of bitesize train"
        )
    return said


def _colors(settings: TrainSettings, train: Source) -> NDArray[np.float64] | None:
    """Return the color matrix that the model expects for pixels of 0 to 255; None for models that take values of 0 to 1."""
    if not is_application(settings.model):
        return None
    if settings.weights is not None and channels_of(train.spec["x"]) == 1:
        return np.eye(3, 4)  # the model scales gray images after it has repeated them
    return expected_colors(settings.model)


def _shape(source: Source, settings: TrainSettings) -> tuple[int, ...]:
    """Return the shape of a row at the model's input."""
    steps = geometry(source, settings.image_size, augment=False)
    with Loader(source, batch_size=1, transforms=steps, memory=Budget(_UNLIMITED), dtype=np.float32) as probe:
        return probe.spec["x"].shape


def _sample(train: Source, settings: TrainSettings, scaling: Scaling, budget: Budget) -> NDArray[np.float32]:
    """Read the first rows with all transforms, one by one; rows that cannot be read are skipped."""
    steps = [*geometry(train, settings.image_size, augment=False), *scaling.steps]
    source = train.subset(np.arange(min(_SAMPLE, len(train))))
    with Loader(
        source,
        batch_size=1,
        transforms=steps,
        memory=budget,
        threads=1,
        shuffle=False,
        dtype=np.float32,
        on_error="skip",
        max_bad=1.0,
    ) as loader:
        found = [batch["x"].copy() for batch in loader if batch.mask.all()]
        return np.concatenate(found) if found else np.empty((0, *loader.spec["x"].shape), np.float32)


def _scaling(settings: TrainSettings, train: Source, model: Any, budget: Budget) -> Scaling:
    """Choose the scaling of values; for a saved model of an earlier run, use the scaling of that run."""
    values = measure_values(train, budget)
    earlier = run_beside(settings.model) if settings.model.endswith(".keras") else None
    if earlier is not None and settings.normalize == "model":
        steps, differs = adapt_scaling(*saved_scaling(earlier), values)
        return Scaling(steps, values, differs or f"values: {values}, scaled as in the run of {settings.model}")
    of_user = is_file(settings.model)
    expects_pixels = of_user or settings.model.endswith(".keras")
    if settings.normalize == "model" and expects_pixels and scales_itself(model):
        line = (
            f"values: {values}, taken as stored: the model has a layer of its own that scales them ({SETTING} changes this)"
        )
        return Scaling([], values, line)
    return choose_scaling(
        train,
        settings.normalize,
        _colors(settings, train),
        values,
        budget,
        standardize=settings.model == "mlp" or (of_user and not begins_with_scaling(model)),
        on_error=settings.on_error,
        max_bad=settings.max_bad,
    )


def _as_keras(loader: Loader) -> Any:
    """Create the dataset for Keras, with sample weights if the data has them."""
    return to_keras(loader, weights=loader.source.weight_name)


def weigh_by_class(train: Source, count: int, classes: tuple[str, ...]) -> Source:
    """Multiply sample weights by class weights: Keras takes only one of them."""
    name, labels = train.weight_name, train.labels
    assert name is not None
    assert labels is not None
    by_class = class_weights(labels, classes)
    factors = np.array([by_class[i] for i in range(count)])
    weighed = WithFields(train, {name: train.column(name) * factors[labels]}, train.classes, train.label_name or "y")
    weighed.choices, weighed.weight_name = train.choices, name
    return weighed


def class_weights(labels: NDArray[np.int64], classes: tuple[str, ...]) -> dict[int, float]:
    """Return weights with which all classes count equally.

    Raises
    ------
    BadSetting
        If a class has no rows.
    """
    counts = np.bincount(labels, minlength=len(classes))
    if not counts.all():
        name = classes[int(np.argmin(counts))]
        raise BadSetting(f"--class-weights: the class {name!r} has no training rows")
    return {i: float(len(labels) / (len(counts) * count)) for i, count in enumerate(counts)}


def _checkpoint(run: RunFolder, settings: TrainSettings, config: dict[str, Any]) -> Checkpoint | None:
    batches, minutes = parse_interval(settings.checkpoint_every)
    if batches == 0:
        return None
    # Absolute paths, so that a run can be resumed from any directory.
    extra = {name: config[name] for name in _NOTED}
    return Checkpoint(run.checkpoints, every_batches=batches, every_minutes=minutes, extra=extra)


def _config(
    keras: Any, settings: TrainSettings, loader: Loader, output: Output, transforms: list[Any], scaling: Scaling
) -> dict[str, Any]:
    shape = loader.spec["x"].shape
    return {
        "bitesize": __version__,
        "keras": keras.__version__,
        "backend": keras.backend.backend(),
        "settings": settings.as_dict(),
        "input_shape": list(shape),
        "output": output,
        "transforms": [transform.to_dict() for transform in transforms],
        "scaling": [step.to_dict() for step in scaling.steps],
        "values": scaling.line,
        "value_range": scaling.values.as_dict(),
        "features": None if loader.source.feature_names is None else list(loader.source.feature_names),
        "train_transforms": [transform.to_dict() for transform in loader.transforms],
        "fingerprint": loader.source.fingerprint(),
    }
