"""Rows of other data brought to what a run was trained on: their size, their channels, and the range of their values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np

from bitesize.errors import BadSetting
from bitesize.memory.budget import Budget
from bitesize.pipeline.inference import looks_like_series
from bitesize.sources.base import Source
from bitesize.spec import CHANNELS, Encoded, Field, Mode, image_channels
from bitesize.training.values import Values, adapt_scaling, measure_values, saved_scaling
from bitesize.transforms.base import Step, from_dict
from bitesize.transforms.color import ColorMatrix, Normalize, Scale
from bitesize.transforms.crop import Resize

Shape = tuple[int, ...]
# Modes of images by their channels.
_MODES = {channels: mode for mode, channels in CHANNELS.items() if mode != "I;16"}
# Values of 0 to 255 may overshoot by this much, as after a bicubic resize; a sample that stays below the second is in other units.
_OVERSHOOT, _DIM = 32.0, 32.0
_BYTE = 255.0


def image_mode(config: Mapping[str, Any]) -> Mode | None:
    """Return the mode in which a run takes image files: its own, or the one with the channels of its rows; None where it takes none.

    Parameters
    ----------
    config
        The run's.
    """
    shape, mode = tuple(config["input_shape"]), config["settings"].get("mode", "RGB")
    channels = image_channels(shape)
    if channels is None or (len(shape) == 2 and looks_like_series(shape)):
        return None
    if len(shape) == 3 and CHANNELS.get(mode) == channels:
        return cast("Mode", mode)
    return cast("Mode | None", _MODES.get(channels))


def adapt(config: Mapping[str, Any], source: Source, budget: Budget) -> tuple[list[Step], list[str]]:
    """Choose the transforms that bring rows of a source to what a run was trained on.

    Parameters
    ----------
    config
        The run's.
    source
        The data at hand, with the field ``x``.
    budget
        What measuring rows may hold.

    Returns
    -------
    steps : list of Step
        For a `bitesize.Loader` of the source.
    said : list of str
        A line for each thing that is done to these rows and was not done to those of the run.

    Raises
    ------
    BadSetting
        If rows have another shape than the model takes, or their values are clearly in other units.
    """
    what, expected = source.spec["x"], tuple(config["input_shape"])
    _refuse_other_shape(what, expected)
    steps, trained = saved_scaling({"scaling": [], **config})
    own = config["transforms"]
    geometry: list[Step] = [from_dict(each) for each in own[: len(own) - len(steps)]]
    said = []
    if not geometry and _is_of_other_size(what, expected):
        geometry = [Resize((expected[0], expected[1]))]
        said.append(f"images are resized to {expected[0]} x {expected[1]}, the shape of the run's rows")
    given = measure_values(source, budget)
    if np.isnan(given.minimum):  # none of a sample could be read: each says why when it is due
        return [*geometry, *steps], said
    if isinstance(what, Encoded) or len(what.shape) > 1:
        _refuse_other_units(trained, given, photographs=isinstance(what, Encoded))
    adapted, differs = adapt_scaling(steps, trained, given)
    if given.kind == "unit" and given.integral and trained.kind != "unit":
        adapted = [
            _as_arithmetic(step) for step in adapted
        ]  # dark rows; a loader would take the numbers for those of another scale
        if (
            given.dtype == "uint8"
            and given.maximum == 1 < trained.maximum
            and not isinstance(what, Encoded)
            and len(what.shape) > 1
        ):
            # Black images are like that, too: so it is no error, as it is of other types.
            differs = (
                f"warning: {_differ(trained, given)}: bring the data to 0 to {255 if trained.kind == 'bytes' else 65535} first, unless "
                "it is as dark as that"
            )
    return [*geometry, *adapted], said + ([differs] if differs else [])


def _differ(trained: Values, given: Values) -> str:
    return f"the run was trained on values of {trained}, and the data has {given}"


def _as_arithmetic(step: Step) -> Step:
    """Restate a `Normalize` by numbers as what it calculates."""
    if not isinstance(step, Normalize) or isinstance(step.mean, str):
        return step
    means, deviations = step.numbers
    if len(means) == 1:
        return Scale(1 / deviations[0], -means[0] / deviations[0])
    if len(means) != 3:
        return step
    rows = [[*(1 / deviations[i] if i == j else 0.0 for j in range(3)), -means[i] / deviations[i]] for i in range(3)]
    return ColorMatrix(tuple(value for row in rows for value in row))


def fits(shape: Shape, expected: Shape) -> bool:
    """Return whether rows have the expected shape, or differ from it by the last axis of gray images alone."""
    return shape == expected or (shape[:2] == expected[:2] and {shape[2:], expected[2:]} == {(), (1,)})


def is_row(shape: Shape, expected: Shape) -> bool:
    """Return whether an array of this shape is one row for a run of rows of the expected shape: the same, or an image of another size."""
    return fits(shape, expected) or (bool(shape) and _is_of_other_size(Field(shape, np.dtype(np.float32)), expected))


def channels_first(shape: Shape, expected: Shape) -> str:
    """Return the end of a sentence about a row whose channels seem to come first; "" if they do not, or the run's do, too."""
    channels = image_channels(expected)
    if len(shape) != 3 or channels is None or shape[0] != channels or shape[2] == channels:
        return ""
    return ": channels first? Bring those of each row to the end, row.transpose(1, 2, 0)"


def _is_of_other_size(what: Field | Encoded, expected: Sequence[int]) -> bool:
    """Return whether rows are images of another height or width than a run's rows, which are images, too."""
    channels = image_channels(expected)
    if channels is None:
        return False
    if isinstance(what, Encoded):
        return True
    return image_channels(what.shape) == channels and list(what.shape[:2]) != list(expected[:2])


def _refuse_other_shape(what: Field | Encoded, expected: Shape) -> None:
    """Raise where rows have another shape than those of the run, and are no images of as many channels, which are resized."""
    channels = image_channels(expected)
    trained = f"the run was trained on rows of shape {expected}"
    if isinstance(what, Field):
        if not fits(what.shape, expected) and (channels is None or image_channels(what.shape) != channels):
            raise BadSetting(f"{trained}, and the data has {what.shape}{channels_first(what.shape, expected)}")
        return
    if channels is None:
        raise BadSetting(f"{trained}, which image files cannot be brought to: save them as .npy of that shape")
    if what.channels != channels:
        hint = f": --mode {_MODES[channels]} reads images so" if channels in _MODES else ": save them as .npy of that shape"
        raise BadSetting(f"{trained}, and the data has {(*expected[:2], what.channels)}{hint}")


def _refuse_other_units(trained: Values, given: Values, *, photographs: bool) -> None:
    """Raise where the values of images cannot be those that the run was trained on, and it is not known how they were changed."""
    differ = _differ(trained, given)
    if photographs and (trained.kind == "other" or (trained.kind == "unit" and trained.minimum < 0)):
        raise BadSetting(f"{differ}: save the images as .npy, with values as those that the run was trained on")
    narrow = trained.kind == "bytes" and trained.dtype != "uint8" and trained.maximum < _DIM
    if narrow and given.maximum > 2 * trained.maximum:
        raise BadSetting(f"{differ}: bring the data to the values that the run was trained on")
    if given.dtype == "uint8":
        if trained.kind == "other" and trained.dtype != "uint8":
            raise BadSetting(f"{differ}: bring the data to the values that the run was trained on")
        return
    if trained.kind == "unit" and trained.minimum >= 0 and given.kind == "unit" and given.minimum < -1 / _BYTE:
        raise BadSetting(f"{differ}: bring the data to 0 to 1 first")
    if trained.kind not in ("bytes", "words"):
        return
    full = _BYTE if trained.kind == "bytes" else 65_535.0
    if given.kind == "unit" and (given.minimum < 0 or (given.integral and given.maximum == 1)):
        raise BadSetting(f"{differ}: bring the data to 0 to {full:.0f} first")
    near = given.minimum >= -_OVERSHOOT and _DIM < given.maximum <= full + _OVERSHOOT
    if given.kind == "other" and not near and not (trained.minimum <= given.minimum and given.maximum <= trained.maximum):
        raise BadSetting(f"{differ}: bring the data to 0 to {full:.0f} first")
    if trained.kind == "bytes" and given.kind == "words":
        raise BadSetting(f"{differ}: bring the data to 0 to 255 first")
