"""``bitesize train --normalize``: the transforms that it names."""

from __future__ import annotations

from bitesize.errors import BadSetting
from bitesize.transforms.window import Percentiles, Window

# Normalizations that are chosen by the values of the data and by the model; see `training.values.choose_scaling`.
_CHOSEN = ("model", "data", "unit", "none")
_WAYS = "model, data, unit, none, window=CENTER,WIDTH, percentiles=LOW,HIGH or row-percentiles=LOW,HIGH"


def named_step(text: str) -> Window | Percentiles | None:
    """Return the transform that a setting names, or None if it does not name one.

    Parameters
    ----------
    text
        ``"model"``, ``"data"``, ``"unit"`` or ``"none"``, which name no transform; ``"window=40,400"`` for a center and a width;
        ``"percentiles"`` or ``"percentiles=2,98"``, of all training data; or ``"row-percentiles"``, of each row.

    Raises
    ------
    BadSetting
        If there is no such setting, or its numbers are not valid.

    Examples
    --------
    >>> named_step("window=40,400"), named_step("percentiles"), named_step("row-percentiles=2,98"), named_step("data")
    (Window(40.0, 400.0), Percentiles(per='data'), Percentiles(low=2.0, high=98.0), None)
    """
    if text in _CHOSEN:
        return None
    name, _, numbers = text.partition("=")
    wrong = BadSetting(f"--normalize must be {_WAYS}, not {text!r}")
    if name not in ("window", "percentiles", "row-percentiles"):
        raise wrong
    try:
        values = [float(number) for number in numbers.split(",")] if numbers else []
    except ValueError:
        raise wrong from None
    if len(values) != 2 and (values or name == "window"):
        raise wrong
    if name == "window":
        return Window(*values)
    low, high = values or (1.0, 99.0)
    return Percentiles(low, high, "data" if name == "percentiles" else "row")


def measures_all(text: str) -> bool:
    """Return whether a setting needs percentiles of all training data."""
    step = named_step(text)
    return isinstance(step, Percentiles) and step.of_data
