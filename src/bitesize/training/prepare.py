"""Create and check everything that training needs before it starts, so that errors are raised early."""

from __future__ import annotations

import socket
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import Any

from bitesize._version import __version__
from bitesize.engine.loader import Loader
from bitesize.errors import BadSetting
from bitesize.memory.budget import Budget
from bitesize.memory.sizes import counted, format_size
from bitesize.outputs.keras import batches_held, to_keras
from bitesize.training.adapting import described_rows
from bitesize.training.backend import choose_backend, load_keras
from bitesize.training.checkpoint import Checkpoint
from bitesize.training.data import RunData, check_alike, open_data
from bitesize.training.epochs import choose_epochs
from bitesize.training.interrupted import Start
from bitesize.training.job import PreparedData
from bitesize.training.learning_rate import choose_cycle
from bitesize.training.models import check_model, choose_image_size
from bitesize.training.need import TrainingLoaders
from bitesize.training.phases import Phase, choose_phases
from bitesize.training.prepare_model import PreparedModel, prepare_model
from bitesize.training.ranks import Ranks
from bitesize.training.record import Split
from bitesize.training.run import RunFolder
from bitesize.training.run_log.trackers import check_trackers
from bitesize.training.settings import TrainSettings, geometry, parse_interval
from bitesize.training.tasks.base import Task

# Parts of the config that a checkpoint records.
_NOTED = (
    "settings", "given", "folder", "fingerprints", "scaling", "values", "value_range", "learning_rate_from_step", "run", "started", "command",
    "versions", "machine", "sessions",
)  # fmt: skip


@dataclass
class Job(PreparedData):
    """Everything that training needs, created and checked before it starts."""

    data: Any
    val_data: Any
    model: Any
    phases: list[Phase]
    class_weight: dict[int, float] | None
    run: RunFolder
    config: dict[str, Any]
    split: Split
    checkpoint: Checkpoint | None
    resuming: bool
    ranks: Ranks
    said: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    @property
    def described(self) -> str:
        """Description of the model."""
        backend = load_keras().backend.backend()
        return f"{self.settings.model} with {self.model.count_params():,} parameters on Keras/{backend}"


def prepare(settings: TrainSettings, start: Start, ranks: Ranks) -> Job:
    """Open the data, plan the memory and build the model; raise for all errors that can be found before training."""
    # Missing packages are reported first; Keras takes seconds to load, and is not needed for data that is refused.
    held = batches_held(choose_backend())
    trackers = ranks.of_first(lambda: check_trackers(settings))
    check_model(settings.model, settings.weights)
    data = ranks.together(lambda: _opened(settings, start))
    _refuse_other_data(ranks, data)
    settings, lines = choose_image_size(settings, data.train.spec["x"])
    lines += trackers
    budget = Budget(settings.memory)
    data = ranks.together(lambda: _fitted(settings, data))
    prepared = prepare_model(settings, data, start.resumed, budget, held, ranks)
    if getattr(prepared.model, "compiled", False):
        data = replace(data, task=replace(data.task, own_loss=True))
    settings, train, val = prepared.settings, prepared.train, prepared.val
    train, class_weight = data.task.weighed(train) if settings.class_weights else (train, None)
    train, val = data.task.for_loss(train), None if val is None else data.task.for_loss(val)
    loaders = TrainingLoaders(settings, train, val, prepared.scaling.steps, held, prepared.val_steps, ranks.shard)
    batch_size = min(ranks.collect(loaders.choose_batch_size(budget)))
    loader, val_loader = ranks.together(lambda: _loaders(loaders, batch_size, budget))
    try:
        prepared = replace(prepared, settings=replace(settings, batch_size=batch_size), train=train, val=val)
        return replace(_job(start, data, prepared, budget, loader, val_loader, lines, ranks), class_weight=class_weight)
    except BaseException:
        loader.close()
        if val_loader is not None:
            val_loader.close()
        raise


def _opened(settings: TrainSettings, start: Start) -> RunData:
    data = open_data(settings)
    data.task.check_model(settings.model)
    if data.val is not None:
        check_alike(data.train, data.val)
    if start.resumed is not None:
        start.resumed.check_classes(data.train, data.val, data.classes)
    return data


def _fitted(settings: TrainSettings, data: RunData) -> RunData:
    """Return the data with a task that knows the training rows."""
    return replace(data, task=data.task.fitted(data.train, class_weights=settings.class_weights))


def _loaders(loaders: TrainingLoaders, batch_size: int, budget: Budget) -> tuple[Loader, Loader | None]:
    loaders.grow_or_refuse(batch_size, budget)
    return loaders.open(batch_size, budget)


def _refuse_other_data(ranks: Ranks, data: RunData) -> None:
    """Raise if the data of the ranks differ: each would train on other rows than it seems."""
    found = ranks.collect((socket.gethostname(), data.train.fingerprint(), len(data.train)))
    host, fingerprint, rows = found[0]
    for rank, (other, its_fingerprint, its_rows) in enumerate(found):
        if its_fingerprint != fingerprint:
            raise BadSetting(
                f"the data differ between ranks: {rows:,} rows for rank 0 on {host}, {its_rows:,} rows for rank {rank} on {other}. All machines "
                "need the same files: use a shared folder or an address such as s3://bucket/data"
            )


def _job(
    start: Start,
    data: RunData,
    prepared: PreparedModel,
    budget: Budget,
    loader: Loader,
    val_loader: Loader | None,
    lines: list[str],
    ranks: Ranks,
) -> Job:
    """Choose what depends on the number of batches, and record the settings of the run."""
    settings, model, train, scaling = prepared.settings, prepared.model, prepared.train, prepared.scaling
    keras_data = _as_keras(loader)
    keras_val_data = None if val_loader is None else _as_keras(val_loader)
    settings, epoch_lines = choose_epochs(settings, len(loader), prepared.val is not None)
    cycle, cycle_lines = choose_cycle(start.resumed, model, settings, len(loader))
    settings, phases, phase_lines = choose_phases(settings, model, prepared.output, cycle, len(loader), data.task)
    evaluated = [*geometry(train, settings.image_size, False), *scaling.steps]
    split = Split(data.train, data.val)
    config = _config(settings, data.task, loader, prepared, evaluated)
    config |= {**start.record(settings, split), "split": split.as_dict(), "learning_rate_from_step": cycle}
    return Job(
        settings=settings,
        task=data.task,
        train=train,
        val=prepared.val,
        budget=budget,
        loader=loader,
        val_loader=val_loader,
        data=keras_data,
        val_data=keras_val_data,
        model=model,
        phases=phases,
        class_weight=None,
        run=start.run,
        config=config,
        split=split,
        checkpoint=_checkpoint(start.run, settings, config),
        resuming=start.resumed is not None,
        ranks=ranks,
        said=[
            *_about_ranks(ranks, loader, val_loader),
            scaling.line,
            *data.said,
            *data.task.said,
            *lines,
            *prepared.lines,
            *cycle_lines,
            *epoch_lines,
            *phase_lines,
        ],
        warnings=data.warnings,
    )


def _about_ranks(ranks: Ranks, loader: Loader, val_loader: Loader | None) -> list[str]:
    """Return a line on the processes that train together, their machines, and the memory of each."""
    if not ranks.several:
        return []
    total = loader.plan.total + (0 if val_loader is None else val_loader.plan.total)
    found = ranks.collect((socket.gethostname(), total, loader.budget.total))
    hosts = Counter(host for host, _, _ in found)
    of_host = max(sum(total for each, total, _ in found if each == host) for host in hosts)
    each, of_machine = format_size(max(total for _, total, _ in found)), format_size(of_host)
    machines = counted(len(hosts), "machine")
    line = f"ranks: {len(found)} processes on {machines} share each batch of {loader.batch_size} rows"
    return [f"{line}; loading needs {each} in each process, {of_machine} on a machine"]


def _as_keras(loader: Loader) -> Any:
    """Create the dataset for Keras, with sample weights if the data has them."""
    return to_keras(loader, weights=loader.source.weight_name)


def _checkpoint(run: RunFolder, settings: TrainSettings, config: dict[str, Any]) -> Checkpoint | None:
    batches, minutes = parse_interval(settings.checkpoint_every)
    if batches == 0:
        return None
    # Absolute paths, so that a run can be resumed from any directory.
    extra = {name: config[name] for name in _NOTED}
    return Checkpoint(run.checkpoints, every_batches=batches, every_minutes=minutes, extra=extra)


def _config(
    settings: TrainSettings, task: Task, loader: Loader, prepared: PreparedModel, evaluated: list[Any]
) -> dict[str, Any]:
    keras, scaling = load_keras(), prepared.scaling
    return {
        "bitesize": __version__,
        "keras": keras.__version__,
        "backend": keras.backend.backend(),
        "settings": settings.as_dict(),
        "task": task.as_dict(),
        "input_shape": list(loader.spec["x"].shape),
        **described_rows(loader.source),
        "output": prepared.output,
        "transforms": [transform.to_dict() for transform in evaluated],
        "scaling": [step.to_dict() for step in scaling.steps],
        "values": scaling.line,
        "value_range": scaling.values.as_dict(),
        "features": None if loader.source.feature_names is None else list(loader.source.feature_names),
        "train_transforms": [transform.to_dict() for transform in loader.transforms],
        "fingerprint": loader.source.fingerprint(),
    }
