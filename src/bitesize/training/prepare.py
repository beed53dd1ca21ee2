"""Everything that training needs, made and checked before it starts: what can be refused is refused here."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from bitesize.engine.loader import Loader
from bitesize.errors import BadSetting
from bitesize.memory.budget import Budget
from bitesize.outputs.keras import batches_held, to_keras
from bitesize.sources.base import Source
from bitesize.sources.opening import open_to_train
from bitesize.sources.splits import InParts, part_of
from bitesize.spec import Encoded
from bitesize.training.backend import load_keras
from bitesize.training.checkpoint import Checkpoint
from bitesize.training.models import build_model, input_scaling, outputs_probabilities, saved_image_size
from bitesize.training.need import TrainingLoaders
from bitesize.training.resume import Broken
from bitesize.training.run import RunFolder
from bitesize.training.settings import TrainSettings, geometry, is_whole, parse_interval
from bitesize.transforms.colour import Normalize

# The share of all steps in which the learning rate rises from 0; then it falls along a cosine to 0.
_WARM_UP = 0.1
_WEIGHT_DECAY = 0.05


@dataclass
class Job:
    """Everything that training needs, made and checked before it starts."""

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
    run: RunFolder
    config: dict[str, Any]
    checkpoint: Checkpoint | None
    goes_on: bool

    @property
    def described(self) -> str:
        """Name the model, for people."""
        backend = load_keras().backend.backend()
        return f"{self.settings.model} with {self.model.count_params():,} parameters on Keras/{backend}"

    def close(self) -> None:
        """End the loaders."""
        self.loader.close()
        if self.val_loader is not None:
            self.val_loader.close()


def open_data(settings: TrainSettings) -> tuple[Source, Source | None, tuple[str, ...]]:
    """Open training and validation data and agree on their classes.

    Raises
    ------
    BadSetting
        If there are fewer than two classes, or validation data has others.
    """
    parts: Mapping[str, str] = {}  # part of the data to its name there
    try:
        source = open_to_train(settings.data, settings.labels)
    except InParts as error:
        parts = {part: name for name in error.parts if (part := part_of(name))}
        source = open_to_train(settings.data, settings.labels, parts.get("train", "train"))
    what = source.spec.get("y")
    if isinstance(what, Encoded) or (what is not None and what.shape):
        raise BadSetting(f"bitesize train learns one class a row, and the labels of {settings.data} are {what}")
    if source.labels is None or source.classes is None:
        raise BadSetting(
            f"{settings.data} has no classes: put the files of each class in a folder of its own, or name them in a CSV with "
            "the columns path and label (--labels labels.csv)"
        )
    if len(source.classes) < 2:
        raise BadSetting(f"{settings.data} has one class only ({source.classes[0]}): there is nothing to tell apart")
    if settings.val is not None:
        val = match_classes(open_to_train(settings.val), source.classes, settings.val)
        return source, val, source.classes
    if "val" in parts:
        held = open_to_train(settings.data, settings.labels, parts["val"])
        val = match_classes(held, source.classes, f"the part {parts['val']!r} of {settings.data}")
        return source, val, source.classes
    if settings.val_split:
        train, held = source.split(1 - settings.val_split, seed=settings.seed)
        return train, held, source.classes
    return source, None, source.classes


def match_classes(source: Source, classes: tuple[str, ...], where: str) -> Source:
    """Number the classes of a source as a run numbers them, by name.

    Raises
    ------
    BadSetting
        If it has no classes, or one that the run does not know.
    """
    if source.classes is None:
        raise BadSetting(f"{where} has no classes: folders named as the classes are needed ({', '.join(classes[:10])})")
    try:
        return source.renumber(classes)
    except BadSetting as error:
        raise BadSetting(f"{where}: {error}") from None


def prepare(settings: TrainSettings, out: str, broken: Broken | None = None) -> Job:
    """Open the data, plan the memory, build the model: all that can be refused is refused here.

    ``broken`` is the run in the folder ``out``, where it is to go on.
    """
    train, val, classes = open_data(settings)
    what = train.spec["x"]
    if val is not None and val.spec["x"] != what:
        raise BadSetting(f"validation data holds {val.spec['x']}, and training data {what}")
    keras = load_keras()
    if settings.image_size is None:
        settings = replace(settings, image_size=saved_image_size(settings.model))
    budget = Budget(settings.memory)
    if broken is not None:
        scaling = broken.scaling  # not measured again
    elif settings.normalize == "data":
        scaling = [Normalize(*train.statistics(budget, on_error=settings.on_error).normalization)]
    else:
        scaling = input_scaling(settings.model, is_whole(what))

    loaders = TrainingLoaders(settings, train, val, scaling, batches_held(keras.backend.backend()))
    settings = replace(settings, batch_size=(batch_size := loaders.choose_batch_size(budget)))
    loaders.grow_or_refuse(batch_size, budget)
    keras.utils.set_random_seed(settings.seed % 2**32)
    train_loader, val_loader = loaders.open(batch_size, budget)
    try:
        data, val_data = to_keras(train_loader), None if val_loader is None else to_keras(val_loader)
        model = build_model(settings.model, train_loader.spec["x"].shape, len(classes), settings.weights)
        _compile(keras, model, settings, len(train_loader))
        run = RunFolder.create(out)
        evaluated = [*geometry(train, settings.image_size, False), *scaling]
        config = _config(keras, settings, train_loader, model, evaluated, scaling)
        checkpoint = _checkpoint(run, settings, config)
    except BaseException:
        train_loader.close()
        if val_loader is not None:
            val_loader.close()
        raise
    return Job(
        settings,
        train,
        val,
        classes,
        budget,
        train_loader,
        val_loader,
        data,
        val_data,
        model,
        run,
        config,
        checkpoint,
        broken is not None,
    )


def _checkpoint(run: RunFolder, settings: TrainSettings, config: dict[str, Any]) -> Checkpoint | None:
    batches, minutes = parse_interval(settings.checkpoint_every)
    if batches == 0:
        return None
    # What `bitesize train --resume` begins with, wherever it is called.
    extra = {"settings": settings.as_dict(), "scaling": config["scaling"], "folder": os.getcwd()}
    return Checkpoint(run.checkpoints, every_batches=batches, every_minutes=minutes, extra=extra)


def _compile(keras: Any, model: Any, settings: TrainSettings, steps: int) -> None:
    if getattr(model, "compiled", False):
        return  # the user's function chose loss and optimizer itself
    total = settings.epochs * steps
    rate = keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=0.0,
        decay_steps=max(1, total - int(_WARM_UP * total)),
        warmup_target=settings.learning_rate,
        warmup_steps=int(_WARM_UP * total),
    )
    model.compile(
        optimizer=keras.optimizers.AdamW(rate, weight_decay=_WEIGHT_DECAY, clipnorm=1.0),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=not outputs_probabilities(model)),
        metrics=["accuracy"],
    )


def _config(
    keras: Any, settings: TrainSettings, loader: Loader, model: Any, transforms: list[Any], scaling: list[Any]
) -> dict[str, Any]:
    import bitesize

    shape = loader.spec["x"].shape
    return {
        "bitesize": bitesize.__version__,
        "keras": keras.__version__,
        "backend": keras.backend.backend(),
        "settings": settings.as_dict(),
        "input_shape": list(shape),
        "output": "probabilities" if outputs_probabilities(model) else "logits",
        "transforms": [transform.to_dict() for transform in transforms],
        "scaling": [transform.to_dict() for transform in scaling],
        "train_transforms": [transform.to_dict() for transform in loader.transforms],
        "fingerprint": loader.source.fingerprint(),
    }
