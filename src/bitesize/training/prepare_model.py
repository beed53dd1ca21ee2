"""Build the model of a training, and choose how rows are adapted to it: shape, scaling of values, type of its output."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitesize.engine.distributed import shard_of_this_process
from bitesize.engine.loader import Loader
from bitesize.errors import BadSetting
from bitesize.memory.budget import Budget
from bitesize.sources.base import Source
from bitesize.spec import Field
from bitesize.training.backend import load_keras
from bitesize.training.data import RunData
from bitesize.training.finite_rows import watch_rows
from bitesize.training.footprint import refuse_too_large
from bitesize.training.interrupted import InterruptedRun
from bitesize.training.model_output import choose_output
from bitesize.training.models import (
    begins_with_scaling,
    build_model,
    default_model,
    is_application,
    run_beside,
    scales_itself,
    understood_shape,
)
from bitesize.training.need import TrainingLoaders
from bitesize.training.pretrained import expected_colors, repeats_gray
from bitesize.training.ranks import Ranks
from bitesize.training.settings import TrainSettings, geometry
from bitesize.training.tasks.base import Output, Task
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
from bitesize.training.volume_cnn import takes_volumes

# Number of rows to inspect a model's outputs, if its layers do not determine their type.
_SAMPLE = 8
_UNLIMITED = 1 << 60  # bytes, to compute the need of a loader; this memory is never allocated


@dataclass(frozen=True)
class PreparedModel:
    """A model, and how rows are adapted to it.

    Attributes
    ----------
    settings : TrainSettings
        With the model that was chosen.
    train, val : Source
        Sources whose values are checked while they are read.
    model : keras.Model
    output : Output
    scaling : Scaling
        Scaling of values.
    val_steps : list of Step
        Scaling of the values of the validation data.
    lines : list of str
        Lines to print.
    """

    settings: TrainSettings
    train: Source
    val: Source | None
    model: Any
    output: Output
    scaling: Scaling
    val_steps: list[Any]
    lines: list[str]


def prepare_model(
    settings: TrainSettings, data: RunData, resumed: InterruptedRun | None, budget: Budget, held: int, ranks: Ranks
) -> PreparedModel:
    """Check the memory of the whole training, and build its model.

    Parameters
    ----------
    settings, data
        Settings of the run, and its opened data.
    resumed
        Run to resume, whose scaling is used; None to train from scratch.
    budget
        Memory budget.
    held
        Number of batches that Keras holds.
    ranks
        The processes that train together. What is measured is measured by rank 0.
    """
    train, val = data.train, data.val
    # Before anything is measured, so that errors about the budget name the figure that is enough for the whole training.
    loaders = TrainingLoaders(settings, train, val, (), held, shard=ranks.shard)
    batch_size = min(ranks.collect(loaders.choose_batch_size(budget)))
    ranks.together(lambda: loaders.grow_or_refuse(batch_size, budget))
    with loaders.measuring(batch_size, budget):
        train, val = watch_rows(train, val, settings.on_error, budget)
    field = _field(train, settings)
    shape = field.shape
    settings, lines = _with_model(settings, field, data.task)
    build = partial(_build, settings, field, data.task)
    model = ranks.together(build)
    refuse_other_ranks(ranks)
    if takes_volumes(shape, field.axes):
        rows, loading = -(-batch_size // ranks.shard.world_size), loaders.need(batch_size, budget.total)
        ranks.together(lambda: refuse_too_large(model, shape, rows, loading))
    lines += _about_model(settings, model, shape)
    with loaders.measuring(batch_size, budget):
        scaling = (
            resumed.scaling
            if resumed is not None
            else _scaling_of_first(ranks, lambda: _scaling(settings, train, model, budget))
        )
        output, measured = ranks.of_first(
            lambda: choose_output(model, settings.model, lambda: _sample(train, settings, scaling, budget), data.task)
        )
        lines += measured
        val_steps = scaling.steps
        if val is not None and (settings.val is not None or val.spec["x"] != train.spec["x"]):
            measured_val = ranks.of_first(lambda: measure_values(val, budget))
            val_steps, differs = adapt_scaling(scaling.steps, scaling.values, measured_val)
            lines += [differs] if differs else []
    if ranks.distribute():
        weights, model = model.get_weights(), build()
        model.set_weights(weights)
    return PreparedModel(settings, train, val, model, output, scaling, val_steps, lines)


def _build(settings: TrainSettings, field: Field, task: Task) -> Any:
    """Build the model, with the same weights each time."""
    load_keras().utils.set_random_seed(settings.seed % 2**32)
    model = build_model(settings.model, field.shape, task, settings.weights, tunes=settings.tunes, axes=field.axes)
    if getattr(model, "compiled", False):
        _refuse_settings_of_loss(settings, task)
    return model


def _refuse_settings_of_loss(settings: TrainSettings, task: Task) -> None:
    """Raise for settings of the loss of bitesize, which a model that is compiled with its own loss would ignore."""
    ignored = [("--loss", f" {settings.loss}", settings.loss != "auto")]
    ignored += [("--class-weights", "", settings.class_weights and task.weights_in_loss)]
    for option, value, given in ignored:
        if given:
            raise BadSetting(
                f"{option}{value} is for the loss that bitesize chooses, but the model {settings.model} is compiled with its own, which would ignore "
                f"it: leave compile out of the model, or drop {option}"
            )


def refuse_other_ranks(ranks: Ranks) -> None:
    """Raise if a model's file has set up several processes: each would train on all rows, and write the same folder."""
    shard = shard_of_this_process({})
    if shard.world_size != ranks.shard.world_size:
        raise BadSetting(
            f"the file of the model has set up {shard.world_size} processes by torch.distributed or jax.distributed, after bitesize train has "
            f"started with {ranks.shard.world_size}: start it with torchrun, or use --workers"
        )


def _with_model(settings: TrainSettings, field: Field, task: Task) -> tuple[TrainSettings, list[str]]:
    """Choose the model if it is not given; return lines about rows that are used as images but could be something else."""
    said, shape = [], field.shape
    if settings.model == "auto":
        settings = replace(settings, model=task.default_model(shape) or default_model(shape, field.axes))
        if settings.model != "cnn":
            said.append(f"model: {settings.model}, for rows of shape {shape} (--model changes this)")
    understood = understood_shape(settings.model, shape, field.axes)
    if understood:
        said.append(understood if settings.model == "unet" else f"{understood} (--model mlp takes any shape)")
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


def _field(source: Source, settings: TrainSettings) -> Field:
    """Return shape and axes of a row at the model's input."""
    steps = geometry(source, settings.image_size, augment=False)
    with Loader(source, batch_size=1, transforms=steps, memory=Budget(_UNLIMITED), dtype=np.float32) as probe:
        return probe.spec["x"]


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


def _scaling_of_first(ranks: Ranks, choose: Callable[[], Scaling]) -> Scaling:
    """Return the scaling that rank 0 chooses. It is sent as in checkpoints, because it may have functions."""
    if not ranks.several:
        return choose()

    def first() -> dict[str, Any]:
        """Return the scaling as in checkpoints."""
        scaling = choose()
        steps = [step.to_dict() for step in scaling.steps]
        return {"scaling": steps, "value_range": scaling.values.as_dict(), "values": scaling.line}

    sent = ranks.of_first(first)
    return Scaling(*saved_scaling(sent), sent["values"])


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
