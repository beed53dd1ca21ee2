"""Measure the range of values, and choose the scaling for a model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from bitesize.errors import BadFile, BadSetting, first_few
from bitesize.memory.budget import Budget
from bitesize.outputs.finite import find_odd
from bitesize.scan.normalization import measured_window
from bitesize.scan.statistics import statistics
from bitesize.sources.base import Source
from bitesize.sources.value_range import ValueRange, value_range
from bitesize.spec import Encoded, Field, field_channels
from bitesize.training.finite_rows import WAYS
from bitesize.training.normalize_setting import named_step
from bitesize.training.standardize import measure_features
from bitesize.transforms.base import Step, from_dict
from bitesize.transforms.color import ColorMatrix
from bitesize.transforms.normalize import Normalize, Scale
from bitesize.transforms.window import Percentiles, Window

Kind = Literal["bytes", "unit", "words", "other"]
# Number of rows of the sample. More than the default of value_range: no images are decoded.
_SAMPLE = 64
# Floats of 0 to 1 may overshoot a little, for example after a bicubic resize.
_UNIT = 1.5
_BYTE, _WORD = 255.0, 65_535.0
# Data that uses less than this share of its range is measured instead: 12 bits in 16 would be at most 0.06.
_LEAST_SHARE = 1 / 8
# Rows with fewer features are a table, whose columns are unrelated.
_FEATURES_OF_IMAGE = 64
# If the range of a run is wider than that of the data by this factor, their units differ.
_MOST_NARROWER = 50
SETTING = "--normalize none|unit|data|model"


@dataclass(frozen=True)
class Values:
    """Values of training data, as recorded in a run.

    Attributes
    ----------
    dtype : str
    minimum, maximum : float
        Range of a sample of rows; 0 and 255 for 8-bit images.
    integral : bool
        Whether all values are whole numbers.
    kind : str
        ``"bytes"``: 0 to 255. ``"unit"``: 0 to 1, or -1 to 1. ``"words"``: 0 to 65,535. ``"other"``: anything else.
    """

    dtype: str
    minimum: float
    maximum: float
    integral: bool
    kind: Kind

    def as_dict(self) -> dict[str, Any]:
        """Return a dict for JSON."""
        return asdict(self)

    @property
    def numpy_dtype(self) -> np.dtype[Any]:
        """The dtype."""
        return np.dtype(self.dtype)

    def __str__(self) -> str:
        return f"{self.dtype} from {self.minimum:g} to {self.maximum:g}"


@dataclass(frozen=True)
class Scaling:
    """Scaling of values, and a line that describes it.

    Attributes
    ----------
    steps : list of Step
    values : Values
    line : str
    """

    steps: list[Step]
    values: Values
    line: str


def measure_values(source: Source, budget: Budget) -> Values:
    """Measure the range of values on a sample of rows; 8-bit images need no measurement.

    Raises
    ------
    BadFile
        If the sample has only NaN and infinite values.
    """
    field = source.spec["x"]
    if isinstance(field, Encoded) and field.dtype == np.uint8:
        return Values("uint8", 0.0, _BYTE, True, "bytes")
    sampled = value_range(source, _SAMPLE, memory=budget)
    if sampled.rows and np.isnan(sampled.minimum):
        raise BadFile("all values of a sample of rows are NaN or infinite")
    return Values(sampled.dtype, sampled.minimum, sampled.maximum, sampled.integral, _kind(sampled, source))


def _kind(sampled: ValueRange, source: Source) -> Kind:
    least, greatest = sampled.minimum, sampled.maximum
    if not sampled.rows or (least >= -1 and greatest <= _UNIT):
        return "unit"
    if sampled.dtype == "uint8" or (least >= 0 and greatest <= _BYTE and not _is_table(source)):
        return "bytes"
    return "words" if sampled.dtype == "uint16" else "other"


def _is_table(source: Source) -> bool:
    """Return whether rows are a few features, which are not pixels even if they are within 0 to 255."""
    field = source.spec["x"]
    if isinstance(field, Encoded) or len(field.shape) > 1:
        return False
    return not field.shape or field.shape[0] < _FEATURES_OF_IMAGE or source.feature_names is not None


def choose_scaling(
    source: Source,
    normalize: str,
    expected: NDArray[np.float64] | None,
    values: Values,
    budget: Budget,
    *,
    standardize: bool = False,
    nonnegative: bool = False,
    on_error: Any = "raise",
    max_bad: float = 0.01,
) -> Scaling:
    """Choose the scaling of values.

    Parameters
    ----------
    source
        The training data, with the field ``x``.
    normalize
        ``"model"``, ``"data"``, ``"unit"``, ``"none"`` or the name of a transform, as in ``bitesize train --normalize``.
    expected
        Preprocessing that the model expects, as a color matrix on values of 0 to 255, shape (3, 4); None for values of 0 to 1.
    values
        Result of `measure_values`.
    budget, on_error, max_bad
        As in `Loader`, for measuring rows.
    standardize
        Whether the model learns best from values around 0, such as dense layers without normalization: ``"model"`` then scales
        each channel of images to mean 0 and deviation 1, as measured on a sample of rows.
    nonnegative
        Whether the model does not take values below 0.

    Raises
    ------
    BadFile
        If measured values are NaN or infinite.
    BadSetting
        If the data has values below 0, and the model does not take them.
    """
    whole = {"bytes": _BYTE, "words": _WORD, "unit": 1.0}.get(values.kind)
    field = source.spec["x"]
    measured = not isinstance(field, Encoded) or field.dtype != np.uint8
    dark = measured and values.maximum < (whole or 0) * _LEAST_SHARE
    # A model that expects bytes takes dark photographs unchanged, but not 12 bits in 16.
    few = dark and (values.kind == "words" or (values.kind == "bytes" and expected is None))
    if (step := named_step(normalize)) is not None:
        return _by_step(step, source, values, budget, on_error)
    if normalize == "none":
        return _said([], values, "taken as stored")
    if nonnegative and (values.minimum < 0 or normalize == "data"):
        raise BadSetting(f"this model does not take values below 0, but the data has {values}: use another --model")
    if normalize == "data" or (normalize == "model" and (whole is None or few) and not nonnegative):
        return _by_statistics(source, values, budget, on_error, max_bad)
    if normalize == "model" and standardize and not _is_table(source):
        return _by_sample(source, values, budget)
    if nonnegative and normalize == "model" and whole is None:
        return _said([], values, "taken as stored")
    if whole is None:
        return _by_extremes(source, values, budget, on_error)
    if normalize == "model" and expected is not None:
        return _said([_to_model(expected, values, field)], values, "scaled to what the model expects")
    if whole == 1.0:
        return _said([], values, "taken as stored")
    return _said([Scale(1 / whole)], values, f"scaled by 1/{whole:.0f}")


def saved_scaling(config: Mapping[str, Any]) -> tuple[list[Step], Values]:
    """Read a run's scaling from its config, or from the record in a checkpoint.

    Returns
    -------
    steps : list of Step
    values : Values
        Values of the training data.
    """
    steps = [from_dict(each) for each in config["scaling"]]
    # Runs of versions that measured nothing scaled 8-bit values, and took others as stored.
    before = {"dtype": "uint8", "minimum": 0.0, "maximum": _BYTE, "integral": True, "kind": "bytes"}
    return steps, Values(**(config.get("value_range") or before))


def adapt_scaling(steps: Sequence[Step], trained: Values, given: Values) -> tuple[list[Step], str | None]:
    """Adapt a run's scaling to other data; the scaling itself does not depend on the range of that data.

    Parameters
    ----------
    steps
        Scaling of the run.
    trained, given
        Values of the run, and of the other data.

    Returns
    -------
    steps : list of Step
        The same arithmetic for data in another type, such as 8-bit images for a run with floats of 0 to 255.
    said : str or None
        A line about the difference, or None.

    Raises
    ------
    BadSetting
        If the data's values are clearly in other units.
    """
    as_of_run = list(steps)
    if any(isinstance(step, Percentiles) for step in steps):
        return as_of_run, None  # each row is scaled by itself, whatever its range
    steps = [_stored_as(step, trained, given) for step in steps]
    if given.kind == trained.kind and trained.kind != "other":
        return steps, None
    differ = f"the run was trained on values of {trained}, but the data has {given}"
    if trained.kind == "unit" and trained.minimum >= 0 and given.dtype == "uint8":
        return [Scale(1 / _BYTE), *as_of_run], f"values: {given}, scaled by 1/255 to those of the run, {trained}"
    if trained.kind == "unit" and given.maximum > _BYTE * _LEAST_SHARE:
        raise BadSetting(f"{differ}: divide the data by {255 if given.maximum <= _BYTE else 65535} first")
    if trained.kind in ("bytes", "words") and given.kind == "unit" and not given.integral:
        raise BadSetting(f"{differ}: multiply the data by {255 if trained.kind == 'bytes' else 65535} first")
    if trained.kind == "words" and given.dtype == "uint8":
        raise BadSetting(f"{differ}: use 16-bit data")
    if given.kind in ("unit", "bytes") and trained.kind in ("bytes", "words"):
        return steps, None  # dark data, with the scale of the run's data
    span, other = trained.maximum - trained.minimum, given.maximum - given.minimum
    far = given.minimum < trained.minimum - span or given.maximum > trained.maximum + span
    if far or other < span / _MOST_NARROWER:
        return steps, f"warning: {differ}: the run's scaling is applied, and results may be wrong"
    return steps, None


def _stored_as(step: Step, trained: Values, given: Values) -> Step:
    """Convert a `Normalize`: its numbers are for values of 0 to 1 with 8-bit data, and otherwise for stored values."""
    before, now = (_BYTE if each.dtype == "uint8" else 1.0 for each in (trained, given))
    if not isinstance(step, Normalize) or isinstance(step.mean, str) or before == now:
        return step
    return Normalize(*(_times(part, before / now) for part in (step.mean, step.std)))


def _times(value: float | tuple[float, ...] | None, factor: float) -> float | tuple[float, ...]:
    assert value is not None
    return tuple(each * factor for each in value) if isinstance(value, tuple) else value * factor


def channels_of(field: Field | Encoded) -> int:
    """Return the number of channels of images and volumes, and 1 for other rows."""
    return field.channels if isinstance(field, Encoded) else field_channels(field) or 1


def _to_model(expected: NDArray[np.float64], values: Values, field: Field | Encoded) -> Step:
    """Compose the scaling of stored values to 0 to 255 with the preprocessing that the model expects."""
    factor, offset = {"bytes": (1.0, 0.0), "words": (_BYTE / _WORD, 0.0)}.get(values.kind, (_BYTE, 0.0))
    if values.minimum < 0:
        factor, offset = _BYTE / 2, _BYTE / 2
    colors = expected[:, :3]
    matrix = np.column_stack([colors * factor, colors.sum(axis=1) * offset + expected[:, 3]])
    channels = channels_of(field)
    if channels == 3 or (channels == 4 and not field.bands):
        return ColorMatrix(tuple(matrix.reshape(-1).tolist()))
    return Scale(float(matrix[:, :3].sum(axis=1).mean()), float(matrix[:, 3].mean()))


def _by_step(
    step: Window | Percentiles, source: Source, values: Values, budget: Budget, on_error: Any
) -> Scaling:  # fmt: skip
    of = "the window"
    if isinstance(step, Percentiles):
        of = f"percentiles {step.low:g} and {step.high:g} of {'the training data' if step.of_data else 'each row'}"
        if not step.of_data:
            return _said([step], values, f"{of} brought to 0 ... 1, others clipped")
        step = measured_window(source, step, budget, on_error)
    centers, widths = (np.atleast_1d(np.array(numbers)) for numbers in (step.center, step.width))
    ranges = [f"{center - width / 2:g} ... {center + width / 2:g}" for center, width in zip(centers, widths, strict=True)]
    return _said([step], values, f"{of} {first_few(ranges, 4)} brought to 0 ... 1, others clipped")


def _by_statistics(source: Source, values: Values, budget: Budget, on_error: Any, max_bad: float) -> Scaling:
    what = source.spec["x"]
    done = "brought to mean 0 and deviation 1 of the training data"
    if isinstance(what, Field) and len(what.shape) == 1:
        steps = [measure_features(source, budget, on_error, max_bad)]
        return _said(steps, values, done if what.shape[0] == 1 else f"each of {what.shape[0]:,} columns {done}")
    found = statistics(source, budget, on_error=on_error)
    _refuse_not_finite(found.not_finite, source, budget)
    return _said([Normalize(*found.normalization)], values, done)


def _by_sample(source: Source, values: Values, budget: Budget) -> Scaling:
    """Measure mean and deviation of each channel on evenly spaced rows; rows that cannot be read are skipped."""
    rows = np.unique(np.linspace(0, len(source) - 1, min(_SAMPLE, len(source))).astype(np.int64))
    found = statistics(source.subset(rows), budget, on_error="skip")
    _refuse_not_finite(found.not_finite, source.subset(rows), budget)
    done = f"brought to mean 0 and deviation 1, as in a sample of {found.rows:,} row{'' if found.rows == 1 else 's'}"
    return _said([Normalize(*found.normalization)], values, done)


def _by_extremes(source: Source, values: Values, budget: Budget, on_error: Any) -> Scaling:
    found = statistics(source, budget, on_error=on_error)
    _refuse_not_finite(found.not_finite, source, budget)
    least, greatest = min(found.least), max(found.greatest)
    span = greatest - least or 1.0
    return _said([Scale(1 / span, -least / span)], values, f"brought from {least:g} ... {greatest:g} to 0 ... 1")


def _refuse_not_finite(count: int, source: Source, budget: Budget) -> None:
    if count:
        values = "1 value is" if count == 1 else f"{count:,} values are"
        raise BadFile(f"{values} NaN or infinite in the training data: {find_odd(source, budget)}. {WAYS}")


def _said(steps: Sequence[Step], values: Values, done: str) -> Scaling:
    return Scaling(list(steps), values, f"values: {values}, {done} ({SETTING} changes this)")
