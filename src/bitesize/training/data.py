"""Open and split training and validation data of a run, and match their classes."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import xxhash
from numpy.typing import NDArray

from bitesize.errors import BadRows, BadSetting, NotFound
from bitesize.sources.base import Source
from bitesize.sources.choices import Choice
from bitesize.sources.combine.features import SelectedFeatures
from bitesize.sources.open import NoPages, NotAnnotated
from bitesize.sources.open_to_train import open_to_train
from bitesize.sources.splits import SplitRequired, usual_split
from bitesize.spec import Field
from bitesize.training.adapting import expected_rows, fits, is_row, reading_of_run, shape_in_words
from bitesize.training.copies import copied_rows
from bitesize.training.data_of_run import column_of_labels, labels_of_run, naming_labels, place_of_labels
from bitesize.training.settings import TrainSettings, parse_labels
from bitesize.training.tasks.base import Task
from bitesize.training.tasks.choose import choose_task, saved_task

# Number of validation rows whose contents are compared with training data, if rows have no paths.
_COMPARED = 256
_NO_LABELS = (
    "--labels none opens the data without labels, but {} needs the class of each row: drop the option, or name the labels"
)
# Training data of fixed size is read to compare it with validation data up to this many bytes.
_MOST_READ = 1 << 30


@dataclass
class RunData:
    """Data of a run.

    Attributes
    ----------
    train, val : Source
        Training and validation data; ``val`` is None without validation.
    task : Task
        What is learned, from the labels; `Task.fitted` completes it.
    warnings : list of str
        Probable mistakes, such as rows that are in both sources.
    said : list of str
        A line about the task, if it was found from the data.
    """

    train: Source
    val: Source | None
    task: Task
    warnings: list[str] = field(default_factory=list)
    said: list[str] = field(default_factory=list)

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes of the rows; empty if they have none."""
        return self.train.classes or ()


def open_data(settings: TrainSettings) -> RunData:
    """Open training and validation data, find the task, and match their classes.

    Raises
    ------
    BadSetting
        If the labels do not fit the task, there are fewer than two classes, or validation data has other classes.
    """
    labels = parse_labels(settings.labels)
    if labels is False:
        raise BadSetting(_NO_LABELS.format("training"))
    parts: Mapping[str, str] = {}  # role of a split to its name in the data
    try:
        source = open_to_train(settings.data, labels, settings.split, **settings.opening)
    except SplitRequired as error:
        parts = {part: name for name in error.splits if (part := usual_split(name))}
        source = open_to_train(settings.data, labels, parts.get("train", "train"), **settings.opening)
        validated = parts.get("val") if settings.val is None and not settings.folds else None
        unused = [name for name in error.splits if name not in (parts.get("train"), validated)]
        if unused:
            unused_said = f"split: {parts.get('train', 'train')} is trained on; not used: {', '.join(unused)}"
            source.choices = (*source.choices, Choice(unused_said, "split="))
    task, source, said = choose_task(
        source, settings.task, settings.labels, settings.data, settings.loss, settings.model, settings.ignore_class
    )
    source = _checked_weights(source)
    if settings.val is not None:
        return replace(_with_own_validation(settings, source, task), said=said)
    if "val" in parts and not settings.folds:
        held = open_like(settings, settings.data, settings.labels, parts["val"], source.feature_names)
        val = task.matched(held, settings.labels, f"the split {parts['val']!r} of {settings.data}")
        task.check_labels(val)
        return RunData(source, val, task, _overlap(source, val), said)
    return replace(_split(settings, source, task), said=said)


def open_like(
    settings: TrainSettings,
    data: Any,
    labels: str | None,
    split: str | None,
    features: tuple[str, ...] | None,
    *,
    inputs_only: bool = False,
) -> Source:
    """Open other data with the settings of a run's training data, with the same feature columns in the same order.

    Parameters
    ----------
    settings
        Settings of the run.
    data, labels, split
        The other data, as for `open_to_train`; labels as text.
    features
        `Source.feature_names` of the training data.
    inputs_only
        Whether columns of labels and of sample weights are left out without being read.

    Raises
    ------
    BadSetting
        If the data lacks a column that the run was trained on.
    """
    source = open_to_train(data, parse_labels(labels), split, inputs_only=inputs_only, **settings.opening)
    return with_features(source, features, named(data))


def named(data: Any) -> str:
    """Return a name of data for messages: its path, if it has one."""
    return os.fspath(data) if isinstance(data, str | os.PathLike) else "the data"


def with_features(source: Source, features: tuple[str, ...] | None, where: str) -> Source:
    """Return a source with the feature columns of a run, in their order.

    Raises
    ------
    BadSetting
        If a column is missing.
    """
    there = source.feature_names
    if features is None or there == features:
        return source
    if there is None:
        return source  # an array without names: only its shape can be compared
    missing = [name for name in features if name not in there]
    if missing:
        raise BadSetting(
            f"{where} has no column {missing[0]!r}, which the run was trained on. Its numeric columns are {', '.join(there)}"
        )
    taken = SelectedFeatures(source, features)
    which = "the columns, in the order" if len(there) == len(features) else "the columns"
    taken.choices = (*source.choices, Choice(f"x: {which} of the run: {', '.join(features)}", ""))
    return taken


def open_for_run(
    config: Mapping[str, Any],
    data: Any,
    given: Mapping[str, Any],
    *,
    labels: str | None = None,
    split: str | None = None,
    labeled: bool,
) -> Source:
    """Open data for evaluation or prediction, with the settings of a finished run's training data.

    Parameters
    ----------
    config
        Config of the run.
    data, labels, split
        As for `open_to_train`, labels as text. If labels are not given, they are read from the run's label column.
    given
        Settings of `bitesize.open` that override those of the run.
    labeled
        Whether labels are needed.

    Raises
    ------
    BitesizeError
        As `open_to_train`; or if the labels or feature columns are missing in the data.
    """
    if labeled and parse_labels(labels) is False:
        raise BadSetting(_NO_LABELS.format("evaluation"))
    settings = TrainSettings.from_dict(config["settings"])
    if settings.labels_as is not None and "labels_as" not in given:
        if labeled:
            try:
                return open_for_run(
                    config, data, {**given, "labels_as": settings.labels_as}, labels=labels, split=split, labeled=True
                )
            except NotAnnotated:  # other data than the run's, such as class folders
                pass
        settings = replace(settings, labels_as=None)
    reading = reading_of_run(config)
    if "pages" in reading and "pages" not in given:
        try:
            again = {**given, "pages": reading["pages"]}
            return open_for_run(config, data, again, labels=labels, split=split, labeled=labeled)
        except NoPages:  # other data than the run's, such as arrays
            del reading["pages"]
            settings = replace(settings, pages=None)
    settings = settings.with_opening({**reading, **given})
    features = tuple(config["features"]) if config.get("features") else None
    of_run = labels_of_run(config, data, settings.labels) if labels is None and labeled else None
    apart = place_of_labels(config, settings.labels) if labels is None and labeled and of_run is None else None
    labels = of_run if of_run is not None else labels
    column = labels if labels is not None else column_of_labels(settings.labels)
    if not labeled:
        delimiter = None if settings.tag_delimiter is None else ""  # text with tags is left as it is
        fields = _without_labels(settings.fields, column)
        settings = replace(settings, fields=fields, tag_delimiter=delimiter, sample_weights=None)
    with naming_labels(apart, f"name those of {named(data)} with --labels"):
        source = _opened_like(settings, data, column, split, features, sure=labels is not None, labeled=labeled)
        if not labeled:
            return _as_one_row(settings, source, data, expected_rows(config))
        if of_run is not None:
            source.choices = (*source.choices, Choice(f"labels: {of_run}, with which the run was trained", "labels="))
        return saved_task(config, tuple(config["classes"])).matched(source, labels, named(data))


def _opened_like(
    settings: TrainSettings,
    data: Any,
    column: str | None,
    split: str | None,
    features: tuple[str, ...] | None,
    *,
    sure: bool,
    labeled: bool,
) -> Source:
    """Open other data; a column of labels that it need not have, unless it is ``sure``, may be missing."""
    if isinstance(data, Source):
        return with_features(open_to_train(data), features, named(data))
    if sure or column is None:
        return open_like(settings, data, column, split, features, inputs_only=not labeled)
    try:
        return open_like(settings, data, column, split, features, inputs_only=not labeled)
    except SplitRequired:
        raise
    except (BadSetting, NotFound):  # other data than a table with that column, such as folders named after the classes
        return open_like(settings, data, None, split, features, inputs_only=not labeled)


def _as_one_row(settings: TrainSettings, source: Source, data: Any, expected: Field) -> Source:
    """Open one file of arrays again, as one row, if it has the shape of one of the run's rows, and not of several."""
    field = source.spec["x"]
    if settings.file_is_row is not None or not isinstance(field, Field) or not named(data).endswith((".npy", ".npz")):
        return source
    whole = (len(source), *field.shape)
    if fits(field.shape, expected.shape) or not is_row(whole, expected):
        return source
    row = open_to_train(data, False, **{**settings.opening, "file_is_row": True})
    shape = shape_in_words(whole, expected)
    row.choices = (*row.choices, Choice(f"x: the file is one row: {whole} is {shape}", "file_is_row=False"))
    return row


def _without_labels(names: Any, column: str | None) -> Any:
    if isinstance(names, Mapping):
        return {name: there for name, there in names.items() if name != "y" and there != column} or None
    return None if names is None else [name for name in names if name not in ("y", "label", column)] or None


def check_alike(train: Source, val: Source) -> None:
    """Raise for validation data whose rows do not fit the model; numbers may have another dtype.

    Raises
    ------
    BadSetting
        If rows have another shape, or images another mode.
    """
    mine, other = train.spec["x"], val.spec["x"]
    alike = mine.shape == other.shape if isinstance(mine, Field) and isinstance(other, Field) else mine == other
    if not alike:
        raise BadSetting(f"validation data has {other}, but training data has {mine}")


def _with_own_validation(settings: TrainSettings, source: Source, task: Task) -> RunData:
    """Open the data of --val: a table or folder like the training data."""
    assert settings.val is not None
    column = column_of_labels(settings.labels)
    with naming_labels(
        settings.labels if column is None else None, "--val needs labels of its own, such as a table of paths and labels"
    ):
        try:
            held = open_like(settings, settings.val, column, None, source.feature_names)
        except SplitRequired as error:
            name = next((name for name in error.splits if usual_split(name) == "val"), None)
            if name is None:
                raise
            held = open_like(settings, settings.val, column, name, source.feature_names)
        val = task.matched(held, column, settings.val)
    task.check_labels(val)
    return RunData(source, val, task, _overlap(source, val))


def _split(settings: TrainSettings, source: Source, task: Task) -> RunData:
    by: dict[str, Any] = {"by": settings.split_by} if settings.split_by else {}
    if settings.folds:
        pairs = source.folds(settings.folds, seed=settings.seed, **by)
        train, val = pairs[max(settings.fold, 1) - 1]
        return RunData(train, val, task)
    if settings.val_split:
        train, val = source.split(1 - settings.val_split, seed=settings.seed, **by)
        return RunData(train, val, task)
    return RunData(source, None, task)


def _overlap(train: Source, val: Source) -> list[str]:
    """Return a warning with the number of validation rows that are training rows, by path or by contents of a sample."""
    shared, compared = _shared_paths(train, val)
    exact = compared > 0
    if not exact:
        shared, compared = _shared_contents(train, val)
    if not shared and exact and (alike := copied_rows(train, val)):
        are = "is a copy of a training row's" if alike == 1 else "are copies of training rows'"
        line = (
            f"the files of {alike:,} of {len(val):,} validation rows {are}, by name, size and a sample of their contents: validation "
            "then measures memorization. Use other data with --val, or use --val-split"
        )
        return [line]
    if not shared:
        return []
    of = f"{shared:,} of {compared:,} validation rows" + ("" if exact and compared == len(val) else " that were compared")
    are = "is a training row" if shared == 1 else "are training rows"
    return [f"{of} {are}: validation then measures memorization. Use other data with --val, or use --val-split"]


def _shared_paths(train: Source, val: Source) -> tuple[int, int]:
    if train.path(0) is None or val.path(0) is None:
        return 0, 0
    folders: dict[bytes, bytes] = {}  # one system call per folder, not per file

    def real(path: bytes) -> bytes:
        """Return a path without links."""
        folder, name = os.path.split(path)
        if folder not in folders:
            folders[folder] = os.path.realpath(folder)
        return os.path.join(folders[folder], name)

    known = {real(path) for row in range(len(train)) if (path := train.path(row)) is not None}
    paths = [real(path) for row in range(len(val)) if (path := val.path(row)) is not None]
    return sum(path in known for path in paths), len(paths)


def _shared_contents(train: Source, val: Source) -> tuple[int, int]:
    """Compare rows of fixed size by their bytes, if there are few enough to read them."""
    field = train.spec["x"]
    if not isinstance(field, Field) or field != val.spec["x"] or len(train) * field.nbytes > _MOST_READ:
        return 0, 0
    sample = np.unique(np.linspace(0, len(val) - 1, min(len(val), _COMPARED)).astype(np.int64))
    known = set(_hashes(train, field, np.arange(len(train), dtype=np.int64)))
    shared = [each in known for each in _hashes(val, field, sample)]
    return sum(shared), len(shared)


def _hashes(source: Source, field: Field, rows: NDArray[np.int64]) -> Iterator[bytes]:
    """Hash the rows that can be read, about a megabyte at a time."""
    step = max(1, (1 << 20) // max(1, field.nbytes))
    for start in range(0, len(rows), step):
        values = np.empty((len(rows[start : start + step]), *field.shape), field.dtype)
        try:
            source.read(rows[start : start + step], {"x": values})
        except BadRows:
            continue  # the loader raises when it reads the row
        for row in values:
            yield xxhash.xxh3_128_digest(np.ascontiguousarray(row).tobytes())


def _checked_weights(source: Source) -> Source:
    """Raise unless sample weights are at least 0; return a line that they are used."""
    name = source.weight_name
    if name is None or name not in source.spec:
        return source
    weights = source.column(name)
    if not (np.isfinite(weights).all() and (weights >= 0).all() and weights.any()):
        raise BadSetting(
            f"the sample weights {name!r} must be at least 0, and some must be above 0: they are {weights.min():g} ..."
        )
    choice = Choice(f"sample weights: the column {name!r}, {weights.min():g} to {weights.max():g}", "weights=")
    if not any(each.setting.startswith("weights") for each in source.choices):
        source.choices = (*source.choices, choice)
    return source
