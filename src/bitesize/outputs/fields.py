"""Choose the fields of a loader that a framework gets: inputs, targets and sample weights."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from bitesize.engine.loader import Loader
from bitesize.errors import BadSetting
from bitesize.spec import Field

# Names of fields: one, several, or several by the model's input names.
Fields = str | Sequence[str] | Mapping[str, str]
_log = logging.getLogger("bitesize")


def pick(batch: Mapping[str, Any], names: Fields) -> Any:
    """Return one field, or several fields in the container that names them: a list, a tuple, or a dict with the same keys."""
    if isinstance(names, str):
        return batch[names]
    if isinstance(names, Mapping):
        return {key: batch[name] for key, name in names.items()}
    picked = [batch[name] for name in names]
    return picked if isinstance(names, list) else tuple(picked)


def names_in(fields: Fields | None) -> list[str]:
    """Return a list of the named fields.

    Raises
    ------
    BadSetting
        If the names have another type.
    """
    if fields is None or isinstance(fields, str):
        return [] if fields is None else [fields]
    names = [*fields.values()] if isinstance(fields, Mapping) else [*fields] if isinstance(fields, Sequence) else [None]
    if not all(isinstance(name, str) for name in names):
        raise BadSetting(f"names of fields must be a string, a list of strings or a dict, not {fields!r:.100}")
    return names


def as_tuples(fields: Fields) -> Fields:
    """Return a list of names as a tuple: ``tf.data`` stacks lists of tensors."""
    return tuple(fields) if isinstance(fields, list) else fields


def chosen_fields(
    loader: Loader, inputs: Fields | None, targets: Fields | Literal[False] | None
) -> tuple[Fields, Fields | None]:  # fmt: skip
    """Return the fields of inputs and targets: the named fields, or the primary field and the labels.

    Raises
    ------
    BadSetting
        If the loader does not have a named field.
    """
    chosen = primary_input(loader) if inputs is None else inputs
    label = label_of(loader)
    if targets is None and label not in names_in(chosen):
        targets = label
    wanted = None if targets is False else targets
    check_fields(loader, chosen, wanted)
    return chosen, wanted


def primary_input(loader: Loader) -> str:
    """Return the default input field.

    Raises
    ------
    BadSetting
        If the field is a single number, and there are several: a model would learn from the first one only.
    """
    source = loader.source
    primary, label = source.primary, source.label_name
    numbers = [
        name
        for name, what in source.spec.items()
        if isinstance(what, Field) and not what.shape and name not in (label, source.weight_name)
    ]
    if primary in numbers and len(numbers) > 1:
        raise BadSetting(
            f"several fields are single numbers ({', '.join(numbers[:10])}): choose inputs with inputs=, or open the data without "
            "fields= to combine them to one row of features"
        )
    return primary


def chosen_weights(
    loader: Loader, inputs: Fields, targets: Fields | None, weights: str | Literal[False] | None, who: str
) -> str | None:
    """Return the field of sample weights: the named field, or the weights of the data, which is logged; False for no weights.

    Raises
    ------
    BadSetting
        If the loader does not have the field, or there are no targets.
    """
    if weights is False:
        return None
    if weights is None:
        name = loader.source.weight_name
        if (
            name is None
            or name not in loader.spec
            or not names_in(targets)
            or name in (*names_in(inputs), *names_in(targets))
        ):
            return None
        _log.info("%s: the field %r weights each row in the loss (weights=False turns this off)", who, name)
        return name
    if not isinstance(weights, str):
        raise BadSetting(f"weights must be the name of a field, or False, not {weights!r:.100}")
    check_fields(loader, weights)
    if not names_in(targets):
        raise BadSetting(f"weights={weights!r} needs targets: weights apply to the loss")
    return weights


def label_of(loader: Loader) -> str | None:
    """Return the field with the labels, or None."""
    label = loader.source.label_name
    return label if label in loader.spec and label != loader.source.primary else None


def check_fields(loader: Loader, *groups: Fields | None) -> None:
    """Raise `BadSetting` if the loader does not have a field."""
    for group in groups:
        for name in names_in(group):
            if name not in loader.spec:
                raise BadSetting(f"the loader has no field {name!r}: its fields are {', '.join(loader.spec)}")
