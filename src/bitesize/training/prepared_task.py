"""Tasks for programs: what `bitesize train` finds from the labels, and a compiled model for it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from bitesize.engine.loader import Loader
from bitesize.errors import BadSetting
from bitesize.sources.base import Source
from bitesize.sources.open_to_train import open_to_train
from bitesize.spec import Field
from bitesize.training.backend import load_keras
from bitesize.training.model_output import declared_output
from bitesize.training.models import build_model as build_named
from bitesize.training.models import default_model
from bitesize.training.settings import TrainSettings
from bitesize.training.tasks.base import Task
from bitesize.training.tasks.choose import choose_task


class PreparedTask(NamedTuple):
    """A task, and data with labels as its loss takes them; see `prepare_task`.

    Attributes
    ----------
    task : Task
        What the model learns: ``task.name`` is ``"classify"``, ``"multilabel"``, ``"regress"`` or ``"segment"``, and ``task.names`` has the
        names of its outputs. Targets of ``regress`` are standardized for the loss: ``outputs * task.std + task.mean`` are units of the data.
    train, val : Source
        The data, with the fields ``x`` and ``y``; ``val`` is None if it was not given.
    class_weight : dict of int to float or None
        For ``class_weight=`` of `fit`.
    said : tuple of str
        Lines on what was chosen, with the setting that decides otherwise.

    Examples
    --------
    >>> import numpy as np, bitesize as bs
    >>> prepared = bs.keras.prepare_task(bs.open(np.eye(4), labels=["cat", "dog"] * 2))
    >>> prepared.task.name, prepared.task.names, prepared.val
    ('classify', ('cat', 'dog'), None)
    """

    task: Task
    train: Source
    val: Source | None
    class_weight: dict[int, float] | None
    said: tuple[str, ...]


def prepare_task(
    train: Source,
    val: Source | None = None,
    *,
    task: str = "auto",
    loss: str = "auto",
    ignore_class: int | str = "auto",
    class_weights: bool = False,
) -> PreparedTask:
    """Find the task from the labels of the data, as `bitesize train` does, and return the data with labels as the loss takes them.

    Parameters
    ----------
    train
        Training data with labels: classes, tags, numbers or masks.
    val
        Validation data, whose outputs are matched by name.
    task
        ``"classify"``, ``"multilabel"``, ``"regress"``, ``"segment"``, or ``"auto"``: found from the labels.
    loss
        ``"mse"`` or ``"huber"`` for numbers; ``"auto"`` for the loss of the task.
    ignore_class
        For masks, the number of pixels that count in neither loss nor metrics; ``"none"``: all count; ``"auto"``: 255 if the masks have it beside
        at least two other numbers, all below 64.
    class_weights
        Whether all classes or tags count equally.

    Returns
    -------
    PreparedTask
        The task, and the data with labels as its loss takes them.

    Raises
    ------
    BadSetting
        If the labels do not fit the task, or the labels of the validation data are others.

    Examples
    --------
    >>> import numpy as np, bitesize as bs
    >>> houses = bs.open(np.random.default_rng(0).random((40, 3)), labels=np.linspace(1e5, 9e5, 40) + 0.5)
    >>> prepared = bs.keras.prepare_task(*houses.split(0.8))
    >>> prepared.task.name, prepared.said[0]
    ('regress', 'task: regress, because the labels are numbers with decimals (task= changes this)')
    """
    with _words_of_python():
        return _prepared(train, val, task, loss, str(ignore_class), class_weights)


def _prepared(
    train: Source, val: Source | None, task: str, loss: str, ignore_class: str, class_weights: bool
) -> PreparedTask:
    source = open_to_train(train)
    chosen, source, said = choose_task(source, task, None, "the training data", loss, "auto", ignore_class)
    held = None if val is None else chosen.matched(open_to_train(val), None, "the validation data")
    if held is not None:
        chosen.check_labels(held)
    chosen = chosen.fitted(source, class_weights=class_weights)
    source, class_weight = chosen.weighed(source) if class_weights else (source, None)
    lines = tuple(_in_settings(line) for line in (*said, *chosen.said))
    return PreparedTask(
        chosen, chosen.for_loss(source), None if held is None else chosen.for_loss(held), class_weight, lines
    )


def build_model(
    loader: Loader,
    task: Task,
    *,
    model: str = "auto",
    weights: str | None = None,
    learning_rate: float = TrainSettings.learning_rate,
) -> Any:
    """Build a model of Keras for the batches of a loader, with the head, the loss and the metrics of a task.

    Parameters
    ----------
    loader
        Batches of `PreparedTask.train`, of images of one size with values of about 0 to 1 (``bs.Scale(1 / 255)``, ``bs.Normalize("data")``).
    task
        `PreparedTask.task`.
    model
        As ``--model`` of `bitesize train`: ``"mlp"``, ``"cnn"``, ``"unet"``, a name of `keras.applications`, or a file. ``"auto"``: by the task and the
        shape of rows.
    weights
        ``"imagenet"`` or a file, for `keras.applications`; all weights are trained.
    learning_rate
        Of AdamW.

    Returns
    -------
    keras.Model
        Compiled. It returns logits for classes, tags and masks, and standardized values for numbers.

    Raises
    ------
    BadSetting
        If the model cannot take the rows, or cannot learn the task.
    MissingPackage
        If Keras is not installed.

    Examples
    --------
    >>> import numpy as np, bitesize as bs
    >>> x, price = np.random.default_rng(0).random((40, 3)), np.linspace(1e5, 9e5, 40) + 0.5
    >>> prepared = bs.keras.prepare_task(bs.open(x, labels=price))
    >>> with bs.Loader(prepared.train, batch_size=8, memory="16 MiB", dtype="float32") as loader:
    ...     model = bs.keras.build_model(loader, prepared.task)
    ...     history = bs.keras.fit(model, loader, epochs=2, verbose=0)
    >>> sorted(history.history)
    ['loss', 'mae', 'r2']
    """
    field = loader.spec["x"]
    with _words_of_python():
        return _built(field, task, model, weights, learning_rate)


def _built(field: Field, task: Task, model: str, weights: str | None, learning_rate: float) -> Any:
    task.check_model(model)
    name = (task.default_model(field.shape) or default_model(field.shape, field.axes)) if model == "auto" else model
    keras = load_keras(f"the model {name}")
    made = build_named(name, field.shape, task, weights, axes=field.axes)
    if getattr(made, "compiled", False):
        return made
    output = declared_output(made, name, task)
    if output is None:
        raise BadSetting(f"the last layers of {name} do not show what it returns: compile it in its function")
    optimizer = keras.optimizers.AdamW(learning_rate, clipnorm=1.0)
    made.compile(optimizer=optimizer, loss=task.keras_loss_of(output), metrics=task.metrics(output))
    return made


@contextmanager
def _words_of_python() -> Iterator[None]:
    """Name settings in place of options in errors."""
    try:
        yield
    except BadSetting as error:
        raise BadSetting(_in_settings(str(error))) from None


def _in_settings(line: str) -> str:
    """Return a line with the settings of Python in place of options."""
    return re.sub(r"--([a-z]+(?:-[a-z]+)*)", lambda found: found[1].replace("-", "_") + "=", line)
