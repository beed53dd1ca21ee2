"""Compute the memory plan of a training, and what `bitesize plan` shows with it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from bitesize.cli.console import counted, understood
from bitesize.cli.plan_loaders import (
    machine_of,
    open_as_training,
    open_loader,
    plan_training,
    prepare_training,
    read_first_row,
)
from bitesize.memory.sizes import format_size

if TYPE_CHECKING:
    from bitesize.cli.options import Opening
    from bitesize.engine.loader import Loader
    from bitesize.memory.budget import Budget
    from bitesize.memory.plan import Plan
    from bitesize.sources.base import Source
    from bitesize.spec import Field
    from bitesize.training.settings import TrainSettings
    from bitesize.training.tasks.base import Task

# Size from which a hint at a smaller data type is worthwhile, in bytes.
_WORTH_A_HINT = 64 << 20


@dataclass(frozen=True)
class PlanResult:
    """A memory plan, and what is shown with it.

    Attributes
    ----------
    plan : Plan
    train : Source
    validates : bool
        Whether there is validation data.
    least : int or None
        Bytes of the smallest budget of a training; None if only loading is planned.
    epochs : int or "auto"
    lines, warnings : list of str
        Lines about the number of epochs, and warnings about the data.
    refusal : str or None
        Why training would refuse the data.
    model : dict or None
        Memory to train a model.
    measured : dict
        Speed of loading; empty if it was not measured.
    """

    plan: Plan
    train: Source
    validates: bool
    least: int | None
    epochs: Any
    lines: list[str]
    warnings: list[str]
    refusal: str | None
    model: dict[str, Any] | None
    measured: dict[str, Any]

    def as_dict(self) -> dict[str, Any]:
        """Return a dict for JSON."""
        return {
            "train_least": self.least,
            "epochs": self.epochs,
            **self.plan.as_dict(),
            **({} if self.model is None else {"model": self.model}),
            **({} if not self.measured else {"measured": self.measured}),
            "understood": understood(self.train),
            "left_out": dict(self.train.left_out),
            "classes": list(self.train.classes or ()),
        }


def make_result(
    settings: TrainSettings, opening: Opening, *, ram: str | None, model: str | None, measure: bool
) -> PlanResult:
    """Open the data, and plan its loading and training; raise for data and models that training would refuse."""
    from bitesize.memory.budget import Budget
    from bitesize.training.epochs import choose_epochs

    _refuse_unknown(model, settings.weights)
    opened = open_as_training(settings, opening)
    train, val, refusal = opened.train, opened.val, opened.refusal
    machine = None if ram is None else machine_of(ram)
    budget = Budget(settings.memory, machine)
    trains = opening.split is None and refusal is None
    if trains:
        settings, loaders, rows = prepare_training(settings, train, val, budget)
    else:
        open_loader(settings, train, budget).close()  # refuses a budget too small for a batch, not for one row
    for source in (train, val):
        if source is not None:
            read_first_row(source, settings, budget)
    if trains:
        loader, plan, least = plan_training(loaders, rows, budget)
    else:
        loader, least = open_loader(settings, train, budget), None
        plan = loader.plan
    with loader:
        measured = _measure(loader) if measure else {}
        memory = None if model is None else _model_memory(model, loader.spec["x"], opened.outputs, plan)
    chosen, lines = choose_epochs(settings, plan.batches, val is not None)
    if memory is not None:
        plan = replace(plan, model=memory["total"])
    plan = replace(plan, hints=(*plan.hints, *_hint_at_bytes(train, budget)))
    if machine is not None:
        plan = replace(plan, limit=(machine.name, machine.room), machine=machine.name)
    return PlanResult(
        plan,
        train,
        val is not None,
        least,
        chosen.epochs,
        [*opened.said, *lines],
        list(opened.warnings),
        refusal,
        memory,
        measured,
    )


def _refuse_unknown(model: str | None, weights: str | None) -> None:
    """Raise if training would refuse the model or the weights by name, before data is opened."""
    from bitesize.training.estimators import is_estimator
    from bitesize.training.models import check_model

    if weights is not None or (model is not None and not is_estimator(model)):
        check_model(model or "auto", weights)


def _hint_at_bytes(source: Source, budget: Budget) -> list[str]:
    """Return a hint if values that fit in a byte are stored in a larger type, as a sample of rows shows."""
    from bitesize.sources.value_range import value_range
    from bitesize.spec import Field

    field = source.spec["x"]
    if not isinstance(field, Field) or field.dtype.kind not in "iuf" or field.dtype.itemsize == 1:
        return []
    stored = len(source) * field.nbytes
    if stored < _WORTH_A_HINT or source.feature_names is not None:
        return []
    values = value_range(source, memory=budget)
    if not (values.integral and values.minimum >= 0 and 1 < values.maximum <= 255):
        return []
    small = format_size(stored // field.dtype.itemsize)
    return [
        f"The values of {counted(values.rows, 'row')} are whole numbers from 0 to 255: as uint8 the data would take {small}."
    ]


def _measure(loader: Loader) -> dict[str, Any]:
    """Measure loading for two seconds, after a first second that fills caches and loads compiled code."""
    from bitesize.cli.bench import load_for

    load_for(loader, 1.0)
    loader.stats.reset()
    rate, _ = load_for(loader, 2.0)
    return {
        "rows_per_second": rate,
        "seconds_an_epoch": len(loader.source) / rate,
        "verdict": loader.stats.verdict(),
    }


def _model_memory(name: str, field: Field, outputs: int | Task, plan: Plan) -> dict[str, Any]:
    """Return the memory to train a model, its device, and the largest batch that fits there."""
    from bitesize.memory.limits import available
    from bitesize.training.footprint import footprint, room_on_device
    from bitesize.training.models import build_model

    need = footprint(build_model(name, field.shape, outputs, axes=field.axes), field.shape)
    device = room_on_device()
    limit = available()
    # On the host the loader's bytes count, too; the framework is already subtracted from the available memory.
    where, room = device if device is not None else (limit.name, limit.room - plan.total)
    return {
        "name": name,
        "parameters": need.parameters,
        "gradients": need.gradients,
        "optimizer": need.optimizer,
        "activations_a_row": need.activations,
        "batch": need.total(plan.batch_size) - need.fixed,
        "total": need.total(plan.batch_size),
        "where": where,
        "room": room,
        "fits": need.total(plan.batch_size) <= room,
        "largest_batch": min(need.largest_batch(room), plan.rows),
    }
